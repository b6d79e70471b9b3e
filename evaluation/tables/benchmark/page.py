"""What the benchmark leaves to look at: one page with all tables, and the tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from baselines.registry import METHODS
from common.page import html_table, section
from data.media.read_video import read_video
from evaluation.metrics.registry import format_value, metric_names, metric_of
from evaluation.report.comparison_video import Comparison, add_comparison
from evaluation.report.html import figure_cell, write_html
from evaluation.report.media import Media
from evaluation.report.text import RATIO_DECIMALS, Cell, cell_of, count_of, format_ratios, table_notes
from evaluation.sequences import EvaluationSequence
from evaluation.tables.benchmark.parts import Part
from evaluation.tables.benchmark.published import PUBLISHED
from models.spectral_volume import motion_amplitude

SHOWN = 4  # scenes of which clips and slices are shown
TITLES = {
    "motion": "Table 1: motion",
    "film": "Table 1 on film",
    "ablation": "Table 2: ablation",
    "rendering": "Rendering",
}
PAPER = "paper: "  # before its rows
RATIO = "{} over repeat"


def write_tables_page(path: Path, reports: Mapping[str, Mapping], parts: Mapping[str, Sequence[Part]]) -> None:
    """Write the page of all tables.

    Args:
        path: its file.
        reports: by table; the page shows everything of the first one, and the tables of the others.
        parts: of each table of motion, those whose videos are shown.
    """
    first = next(iter(reports))
    media = Media(colors={name: method.color for name, method in METHODS.items()})
    for comparison in comparisons(parts.get(first, ())):
        add_comparison(media, comparison)
    write_html(path, reports[first], media=media, more=[_beside(*pair) for pair in reports.items()])


def comparisons(parts: Sequence[Part], most: int = SHOWN) -> Iterable[Comparison]:
    """The videos of all rows side by side, of scenes spread over those that were tested."""
    shown = {sequence.source: sequence for part in parts for sequence in part.sequences}
    chosen = list(shown.values())
    count = min(most, len(chosen))
    for sequence in (chosen[index * len(chosen) // count] for index in range(count)):
        videos = {part.row: frames for part in parts if (frames := _video(part, sequence)) is not None}
        moving = motion_amplitude(sequence.volume())[0, 0].mean(dim=1)
        yield Comparison(sequence.id, sequence.id, videos, sequence.fps, int(moving.argmax()))


def _video(part: Part, sequence: EvaluationSequence) -> Tensor | None:
    path = part.folder / f"{sequence.id}.mp4"
    if not path.is_file():
        return None
    return torch.from_numpy(read_video(path)[0]).permute(0, 3, 1, 2)


# Tables beside the paper's --------------------------------------------------------------------------------------------


def columns(report: Mapping, table: str) -> list[str]:
    """The metrics that a table has figures of, here or in the paper."""
    known = metric_names(report["table"])
    published = PUBLISHED[table]
    return [name for name in known if any(name in row for row in (*published.values(), *_values(report).values()))]


def _values(report: Mapping) -> dict[str, dict[str, float]]:
    return {row: {name: v for name, v in cells.items() if v is not None} for row, cells in report["table"].items()}


def rows(report: Mapping, table: str, *, shown: Sequence[str]) -> tuple[list[str], dict[str, list[Cell]]]:
    """Heads, and by name the cells of all rows: those measured, then the paper's that have any of these metrics."""
    ratios = format_ratios(report.get("ratios") or {})
    rated = [name for name in shown if any(name in row for row in ratios.values())]
    heads = [metric_of(name).label for name in shown] + [RATIO.format(metric_of(name).label) for name in rated]
    found = {}
    for row in report["table"]:
        cells = [cell_of(report, row, metric=name) for name in shown]
        found[row] = cells + [Cell(ratios.get(row, {}).get(name, "-")) for name in rated]
    published = PUBLISHED[table]
    for row, values in published.items():
        if not any(name in values for name in shown):
            continue
        cells = [_number(values.get(name), metric_of(name).decimals) for name in shown]
        base = published.get("repeat", {})
        found[PAPER + row] = cells + [
            _number(values[name] / base[name] if name in values and name in base else None, RATIO_DECIMALS)
            for name in rated
        ]
    return heads, found


def _number(value: float | None, decimals: int) -> Cell:
    return Cell("-" if value is None else format_value(value, decimals))


def markdown(table: str, report: Mapping) -> str:
    """A table as Markdown with its notes."""
    heads, found = rows(report, table, shown=columns(report, table))
    data = report["data"]
    counts = f"{count_of(data['sequences'], 'sequence')} of {count_of(data['sources'], 'clip')}"
    lines = [f"## {TITLES[table]}", "", f"{counts} ({data['split']}).", ""]
    lines += [f"| | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    lines += [f"| {row} | {' | '.join(map(str, cells))} |" for row, cells in found.items()]
    notes = [*table_notes(report), *(f"warning: {line}" for line in report.get("warnings") or ()), *trainings(report)]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def trainings(report: Mapping) -> list[str]:
    """A line for each training: its steps, and the time that it took."""
    return [
        f"trained: {name}: {', '.join(f'{count} {stage}' for stage, count in of['steps'].items())} steps; {_took(of)}"
        for name, of in (report.get("protocol") or {}).get("trainings", {}).items()
    ]


def _took(training: Mapping) -> str:
    if training["seconds"] is None:
        return "their time is not known"
    return f"{training['processor_seconds']:.0f} s of the processor in {training['seconds']:.0f} s"


def _beside(table: str, report: Mapping) -> str:
    """A table with the metrics that the paper has; a table of another kind than the page's has all of its own."""
    known = columns(report, table)
    shared = [name for name in known if any(name in row for row in PUBLISHED[table].values())]
    heads, found = rows(report, table, shown=shared if table in ("motion", "film") and shared else known)
    caption = "The paper's figures are of other data: the order of rows and the ratios are what compares."
    cells = [[figure_cell(cell) for cell in row] for row in found.values()]
    return section(
        f"table-{table}", f"{TITLES[table]}, beside the paper", html_table(caption, heads, list(found), cells)
    )
