"""The plots of a report as SVG: distances over time, and every metric's values by row with their intervals.

Rows keep their colours in all plots of a report; the tables give those of the rows that they know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from zlib import crc32

from common.plots import (
    BLACK,
    BLUE,
    BROWN,
    FAINT,
    PURPLE,
    SKY,
    VIOLET,
    clean_axes,
    save_svg,
    svg_figure,
)
from evaluation.metrics.registry import metric_names, metric_of

OTHER_COLORS = (PURPLE, SKY, BLACK, BROWN, VIOLET)  # of rows without a colour of their own, in their order
DASHES = ((1, 0), (5, 2), (2, 2), (6, 2, 2, 2), (1, 1), (8, 3))
MOST_VECTOR_POINTS = 3000  # in one plot; more of them are drawn as pixels
COLUMNS = 3
ONE_COLOR = ("ablation", "sampling")  # tables of more rows than there are colours
ARROWS = {"higher": "{} \N{RIGHTWARDS ARROW}", "lower": "\N{LEFTWARDS ARROW} {}"}  # towards what is better


def report_plots(report: Mapping, *, colors: Mapping[str, str | None] | None = None) -> list[tuple[str, str]]:
    """(caption, SVG) of every plot that a report has the values for; ``colors`` as for :func:`row_colors`."""
    plots = [
        (f"{curve_label(name)} against time; lower is better.", curve_plot(curves, curve_label(name), colors=colors))
        for name, curves in (report.get("curves") or {}).items()
        if any(points for points in curves.values())
    ]
    per_sequence = bool(report.get("per_sequence"))
    for metrics in _groups(report):
        names = ", ".join(metric_of(name).label for name in metrics)
        small = " Small dots are sequences." if per_sequence and not metric_of(metrics[0]).distribution else ""
        plots.append(
            (f"{names}: each row's figure with its 95 % interval.{small}", value_plot(report, metrics, colors=colors))
        )
    return plots


def curve_label(name: str) -> str:
    """``fid_window30`` -> ``FID of windows of 30 frames``."""
    match = re.fullmatch(r"(\w+?)_window(\d+)", name)
    if match is None:
        return metric_of(name).label
    return f"{metric_of(match[1]).label} of windows of {match[2]} frames"


def curve_plot(
    curves: Mapping[str, Sequence[Sequence[float | None]]],
    label: str,
    *,
    colors: Mapping[str, str | None] | None = None,
) -> str:
    """Lines over time, one a method, as SVG: ``{method: [[time in frames, value], ...]}``; gaps where a value is None.

    Methods are told apart by dashes as well as by colour.
    """
    with svg_figure(8.0, 3.4) as (figure, buffer):
        axes = figure.subplots()
        shown = row_colors(curves, colors)
        for (name, points), dashes in zip(curves.items(), cycle(DASHES), strict=False):
            times = [point[0] for point in points]
            values = [float("nan") if point[1] is None else point[1] for point in points]
            mark = "o" if len(points) < 40 else ""
            line = axes.plot(
                times, values, mark, linestyle="-", color=shown[name], markersize=3, label=_short(name, 24)
            )
            line[0].set_dashes(dashes)
        axes.set_xlabel("time (frames)")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=3.5)
        clean_axes(axes)
        return save_svg(figure, buffer)


def value_plot(report: Mapping, metrics: Sequence[str], *, colors: Mapping[str, str | None] | None = None) -> str:
    """One panel a metric as SVG: a row's figure as a large dot with its interval, its sequences as small ones.

    A dashed line stands at the first row's figure, at 1 for metrics that are best there.
    """
    rows = [row for row in report["table"] if any(report["table"][row].get(name) is not None for name in metrics)]
    columns = min(COLUMNS, len(metrics))
    lines = -(-len(metrics) // columns)
    shown = row_colors(report["table"], colors)
    if report.get("kind") in ONE_COLOR:
        shown = dict.fromkeys(shown, BLUE)
    with svg_figure(2.2 + 2.6 * columns, lines * (0.9 + 0.27 * len(rows))) as (figure, buffer):
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel, name in zip(panels, metrics, strict=False):
            _value_panel(panel, report, rows, name, shown)
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()
        panels[0].set_yticks(range(len(rows)), [_short(row) for row in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
        return save_svg(figure, buffer)


def row_colors(rows: Iterable[str], colors: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Colour of each row: its own where ``colors`` has one, else the next of :data:`OTHER_COLORS`."""
    others, own = cycle(OTHER_COLORS), colors or {}
    return {row: own.get(row) or next(others) for row in rows}


def _value_panel(panel, report: Mapping, rows: Sequence[str], name: str, colors: Mapping[str, str]) -> None:
    known = metric_of(name)
    values = {row: report["table"][row].get(name) for row in rows}
    points = {row: _sequence_values(report, row, name) for row in rows}
    pixels = sum(map(len, points.values())) > MOST_VECTOR_POINTS
    reference = 1.0 if known.better == "one" else values[rows[0]] if rows[:1] == list(report["table"])[:1] else None
    if reference is not None:
        panel.axvline(reference, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for y, row in enumerate(rows):
        value = values[row]
        if value is None:
            across = panel.get_yaxis_transform()  # a share of the panel across, a row number down
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            panel.text(0.02, y, "not computed", color=FAINT, va="center", fontsize=7, transform=across, bbox=box)
            continue
        color = colors[row]
        heights = [y + _jitter(identifier) for identifier in points[row]]
        panel.scatter(
            list(points[row].values()), heights, s=7, color=color, alpha=0.35, linewidths=0, rasterized=pixels
        )
        interval = ((report.get("intervals") or {}).get(row) or {}).get(name)
        if interval:
            panel.plot(interval, [y, y], color=color, linewidth=2.2, solid_capstyle="butt")
        panel.plot([value], [y], "o", color=color, markersize=6, markeredgecolor="white")
    panel.set_title(ARROWS.get(known.better or "", "{}").format(known.label), fontsize=9)
    clean_axes(panel)


def _groups(report: Mapping) -> Iterator[list[str]]:
    """Metrics that have values, in plots of their own kind: distances of sets, values of sequences, others."""
    table = report["table"]
    names = [name for name in metric_names(table) if _rows_with(table, name) >= min(2, len(table))]
    for wanted in (True, False):
        group = [name for name in names if metric_of(name).distribution is wanted]
        if group:
            yield group


def _rows_with(table: Mapping[str, Mapping], name: str) -> int:
    return sum(row.get(name) is not None for row in table.values())


def _sequence_values(report: Mapping, row: str, name: str) -> dict[str, float]:
    sequences = (report.get("per_sequence") or {}).get(row) or {}
    found = {identifier: values.get(name) for identifier, values in sequences.items()}
    return {identifier: value for identifier, value in found.items() if value is not None}


def _jitter(identifier: str) -> float:
    """Height within a row, the same for a sequence in every row and run."""
    return (crc32(identifier.encode()) % 1000 / 1000 - 0.5) * 0.5


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
