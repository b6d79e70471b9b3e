"""The cells of a table and of its groups: means over sequences and distances between sets, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evaluation.metrics.distances import bootstrap_interval
from evaluation.metrics.metric import Metric
from evaluation.metrics.motion_scores import Scores
from evaluation.metrics.registry import METRICS
from evaluation.sequences import EvaluationSequence, unique_sources

ScoresByRow = Mapping[str, Mapping[str, Mapping[str, float | None]]]  # row -> sequence -> metric -> value
STILL = "not computed: nothing moves in the measured motion"
PARTS = ("table", "intervals", "counts", "notes")


def cells(
    rows: Sequence[str],
    metrics: Mapping[str, Metric],
    *,
    scores: Mapping[str, Mapping[str, Scores]],
    sources: Mapping[str, str],
    distances: Mapping[str, Mapping],
    missing: Callable[[str, str], str],
) -> dict:
    """``table``, ``intervals``, ``counts`` and ``notes`` of a report, each ``{row: {metric: ...}}``.

    Means over sequences have bootstrap intervals over videos.

    Args:
        scores: ``{row: {sequence: {metric: value}}}``.
        sources: the video that each sequence is a part of.
        distances: the same parts for metrics of sets, as
            :func:`evaluation.metrics.distributions.distribution_metrics` gives them.
        missing: (row, metric) -> why there is no value.
    """
    result: dict = {part: {row: {} for row in rows} for part in PARTS}
    for row in rows:
        for name, metric in metrics.items():
            if metric.distribution:
                value, interval, count, note = (distances[part][row].get(name) for part in PARTS)
            else:
                found = {sequence: values[name] for sequence, values in scores[row].items() if name in values}
                values = list(found.values())
                value, note = sum(values) / len(values) if values else None, None
                interval = bootstrap_interval(values, sources=[sources[sequence] for sequence in found])
                count = len(values)
            for part, cell in zip(PARTS, (value, interval, count), strict=False):
                result[part][row][name] = cell
            if value is None:
                result["notes"][row][name] = note or missing(row, name)
    return result


def missing_note(metric: Metric, *, still: bool) -> str:
    """Why a cell without a figure of its own reason is empty; ``still`` where a sequence does not move."""
    return STILL if metric.relative and still else metric.missing


def still_warning(sequences: Sequence[str], metrics: Mapping[str, Metric]) -> list[str]:
    """One line about sequences whose measured motion is zero, where a relative metric leaves them out."""
    left_out = [name for name, metric in metrics.items() if metric.relative]
    if not (sequences and left_out):
        return []
    more = f" and {len(sequences) - 1} more" if len(sequences) > 1 else ""
    return [f"nothing moves in sequence {sequences[0]}{more}: left out of {', '.join(left_out)}"]


def frequency_warning(known: int, asked: int) -> list[str]:
    """One line where the dataset stores fewer frequencies than were asked for."""
    if known >= asked:
        return []
    return [f"the measured motion has {known} frequencies, not the {asked} of --num-frequencies"]


def ratios(
    table: Mapping[str, Mapping[str, float | None]],
    intervals: Mapping[str, Mapping[str, Sequence[float] | None]],
    *,
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, dict[str, float]]:
    """Distances over those of the repeated photo: readings that do not depend on how much moves in the data.

    A kernel distance is unbiased and so about zero, of either sign, between sets that are alike: over such a one there
    is no ratio.
    """
    bases = {}
    for name, metric in metrics.items():
        base = table.get("repeat", {}).get(name)
        interval = intervals.get("repeat", {}).get(name)
        unclear = metric.kernel and interval is not None and interval[0] <= 0
        if metric.distribution and base is not None and base > 0 and not unclear:
            bases[name] = base
    found: dict[str, dict[str, float]] = {}
    for row, values in table.items():
        known = {name: values.get(name) for name in bases}
        found[row] = {name: value / bases[name] for name, value in known.items() if value is not None}
    return found if any(found.values()) else {}


def group_tables(
    groups: Mapping[str, Mapping[str, str]],
    sequences: Sequence[EvaluationSequence],
    metrics: Mapping[str, Metric],
    *,
    scores: ScoresByRow,
    notes: Mapping[str, Mapping[str, str]],
) -> dict:
    """``{grouping: {group: {sequences, sources, table, intervals, counts, notes}}}`` of a report.

    Distances between sets have no value for a single sequence and are left out.

    Args:
        groups: of :func:`evaluation.groups.groups_of`.
        scores: ``{row: {sequence: {metric: value}}}``.
        notes: ``{row: {metric: why the whole table has no value}}``.
    """
    single = {name: metric for name, metric in metrics.items() if not metric.distribution}
    result: dict = {}
    for name, members in groups.items():
        result[name] = {}
        for group in sorted(set(members.values())):
            inside = [sequence for sequence in sequences if members.get(sequence.id) == group]
            result[name][group] = _group_table(inside, single, scores, notes)
    return result


def _group_table(
    sequences: Sequence[EvaluationSequence],
    metrics: Mapping[str, Metric],
    scores: ScoresByRow,
    notes: Mapping[str, Mapping[str, str]],
) -> dict:
    sources = {sequence.id: sequence.source for sequence in sequences}
    inside = {row: {name: known(of[name]) for name in sources if name in of} for row, of in scores.items()}
    table = cells(
        list(scores),
        metrics,
        scores=inside,
        sources=sources,
        distances={},
        missing=lambda row, metric: notes.get(row, {}).get(metric) or missing_note(metrics[metric], still=True),
    )
    return {"sequences": len(sequences), "sources": unique_sources(sequences), **table}


def known(scores: Mapping[str, float | None]) -> Scores:
    """The scores that have a value."""
    return {name: value for name, value in scores.items() if value is not None}
