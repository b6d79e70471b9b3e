"""The rendering tables of several folds as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import of_table
from evaluation.tables.cells import cells, known, missing_note
from evaluation.tables.rendering import warnings

RANGES = ("fps", "num_frames")  # of the data, lowest and highest


def pool_rendering(
    reports: Mapping[str, Mapping[str, Any]], *, split: str, metrics: Mapping[str, Metric]
) -> dict[str, Any]:
    """One report of the rendering tables of several folds, with means over the sequences of all.

    Args:
        reports: by fold.
        split: what the folds are called together.
        metrics: those that the table takes its columns from.
    """
    first, several = next(iter(reports.values())), list(reports.values())
    per_sequence = {
        row: {key: values for report in several for key, values in report["per_sequence"][row].items()}
        for row in first["per_sequence"]
    }
    data = _data(several) | {"split": split}
    protocol = _protocol(several)
    columns = of_table("rendering", metrics)
    table = cells(
        list(per_sequence),
        columns,
        scores={row: {key: known(values) for key, values in found.items()} for row, found in per_sequence.items()},
        sources={key: identity["source"] for key, identity in data["identities"].items()},
        distances={},
        missing=lambda row, name: first["notes"][row].get(name) or missing_note(columns[name], still=False),
    )
    return {
        **first,
        "data": data,
        "checkpoint": first["checkpoint"] if len(several) == 1 else None,
        "checkpoints": {fold: report["checkpoint"] for fold, report in reports.items()},
        "protocol": protocol,
        **table,
        "per_sequence": per_sequence,
        "warnings": warnings(data, protocol["as_published"]),
        "timings": {fold: report["timings"] for fold, report in reports.items()},
    }


def _data(reports: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What all tables rest on together; folds have manifests of their own, which differ in their splits alone."""
    several = [report["data"] for report in reports]
    identities = {key: value for data in several for key, value in data["identities"].items()}
    ranges = {name: [pick(x for data in several for x in data[name]) for pick in (min, max)] for name in RANGES}
    counts = {"sequences": len(identities), "sources": len({one["source"] for one in identities.values()})}
    return {**several[0], **counts, **ranges, "identities": identities}


def _protocol(reports: list[Mapping[str, Any]]) -> dict[str, Any]:
    several = [report["protocol"] for report in reports]
    agreed = {name: all(each["as_published"][name] for each in several) for name in several[0]["as_published"]}
    frames = sum(each["rendered_frames"] for each in several)
    return {**several[0], "rendered_frames": frames, "as_published": agreed}
