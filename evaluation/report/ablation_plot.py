"""The plot of an ablation: one panel of bars for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from common.plots import BLUE
from evaluation.metrics.registry import format_value, metric_names, metric_of


def ablation_plot(report: Mapping) -> bytes:
    """PNG with one panel of bars for each metric that any row has, intervals as thin lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = report["table"]
    rows = list(table)
    metrics = [name for name in metric_names(table) if any(table[row].get(name) is not None for row in rows)]
    columns = min(3, max(1, len(metrics)))
    lines = max(1, -(-len(metrics) // columns))
    figure = Figure(figsize=(2.0 + 3.0 * columns, lines * (1.0 + 0.3 * len(rows))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    for axes, metric in zip(panels, metrics, strict=False):
        _draw_bars(axes, report, metric)
    for axes in panels[len(metrics) :]:
        axes.set_visible(False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _draw_bars(axes: Any, report: Mapping, metric: str) -> None:
    """One panel of :func:`ablation_plot`: a bar a row, the first one on top."""
    shown = metric_of(metric)
    rows = list(report["table"])
    for place, row in enumerate(rows):
        value = report["table"][row].get(metric)
        if value is None:
            axes.text(0, place, " not computed", va="center", fontsize=7, color="0.5")
            continue
        axes.barh(place, value, 0.7, color=BLUE if row == "full" else "0.75")
        interval = report["intervals"][row].get(metric)
        end = value
        if interval is not None:
            axes.plot(interval, (place, place), color="0.25", linewidth=1)
            end = max(value, interval[1])
        axes.text(end, place, " " + format_value(value, shown.decimals), va="center", fontsize=7)
    better = {"higher": ", higher is better", "lower": ", lower is better", "one": ", 1 is right"}
    axes.set_title(shown.label + better.get(shown.better or "", ""), fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
