"""A report as text for the terminal: values with their intervals and sample counts, notes and warnings below."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.metrics.registry import format_value, metric_names, metric_of

RATIO_DECIMALS = 3


@dataclass(frozen=True)
class Cell:
    """One figure of a table as it is shown; text that does not apply is empty."""

    value: str  # "-" where there is none
    interval: str = ""  # "[27.90, 29.50]", or "± 1.2" of a distance between sets
    count: str = ""  # "N=189", of metrics whose value depends on it
    note: str = ""  # why there is no value, or what to know of it

    def __str__(self) -> str:
        count = f"({self.count})" if self.count else ""
        return " ".join(part for part in (self.value, self.interval, count) if part)


def cell_of(report: Mapping, row: str, *, metric: str) -> Cell:
    """The figure of a report's table in a row and column."""
    note = _entry(report, "notes", row, metric) or ""
    value = _entry(report, "table", row, metric)
    if value is None:
        return Cell("-", note=note)
    known = metric_of(metric)
    count = _entry(report, "counts", row, metric)
    shown = f"N={count:g}" if count is not None and (known.distribution or not _one_count(report, metric)) else ""
    interval = _entry(report, "intervals", row, metric)
    return Cell(format_value(value, known.decimals), format_interval(value, interval, metric=metric), shown, note)


def format_interval(value: float, interval: Sequence[float] | None, *, metric: str) -> str:
    """``[low, high]``, or ``± 1.2`` for a distance between sets, whose interval is a normal one; empty for None."""
    if interval is None:
        return ""
    low, high = interval
    known = metric_of(metric)
    if known.distribution and abs((low + high) / 2 - value) <= 1e-6 * (high - low):
        return f"± {format_value((high - low) / 2, known.decimals)}"
    return f"[{format_value(low, known.decimals)}, {format_value(high, known.decimals)}]"


def format_table(report: Mapping, width: int | None = None) -> str:
    """The table of a report, and of its ratios, as text.

    Args:
        report: a report's contents, of any kind.
        width: columns to fit into, the terminal's by default; more metrics than fit go on below.
    """
    width = width or shutil.get_terminal_size((120, 24)).columns
    table = report["table"]
    metrics = metric_names(table)
    cells = {row: {metric: str(cell_of(report, row, metric=metric)) for metric in metrics} for row in table}
    lines = [headline(report), "", *_grid(cells, metrics, width)]
    if report.get("ratios"):
        ratios = format_ratios(report["ratios"])
        lines += ["", "ratio to repeat", *_grid(ratios, metric_names(ratios), width)]
    notes = [*shared_counts(report), *table_notes(report)]
    lines += ["", *notes] if notes else []
    for title, group in group_reports(report):
        cells = {row: {name: str(cell_of(group, row, metric=name)) for name in metrics} for row in group["table"]}
        shown = [name for name in metrics if any(name in values for values in group["table"].values())]
        lines += ["", title, *_grid(cells, shown, width)]
    lines += [f"warning: {warning}" for warning in report.get("warnings") or ()]
    return "\n".join(lines)


def group_reports(report: Mapping) -> list[tuple[str, Mapping]]:
    """A title such as ``thing = candle (9 sequences of 3 videos)`` and the table of each group of a report."""
    return [
        (f"{name} = {group} ({count_of(of['sequences'], 'sequence')} of {count_of(of['sources'], 'video')})", of)
        for name, groups in (report.get("groups") or {}).items()
        for group, of in groups.items()
    ]


def headline(report: Mapping) -> str:
    """What the report measured, in one line: kind, dataset, split, sequences, size."""
    data = report.get("data") or {}
    line = str(report.get("kind", "table"))
    if data.get("name"):
        line += f" on {data['name']}"
    if data.get("split"):
        line += f" ({data['split']})"
    if data.get("sequences") is not None:
        line += f": {count_of(data['sequences'], 'sequence')}"
        line += f" of {count_of(data['sources'], 'video')}" if data.get("sources") is not None else ""
    if data.get("size"):
        line += f", {data['size'][0]}x{data['size'][1]}"
    return line


def count_of(number: int, noun: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def format_ratios(ratios: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, str]]:
    """Cells of the table of ratios: three decimals, a dash where there is none."""
    return {
        row: {name: "-" if value is None else format_value(value, RATIO_DECIMALS) for name, value in values.items()}
        for row, values in ratios.items()
    }


def table_notes(report: Mapping) -> list[str]:
    """Every note once, ``metrics (rows): text``; the rows only where it does not hold for all of them."""
    table = report["table"]
    rows_of: dict[tuple[str, str], list[str]] = {}  # (text, metric) -> rows
    for row in table:
        for metric, text in (report.get("notes") or {}).get(row, {}).items():
            rows_of.setdefault((text, metric), []).append(row)
    metrics_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # (text, rows) -> metrics
    for (text, metric), rows in rows_of.items():
        metrics_of.setdefault((text, tuple(rows)), []).append(metric)
    lines = []
    for (text, held), metrics in metrics_of.items():
        where = "" if len(held) == len(table) else f" ({', '.join(held)})"
        lines.append(f"{', '.join(metrics)}{where}: {text}")
    return lines


def shared_counts(report: Mapping) -> list[str]:
    """``psnr, ssim: N=8`` for the metrics that rest on equally many samples in every row."""
    metrics_of: dict[float, list[str]] = {}
    for metric in metric_names(report["table"]):
        count = _one_count(report, metric)
        if count is not None and not metric_of(metric).distribution:
            metrics_of.setdefault(count, []).append(metric)
    return [f"{', '.join(metrics)}: N={count:g}" for count, metrics in metrics_of.items()]


def _one_count(report: Mapping, metric: str) -> float | None:
    """The number of samples if it is the same in all rows that have a value."""
    rows = [row for row in report["table"] if _entry(report, "table", row, metric) is not None]
    counts = {_entry(report, "counts", row, metric) for row in rows}
    return counts.pop() if len(counts) == 1 else None


def _entry(report: Mapping, part: str, row: str, metric: str):
    return ((report.get(part) or {}).get(row) or {}).get(metric)


def _grid(cells: Mapping[str, Mapping[str, str]], metrics: Sequence[str], width: int) -> list[str]:
    """Lines of aligned columns, in blocks that fit ``width``."""
    names = max(map(len, cells), default=0)
    headers = {metric: metric_of(metric).column or metric for metric in metrics}
    widths = {
        metric: max(len(headers[metric]), *(len(row.get(metric, "-")) for row in cells.values())) for metric in metrics
    }
    lines: list[str] = []
    for block in _blocks(widths, width - names):
        lines += [""] if lines else []
        lines.append(" " * names + "".join(f"  {headers[metric]:>{widths[metric]}}" for metric in block))
        for row, values in cells.items():
            lines.append(f"{row:<{names}}" + "".join(f"  {values.get(m, '-'):>{widths[m]}}" for m in block))
    return lines


def _blocks(widths: Mapping[str, int], room: int) -> list[list[str]]:
    """Columns in as many groups as are needed for each to fit, at least one column in each."""
    blocks: list[list[str]] = []
    left = 0
    for name, width in widths.items():
        if not blocks or width + 2 > left:
            blocks.append([])
            left = room
        blocks[-1].append(name)
        left -= width + 2
    return blocks
