"""What a motion table leaves to look at: clips of all methods side by side, X-t slices, plots, the CSV and the page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from common.files import write_text
from data.media.sheets import expect_moviepy
from evaluation.report.comparison_video import Comparison, add_comparison, write_comparison
from evaluation.report.html import write_html
from evaluation.report.media import Media
from evaluation.report.plots import report_plots
from evaluation.report.report import write_csv
from evaluation.sequences import EvaluationSequence
from models.spectral_volume import motion_amplitude

SHOWN = 4  # sequences, each of another video


class MotionMedia:
    """Keeps the frames of a few sequences, spread over the split, and writes what there is to look at."""

    def __init__(
        self, sequences: Sequence[EvaluationSequence], *, colors: Mapping[str, str | None] | None = None
    ) -> None:
        """``colors``: of the methods in plots, see :func:`evaluation.report.plots.row_colors`.

        Raises:
            ValueError: moviepy is not installed.
        """
        expect_moviepy()
        self._colors = colors or {}
        first = list({sequence.source: sequence for sequence in reversed(sequences)}.values())[::-1]
        count = min(SHOWN, len(first))
        self._shown = [first[index * len(first) // count] for index in range(count)]
        self._frames: dict[str, dict[str, Tensor]] = {sequence.id: {} for sequence in self._shown}

    def add(self, method: str, sequence: EvaluationSequence, *, frames: Tensor) -> None:
        """Take in a method's video of a sequence, uint8 ``[T, 3, H, W]``; kept where the sequence is shown."""
        if sequence.id in self._frames:
            self._frames[sequence.id][method] = frames

    def write(self, output: Path | None, page: Path | None, *, report: Mapping) -> None:
        """Into the folder ``per_sequence.csv``, clips and plots; and the page, each where a path is given."""
        comparisons = [self._comparison(sequence) for sequence in self._shown]
        if output is not None:
            write_csv(output / "per_sequence.csv", report)
            for caption, picture in report_plots(report, colors=self._colors):
                write_text(output / f"{file_name(caption)}.svg", picture)
            for comparison in comparisons:
                write_comparison(output, comparison)
        if page is not None:
            media = Media(colors=self._colors)
            for comparison in comparisons:
                add_comparison(media, comparison)
            write_html(page, report, media=media)

    def _comparison(self, sequence: EvaluationSequence) -> Comparison:
        videos = self._frames[sequence.id]
        wide = {name: frames for name, frames in videos.items() if frames.shape[-2:] == sequence.size[::-1]}
        length = max(len(frames) for frames in wide.values())
        # Videos of others may be shorter: they stop at their last frame.
        whole = {name: frames[[min(t, len(frames) - 1) for t in range(length)]] for name, frames in wide.items()}
        moving = motion_amplitude(sequence.volume())[0, 0].mean(dim=1)
        return Comparison(sequence.id, sequence.id, whole, sequence.fps, int(moving.argmax()))


def file_name(caption: str) -> str:
    """What a caption begins with, as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "_", re.split("[:;] ", caption.lower())[0]).strip("_")[:60] or "plot"
