"""A comparison of two reports as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.metrics.registry import format_value, metric_of
from evaluation.report.text import count_of

LOG_SCALE = "change of |log value|"  # the scale of an interval of the distance from 1


def format_comparison(comparison: Mapping) -> str:
    """A comparison as text for the terminal: what is compared, warnings, and one line a figure."""
    lines = [_introduction(letter, comparison[key]) for letter, key in (("A", "first"), ("B", "second"))]
    lines += [f"warning: {warning}" for warning in comparison["warnings"]]
    if comparison["rows_in_one"]:
        lines.append(f"rows of one report alone: {', '.join(comparison['rows_in_one'])}")
    header = ("row", "metric", "A", "B", "B - A", "95 % interval", "verdict")
    cells: list[tuple[str, ...]] = [header]
    for row, metrics in comparison["rows"].items():
        cells += [_line(row, metric, entry) for metric, entry in metrics.items()]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines.append("")
    for line in cells:
        left = (f"{text:<{width}}" for text, width in zip(line[:2], widths[:2], strict=True))
        right = (f"{text:>{width}}" for text, width in zip(line[2:6], widths[2:6], strict=True))
        lines.append("  ".join((*left, *right, line[6])))
    judged = sum(entry["interval"] is not None for row in comparison["rows"].values() for entry in row.values())
    if judged:
        lines += [
            "",
            f"{count_of(judged, 'comparison')} at 95 %: of 20 without any difference one is called one by chance",
        ]
    return "\n".join(lines)


def _introduction(letter: str, identity: Mapping) -> str:
    checkpoint = (identity["checkpoint"] or {}).get("name")
    return f"{letter}: {identity['name']}: {identity['about']}" + (f"; checkpoint {checkpoint}" if checkpoint else "")


def _line(row: str, metric: str, entry: Mapping) -> tuple[str, ...]:
    decimals = metric_of(metric).decimals
    values = (format_value(entry[key], decimals) for key in ("a", "b"))
    interval = "-"
    if entry["interval"] is not None:
        low, high = (_signed(value, decimals) for value in entry["interval"])
        interval = f"[{low}, {high}]" + (" of |log|" if entry.get("scale") == LOG_SCALE else "")
    return (row, metric, *values, _signed(entry["difference"], decimals), interval, entry["verdict"])


def _signed(value: float, decimals: int) -> str:
    return ("+" if value > 0 else "") + format_value(value, decimals)
