"""The plot of a sampling table: measures against what they cost, one line a way to sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from common.plots import BLUE, FAINT, GRAY, GREEN, ORANGE, VERMILION, clean_axes, plain_log_scale, save_svg, svg_figure
from evaluation.metrics.registry import metric_names, metric_of
from evaluation.report.plots import ARROWS, COLUMNS, OTHER_COLORS

COST = "U-Net calls"  # what quality is drawn against: it is the same on all machines
COST_METRIC = "network_calls"
QUALITY = ("motion", "sets", "loop")  # kinds of metrics that are drawn
LINE_COLORS = (*OTHER_COLORS, BLUE, GRAY, GREEN, ORANGE, VERMILION)


def cost_plot(report: Mapping) -> str | None:
    """Measures of a sampling table against the U-Net calls of a photo as SVG, one line a way to sample.

    None where fewer than two rows have both. A dotted line stands at the figure of ``true-motion``.
    """
    table = report["table"]
    lines = _lines(report)
    metrics = [name for name in metric_names(table) if metric_of(name).kind in QUALITY]
    if sum(map(len, lines.values())) < 2 or not metrics:
        return None
    columns = min(COLUMNS, len(metrics))
    with svg_figure(1.2 + 2.9 * columns, 2.6 * -(-len(metrics) // columns)) as (figure, buffer):
        panels = figure.subplots(-(-len(metrics) // columns), columns, squeeze=False).ravel()
        for panel, metric in zip(panels, metrics, strict=False):
            _cost_panel(panel, table, lines, metric)
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return save_svg(figure, buffer)


def _lines(report: Mapping) -> dict[str, list[str]]:
    """Way to sample -> names of its rows, by number of steps."""
    lines: dict[str, list[str]] = {}
    for name, row in sorted((report.get("rows") or {}).items(), key=lambda item: item[1]["steps"]):
        if report["table"][name].get(COST_METRIC) is not None:
            lines.setdefault(name.replace(f" {row['steps']}", "", 1), []).append(name)
    return lines


def _cost_panel(panel, table: Mapping, lines: Mapping[str, Sequence[str]], metric: str) -> None:
    colors = dict(zip(lines, cycle(LINE_COLORS), strict=False))
    for name, rows in lines.items():
        points = [(table[row][COST_METRIC], table[row].get(metric)) for row in rows]
        known = [point for point in points if point[1] is not None]
        if known:
            panel.plot(*zip(*known, strict=True), "o-", color=colors[name], markersize=3.5, label=name)
    truth = (table.get("true-motion") or {}).get(metric)
    if truth is not None:
        panel.axhline(truth, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    shown = metric_of(metric)
    panel.set_title(ARROWS.get(shown.better or "", "{}").format(shown.label), fontsize=9)
    panel.set_xscale("log")
    panel.set_xticks(sorted({table[row][COST_METRIC] for rows in lines.values() for row in rows}))
    plain_log_scale(panel.xaxis)
    panel.set_xlabel(f"{COST} a photo", fontsize=8)
    clean_axes(panel)
