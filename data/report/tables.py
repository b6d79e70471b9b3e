"""Tables of the page about a dataset folder: sequences by split, rejections by reason and one by one."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from common.page import column_heads, html_table, section
from data.dataset.splits import SPLITS
from data.report.summary import Summary

# column -> (what it is, unit, whether it spans orders of magnitude)
LABELS = {
    "mean_magnitude": ("mean displacement", "px", True),
    "median_magnitude": ("median displacement", "px", True),
    "p95_magnitude": ("95th percentile of the displacement", "px", True),
    "rms_amplitude": ("rms amplitude", "px", True),
    "top_magnitude": ("displacement of what moves most", "px", True),
    "moving_fraction": ("share of moving pixels", "", False),
    "consistency": ("share of consistent flow", "", False),
}


def counts_section(summary: Summary) -> str:
    """How many sequences are in each split, and how many were dropped."""
    splits = [split for split in (*SPLITS, "") if any(key[0] == split for key in summary.sequences)]
    splits += sorted({split for split, _ in summary.sequences} - set(splits))
    rows = []
    for split in splits:
        kept, dropped = (split, "kept"), (split, "dropped")
        cells = [summary.sequences[kept], len(summary.videos.get(kept, ())), summary.sequences[dropped]]
        rows.append([f"{value:,}" for value in cells] + [_duration(summary.seconds[kept])])
    seconds = sum(value for (_, status), value in summary.seconds.items() if status == "kept")
    totals = [summary.total("kept"), kept_videos(summary), summary.total("dropped")]
    rows.append([f"{value:,}" for value in totals] + [_duration(seconds)])
    headers = ["kept", "their videos", "dropped", "length of the kept"]
    caption = "Sequences by split. Sequences of a video overlap; lengths are those of the sequences added up."
    notes = []
    if summary.unusable:
        notes.append(f"{plural(len(summary.unusable), 'video')} gave no sequence at all.")
    if summary.shots:
        notes.append(f"The sequences come from {plural(len(summary.shots), 'shot')}.")
    whole = html_table(caption, headers, [*(split or "no split" for split in splits), "all"], rows, "split")
    return section("counts", "Sequences", whole + notes_list(notes))


def rejections_section(summary: Summary) -> str:
    """Why sequences and videos were dropped: by kind of reason, and one by one."""
    if not summary.rejected_rows:
        return section("rejections", "Rejections", "<p>Nothing was dropped.</p>")
    found = summary.rejections
    rows = [[f"{kind.sequences:,}" if kind.sequences else "-", f"{len(kind.videos):,}"] for kind in found]
    caption = "Reasons, most frequent first, with the range of their numbers."
    content = html_table(caption, ["sequences", "videos"], [kind.reason for kind in found], rows, "reason")
    return section("rejections", "Rejections", content + _each_rejection(summary))


def _each_rejection(summary: Summary) -> str:
    named = ("id", "source", "start", "split", "reason")
    numbers = [name for name in LABELS if any(row.get(name) is not None for row in summary.rejected)]
    lines = []
    for row in summary.rejected:
        texts = "".join(f'<td class="text">{escape(_text(row.get(name)))}</td>' for name in named[1:])
        values = "".join(f"<td>{_text(row.get(name))}</td>" for name in numbers)
        lines.append(f'<tr><th scope="row">{escape(row["id"] or "whole video")}</th>{texts}{values}</tr>')
    shown = len(summary.rejected)
    all_of_them = shown == summary.rejected_rows
    left = "" if all_of_them else f"; the first {shown:,} of {summary.rejected_rows:,}, manifest.csv has all"
    head = f'<tr><th scope="col">sequence</th>{column_heads([*named[1:], *numbers])}</tr>'
    whole = f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"
    scroll = f'<div class="scroll" tabindex="0">{whole}</div>'
    return f"<details><summary>Each of them{left}</summary>{scroll}</details>"


def notes_list(lines: Iterable[str]) -> str:
    """Remarks as text, one under the other."""
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{listed}</ul>' if listed else ""


def in_unit(name: str, value: float) -> str:
    """A statistic with its unit: ``0.314 px``, shares in per cent."""
    unit = LABELS.get(name, ("", "px", True))[1]
    return f"{value:.3g}\N{NO-BREAK SPACE}{unit}" if unit else f"{value:.1%}"


def _text(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def kept_videos(summary: Summary) -> int:
    """Videos with at least one kept sequence."""
    return len(set().union(*(found for (_, status), found in summary.videos.items() if status == "kept")))


def plural(number: int, noun: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """``59 s``, ``12.3 min`` or ``4.5 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
