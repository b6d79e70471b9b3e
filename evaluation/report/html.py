"""One page that shows a report: tables with intervals and notes, plots, X-t slices, clips, and where it all comes from.

The page is a single file that loads nothing: pictures and clips are inside it, and its content security policy forbids
the rest. Names of files, rows and metrics are text, whatever is in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from common.command_line import package_versions
from common.page import column_heads, data_url, figure, html_page, html_table, image, listing, section, write_page
from evaluation.metrics.registry import format_value, in_order, metric_names, metric_of
from evaluation.report.media import Media
from evaluation.report.plots import report_plots
from evaluation.report.report import per_sequence_rows, source_of
from evaluation.report.text import (
    Cell,
    cell_of,
    count_of,
    format_ratios,
    group_reports,
    headline,
    shared_counts,
)

__all__ = ["Media", "figure_cell", "page", "write_html"]

FOLDER = Path(__file__).parent
TITLES = {"rendering": "Rendering", "motion": "Motion", "sampling": "Sampling", "ablation": "Ablation"}
ARROWS = {"higher": " ↑", "lower": " ↓", "one": " → 1"}
DIRECTIONS = "↑ higher is better, ↓ lower is better, → 1 nearest 1 is best."


@dataclass(frozen=True)
class PageLimits:
    """What keeps a page small enough to open."""

    clips: int = 30_000_000  # bytes of mp4
    pictures: int = 15_000_000  # bytes of X-t slices, and as many of plots
    sequence_rows: int = 3000  # of the per-sequence table; the JSON inside the page has all


LIMITS = PageLimits()


def write_html(
    path: str | Path,
    report: Mapping,
    *,
    media: Media | None = None,
    limits: PageLimits = LIMITS,
    more: Sequence[str] = (),
) -> None:
    """Write the page of a report to one file.

    Args:
        report: a report's contents, of any kind. Versions are added where it has none.
        media: X-t slices, clips and further plots.
        limits: what would make the page larger is left out, and it says so.
        more: further sections, as HTML, below the results.
    """
    write_page(path, page(report, media, limits=limits, more=more))


def page(report: Mapping, media: Media | None = None, limits: PageLimits = LIMITS, *, more: Sequence[str] = ()) -> str:
    """The page of a report as HTML."""
    media = media or Media()
    report = {"versions": package_versions(), **report}
    sections = [
        _warnings(report.get("warnings") or ()),
        _results(report),
        _groups(report),
        _ratios(report.get("ratios") or {}),
        *more,
        _plots([*report_plots(report, colors=media.colors), *media.plots], limits.pictures),
        _slices(media.slices, limits.pictures),
        _clips(media.clips, limits.clips),
        _per_sequence(report, limits.sequence_rows),
        _provenance(report),
    ]
    return html_page(
        f"{TITLES.get(report.get('kind', ''), 'Evaluation')}: {_data_name(report)}",
        _summary(report),
        sections,
        report,
        (FOLDER / "page.js").read_text(encoding="utf-8"),
    )


def _data_name(report: Mapping) -> str:
    data = report.get("data") or {}
    return " ".join(str(data[key]) for key in ("name", "split") if data.get(key)) or "a table"


def _summary(report: Mapping) -> str:
    parts = [headline(report)]
    checkpoint = report.get("checkpoint") or {}
    if checkpoint.get("name"):
        parts.append(f"checkpoint {checkpoint['name']}")
    if report.get("seed") is not None:
        parts.append(f"seed {report['seed']}")
    return "; ".join(parts)


# Tables ---------------------------------------------------------------------------------------------------------------


def _warnings(warnings: Iterable[str]) -> str:
    return "\n".join(f'<p class="warning" role="note">Warning: {escape(warning)}</p>' for warning in warnings)


def _results(report: Mapping) -> str:
    table = report["table"]
    metrics = metric_names(table)
    notes = in_order(note for row in table for metric in metrics if (note := cell_of(report, row, metric=metric).note))
    content = [f"<p>Figures with their 95 % intervals. {DIRECTIONS}</p>"]
    for caption, distribution in (("Distances between sets of frames or clips", True), ("Means over sequences", False)):
        group = [name for name in metrics if metric_of(name).distribution is distribution]
        if group:
            headers = [metric_of(name).label + ARROWS.get(metric_of(name).better or "", "") for name in group]
            rows = [[_result(report, row, metric, notes) for metric in group] for row in table]
            content.append(html_table(caption, headers, list(table), rows))
    listed = "".join(f'<li id="note-{number}">{escape(note)}</li>' for number, note in enumerate(notes, 1))
    counts = "".join(f"<li>{escape(line)}</li>" for line in shared_counts(report))
    content += [f'<ol class="notes">{listed}</ol>'] if notes else []
    content += [f'<ul class="notes">{counts}</ul>'] if counts else []
    return section("results", "Results", "\n".join(content))


def _result(report: Mapping, row: str, metric: str, notes: Sequence[str]) -> str:
    cell = cell_of(report, row, metric=metric)
    number = notes.index(cell.note) + 1 if cell.note else 0
    mark = f'<sup><a href="#note-{number}" aria-label="note {number}">{number}</a></sup>' if number else ""
    return figure_cell(cell, mark)


def figure_cell(cell: Cell, mark: str = "") -> str:
    """A figure as HTML, with its interval and its count below it."""
    extra = "".join(f'<span class="extra">{escape(text)}</span>' for text in (cell.interval, cell.count) if text)
    return escape(cell.value) + mark + extra


def _groups(report: Mapping) -> str:
    """A table for each group of sequences; its notes are those of the whole table and stand there."""
    tables = []
    for title, group in group_reports(report):
        names = metric_names(group["table"])
        headers = [metric_of(name).label + ARROWS.get(metric_of(name).better or "", "") for name in names]
        rows = [[figure_cell(cell_of(group, row, metric=name)) for name in names] for row in group["table"]]
        tables.append(html_table(title, headers, list(group["table"]), rows))
    return section("groups", "Groups of sequences", "\n".join(tables)) if tables else ""


def _ratios(ratios: Mapping[str, Mapping[str, float | None]]) -> str:
    if not ratios:
        return ""
    metrics = metric_names(ratios)
    cells = format_ratios(ratios)
    rows = [[cells[row].get(name, "-") for name in metrics] for row in ratios]
    caption = "Each distance divided by that of repeating the photo: what data of another size can be held against."
    headers = [metric_of(name).label for name in metrics]
    return section("ratios", "Ratio to repeat", html_table(caption, headers, list(ratios), rows))


def _per_sequence(report: Mapping, most: int) -> str:
    values = list(per_sequence_rows(report))
    if not values:
        return ""
    metrics = in_order(name for _, _, row in values for name in row)
    shown = values[:most]
    rows = []
    for identifier, row, cells in shown:
        texts = (f'<td class="text">{escape(text)}</td>' for text in (source_of(report, identifier), row))
        numbers = (f"<td>{_number(cells.get(name), name)}</td>" for name in metrics)
        rows.append(f'<tr><th scope="row">{escape(identifier)}</th>{"".join(texts)}{"".join(numbers)}</tr>')
    heads = '<th scope="col" class="text">video</th><th scope="col" class="text">row</th>' + column_heads(
        metric_of(name).label for name in metrics
    )
    left = f" The first {len(shown)} of {len(values)}; the JSON has all." if len(shown) < len(values) else ""
    caption = f"<caption>Every value of every sequence.{left}</caption>"
    table = (
        f'<table>{caption}<thead><tr><th scope="col">sequence</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
    )
    summary = f"<summary>{count_of(len({v[0] for v in values}), 'sequence')}, {count_of(len(values), 'row')}</summary>"
    scroll = f'<div class="scroll" tabindex="0">{table}</table></div>'
    return section("sequences", "Each sequence", f"<details>{summary}{scroll}</details>")


def _number(value: float | None, metric: str) -> str:
    return "-" if value is None else format_value(value, metric_of(metric).decimals)


# Pictures and clips ---------------------------------------------------------------------------------------------------


def _plots(plots: Sequence[tuple[str, str | bytes]], limit: int) -> str:
    pictures = [(caption, plot.encode() if isinstance(plot, str) else plot) for caption, plot in plots]
    return _pictures("plots", "Plots", pictures, limit)


def _slices(slices: Sequence[tuple[str, bytes]], limit: int) -> str:
    return _pictures("slices", "X-t slices", slices, limit)


def _pictures(name: str, title: str, pictures: Sequence[tuple[str, bytes]], limit: int) -> str:
    kept, left = _within(pictures, limit)
    if not pictures:
        return ""
    figures = [figure(caption, image(data, caption)) for caption, data in kept]
    return section(name, title, "\n".join(figures) + _left_out(left, len(pictures), "picture"))


def _clips(clips: Sequence[tuple[str, bytes]], limit: int) -> str:
    if not clips:
        return ""
    kept, left = _within(clips, limit)
    videos = [
        figure(
            caption,
            f'<video controls loop muted playsinline preload="metadata" aria-label="{escape(caption)}" '
            f'src="{data_url("video/mp4", data)}"></video>',
        )
        for caption, data in kept
    ]
    buttons = '<button type="button" data-clips="play" hidden>Play all from the start</button>'
    buttons += '<button type="button" data-clips="pause" hidden>Pause all</button>'
    grid = "\n".join(['<div class="clips">', *videos, "</div>"])
    return section("clips", "Clips", buttons + grid + _left_out(left, len(clips), "clip"))


def _within(media: Sequence[tuple[str, bytes]], limit: int) -> tuple[list[tuple[str, bytes]], int]:
    """Those that fit into so many bytes, first come first served, and how many did not."""
    kept = []
    for caption, data in media:
        if len(data) <= limit:
            kept.append((caption, data))
            limit -= len(data)
    return kept, len(media) - len(kept)


def _left_out(left: int, total: int, noun: str) -> str:
    return f'<p class="notes">{left} of {count_of(total, noun)} left out to keep this page small.</p>' if left else ""


# Where the numbers come from ------------------------------------------------------------------------------------------


def _provenance(report: Mapping) -> str:
    data = {key: value for key, value in (report.get("data") or {}).items() if key != "identities"}
    checkpoint = report.get("checkpoint") or {}
    groups = {
        "Protocol": {"seed": report.get("seed"), **(report.get("protocol") or {})},
        "Data": data,
        "Checkpoint": {
            "name": checkpoint.get("name"),
            **_of(checkpoint, "files"),
            "defaults": checkpoint.get("defaults"),
        },
        "Metric weights (hash of the tensors)": {
            name: digest or "none: what needs them was not computed"
            for name, digest in (report.get("weights") or {}).items()
        },
        "Command": {"script": report.get("script"), **_of(report, "options")},
        "Versions": report["versions"],
        "Timings": report.get("timings") or {},
    }
    content = "\n".join(listing(title, values) for title, values in groups.items())
    return section("provenance", "What was measured", content)


def _of(values: Mapping, key: str) -> Mapping:
    return values.get(key) or {}
