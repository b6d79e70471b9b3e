"""Which differences between two reports exceed what chance explains: `evaluate.py compare A.json B.json`.

With ``--against ROW`` it is the other rows of one report that are compared with a row of it.

Metrics with a value for each sequence are compared in pairs, over the sequences that both reports share: a percentile
bootstrap of the mean difference. Sequences of one video are not independent, so it is videos that are drawn. Distances
between sets have no pairs; there a difference counts if it exceeds the root of the summed squares of both half widths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

import numpy as np

from common.hashing import file_sha256
from evaluation.metrics.registry import in_order, metric_of
from evaluation.report.comparison_text import LOG_SCALE
from evaluation.report.report import FORMAT_VERSION, read_report, source_of
from evaluation.report.text import headline

WITHIN = "within the interval"
NO_INTERVAL = "no interval"
NOT_COMPARABLE = "not comparable"
FEW_VIDEOS = 6  # with fewer even a sign test can't exclude chance at 95 %
SMALLEST_RATIO = 1e-6  # stands for a ratio of zero, whose logarithm is infinite


def compare_files(first: Path, second: Path | None = None, *, against: str | None = None, seed: int = 0) -> dict:
    """Compare two files that evaluate.py wrote, or the rows of one; with the files' hashes.

    Args:
        second: the file for :func:`compare_reports`.
        against: in its place, the row of the first file for :func:`compare_rows`.
        seed: of the bootstrap.

    Raises:
        ValueError: one line: a file that is no report; reports of different kinds, or without a row in common; a row
            that the report does not have; neither or both of ``second`` and ``against``.
    """
    a = read_report(first)
    if (second is None) == (against is None):
        rows = ", ".join(a["table"])
        raise ValueError(f"{first}: give either another report to compare it with or --against ROW, one of {rows}")
    if against is not None:
        comparison = compare_rows(a, against, name=str(first), seed=seed)
    else:
        assert second is not None
        comparison = compare_reports(a, read_report(second), names=(str(first), str(second)), seed=seed)
    for key, path in {"first": first, "second": second or first}.items():
        comparison[key]["sha256"] = file_sha256(path)
    return comparison


def compare_rows(report: Mapping, against: str, *, name: str = "A", seed: int = 0) -> dict:
    """Compare the other rows of a report (B) with one of them (A), like :func:`compare_reports`.

    Args:
        against: the row that the others are compared with.
        name: what to call the report.

    Raises:
        ValueError: the report has no such row, or no other.
    """
    others = [row for row in report["table"] if row != against]
    if against not in report["table"] or not others:
        raise ValueError(f"{name}: no row {against} beside others; its rows are {', '.join(report['table'])}")
    parts = {part: report.get(part) or {} for part in ("table", "intervals", "per_sequence")}
    first = {**report, **{part: dict.fromkeys(others, of.get(against) or {}) for part, of in parts.items()}}
    second = {**report, "table": {row: report["table"][row] for row in others}}
    return compare_reports(first, second, names=(f"{name}, row {against}", f"{name}, its other rows"), seed=seed)


def compare_reports(a: Mapping, b: Mapping, *, names: tuple[str, str] = ("A", "B"), seed: int = 0) -> dict:
    """Compare two reports of one kind.

    Args:
        a, b: reports as :func:`evaluation.report.report.read_report` gives them.
        names: what to call them.

    Returns:
        ``rows[row][metric]`` for what both have: values ``a`` and ``b``, ``difference`` b - a and its ``interval``
        (of the mean change of ``|log value|`` for metrics that are best at 1, ``scale`` says so), ``sequences`` that
        were paired, the ``videos`` they come from, and the ``verdict``: "A better", "B better" ("A higher" for a metric
        without a better side), "within the interval", "no interval" or "not comparable". ``warnings`` say how the
        reports differ.

    Raises:
        ValueError: reports of different kinds, or without a row in common.
    """
    if a["kind"] != b["kind"]:
        raise ValueError(f"{names[0]} is a report of {a['kind']}, {names[1]} of {b['kind']}; give two of one kind")
    shared_rows = [row for row in a["table"] if row in b["table"]]
    if not shared_rows:
        raise ValueError(f"{names[0]} and {names[1]} have no row in common")
    shared = shared_sequences(a, b)
    rows: dict[str, dict] = {}
    for row in shared_rows:
        rows[row] = {}
        for metric in a["table"][row]:
            if a["table"][row][metric] is not None and b["table"][row].get(metric) is not None:
                rows[row][metric] = _compare_figure(a, b, row, metric, shared, seed)
    return {
        "format_version": FORMAT_VERSION,
        "kind": "comparison",
        "compared": a["kind"],
        **{key: _identity(report, name) for key, report, name in zip(("first", "second"), (a, b), names, strict=True)},
        "shared_sequences": len(shared),
        "rows_in_one": [row for row in in_order((*a["table"], *b["table"])) if row not in shared_rows],
        "warnings": _warnings(a, b, rows),
        "rows": rows,
    }


# One figure -----------------------------------------------------------------------------------------------------------


def _compare_figure(a: Mapping, b: Mapping, row: str, metric: str, shared: Sequence[str], seed: int) -> dict:
    values = a["table"][row][metric], b["table"][row][metric]
    entry = {"a": values[0], "b": values[1], "difference": values[1] - values[0], "interval": None, "sequences": 0}
    pairs = {} if metric_of(metric).distribution else _pairs(a, b, row, metric, shared)
    if _differing_weights(a, b, metric) or not (pairs or same_sequences(a, b)):
        return entry | {"verdict": NOT_COMPARABLE}
    if pairs:
        return entry | _judge_pairs(pairs, [source_of(a, name) or name for name in pairs], metric, seed)
    return entry | _judge_alone(entry["difference"], [_interval(report, row, metric) for report in (a, b)], metric)


def _judge_alone(difference: float, intervals: Sequence[Sequence[float] | None], metric: str) -> dict:
    """A difference against both figures' intervals, taken as independent: strict where both rest on the same data."""
    better = metric_of(metric).better
    halves = [(interval[1] - interval[0]) / 2 for interval in intervals if interval is not None]
    if len(halves) < 2 or better == "one":  # nearness to 1 does not follow from these intervals
        return {"verdict": NO_INTERVAL}
    combined = math.hypot(*halves)
    interval = [difference - combined, difference + combined]
    return {"interval": interval, "verdict": _verdict(interval, better)}


def _judge_pairs(pairs: Mapping[str, tuple[float, float]], sources: Sequence[str], metric: str, seed: int) -> dict:
    """The change of the mean or median over sequences against its bootstrap interval."""
    from evaluation.metrics.distances import bootstrap_interval, bootstrap_statistic

    better, taken = metric_of(metric).better, median if metric_of(metric).median else fmean
    sides = [[pair[side] for pair in pairs.values()] for side in (0, 1)]
    figures = [taken(side) for side in sides]
    judged: dict[str, object] = {
        "a": figures[0],
        "b": figures[1],
        "difference": figures[1] - figures[0],
        "sequences": len(pairs),
        "videos": len(set(sources)),
    }
    if metric_of(metric).median:  # of photos, each of which is a source of its own
        _, interval = bootstrap_statistic(_difference_of_medians, sides, together=True, seed=seed)
        return judged | _told(interval, better)
    if better == "one":
        judged["scale"] = LOG_SCALE
        changes = [_distance_from_one(y) - _distance_from_one(x) for x, y in pairs.values()]
    else:
        changes = [y - x for x, y in pairs.values()]
    return judged | _told(bootstrap_interval(changes, seed=seed, sources=sources), better)


def _told(interval: tuple[float, float] | None, better: str | None) -> dict[str, object]:
    if interval is None:
        return {"interval": None, "verdict": NO_INTERVAL}
    return {"interval": list(interval), "verdict": _verdict(interval, better)}


def _difference_of_medians(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.median(second, axis=-1) - np.median(first, axis=-1)


def _distance_from_one(ratio: float) -> float:
    return abs(math.log(max(ratio, SMALLEST_RATIO)))


def _verdict(interval: Sequence[float], better: str | None) -> str:
    """What an interval of the change from A to B says; for "one" the change is of the distance from 1."""
    if interval[0] <= 0 <= interval[1]:
        return WITHIN
    grows = interval[0] > 0
    if better is None:
        return "B higher" if grows else "A higher"
    return "B better" if grows == (better == "higher") else "A better"


def _pairs(a: Mapping, b: Mapping, row: str, metric: str, shared: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The values of the shared sequences for which both reports have one."""
    first, second = (((report.get("per_sequence") or {}).get(row) or {}) for report in (a, b))
    pairs = {name: (first.get(name, {}).get(metric), second.get(name, {}).get(metric)) for name in shared}
    return {name: pair for name, pair in pairs.items() if None not in pair}


def _interval(report: Mapping, row: str, metric: str) -> Sequence[float] | None:
    return ((report.get("intervals") or {}).get(row) or {}).get(metric)


# What the reports rest on ---------------------------------------------------------------------------------------------


def shared_sequences(a: Mapping, b: Mapping) -> list[str]:
    """Sequences that are the same frames with the same measured motion in both reports."""
    first, second = _identities(a), _identities(b)
    return [name for name in first if name in second and first[name] == second[name]]


def _identities(report: Mapping) -> dict[str, str]:
    """Fingerprint of each sequence; empty where the report does not say what it rests on."""
    identities = (report.get("data") or {}).get("identities") or {}
    return {name: identity["fingerprint"] for name, identity in identities.items() if identity.get("fingerprint")}


def same_sequences(a: Mapping, b: Mapping) -> bool:
    """Whether both reports rest on the very same sequences, which distances between sets need."""
    return _identities(a) == _identities(b) != {}


def _differing_weights(a: Mapping, b: Mapping, metric: str) -> list[str]:
    """Names of the networks behind a metric whose weights are known to differ."""
    first, second = (report.get("weights") or {} for report in (a, b))
    named = {name for name in (*first, *second) if name in metric_of(metric).weights}
    return sorted(name for name in named if first.get(name) != second.get(name))


def _warnings(a: Mapping, b: Mapping, rows: Mapping[str, Mapping[str, Mapping]]) -> list[str]:
    found = []
    for metric in in_order(metric for row in rows.values() for metric in row):
        if names := _differing_weights(a, b, metric):
            found.append(f"{metric} is not comparable: different weights of {', '.join(names)}")
    if not same_sequences(a, b):
        counts = " and ".join(str(len(_identities(report))) for report in (a, b))
        found.append(
            f"different data, the tables are not comparable: of {counts} sequences {len(shared_sequences(a, b))} are "
            "the same, and only those are compared"
        )
    elif a["data"].get("manifest_sha256") != b["data"].get("manifest_sha256"):
        found.append("the datasets' manifests differ, but the sequences of this split are the same")
    if protocol := _differences(a.get("protocol"), b.get("protocol")):
        found.append(f"different protocols, the figures may not be comparable: {protocol}")
    if versions := _differences(a.get("versions"), b.get("versions")):
        found.append(f"different versions: {versions}")
    videos = [entry["videos"] for row in rows.values() for entry in row.values() if entry.get("videos", 1) > 1]
    if videos and min(videos) < FEW_VIDEOS:
        found.append(f"as few as {min(videos)} videos: an interval over fewer than {FEW_VIDEOS} is too narrow to trust")
    return found


def _differences(first: Mapping | None, second: Mapping | None) -> str:
    """``key A / B`` of what differs between two dictionaries of plain values."""
    first, second = first or {}, second or {}
    names = [name for name in in_order((*first, *second)) if first.get(name) != second.get(name)]
    return ", ".join(f"{name} {_shown(first.get(name))} / {_shown(second.get(name))}" for name in names)


def _shown(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _identity(report: Mapping, name: str) -> dict:
    data = report.get("data") or {}
    kept = {key: data.get(key) for key in ("name", "manifest_sha256", "split", "sequences", "sources")}
    return {"name": name, "about": headline(report), "data": kept, "checkpoint": report.get("checkpoint")}
