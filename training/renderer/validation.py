"""The rendering table on a few frames of a split: what the renderer's training is watched by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from common.images import from_8_bits
from data.media.sheets import expect_moviepy
from evaluation.metrics.image import Distance, psnr
from evaluation.report.comparison_video import Comparison, write_comparison
from evaluation.report.pictures import comparison_picture
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.rendering import COMPARED_ROWS, STORED_FPS
from evaluation.tables.rendering_scores import RenderingTable, SequenceFrames, frame_measures, read_sequence_frames
from models.rendering.model import FrameSynthesisModel

ROWS = ("model", "average-splatting", "softmax-splatting", "remap")
SEQUENCES, FRAMES = 12, 4  # sequences in the table and frames of each: a few seconds on two CPU cores
PICTURED = 3  # sequences in the picture
VIDEO_FRAMES = 48  # length of the videos before the last step

Table = dict[str, dict[str, float]]  # row -> metric -> value


class RendererValidation:
    """Scores a model that is being trained beside what needs no training, whose figures are computed once.

    Args:
        folders: dataset folders with sequences in the split.
        distance: LPIPS, or None for a table without it.
        sequences: how many at most, taken from all folders and videos in turn.
        frames: how many of each sequence, evenly spread over the stored ones.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        distance: Distance | None,
        *,
        device: torch.device,
        split: str = "validation",
        sequences: int = SEQUENCES,
        frames: int = FRAMES,
    ) -> None:
        expect_moviepy()  # now, not when the first hour of training is over
        found = spread([load_sequences(folder, split) for folder in folders], sequences)
        self._measures = frame_measures(distance)
        self._device = device
        self._few: list[tuple[EvaluationSequence, SequenceFrames]] = []
        most_motion = -1.0
        for sequence in found:
            whole = read_sequence_frames(sequence, stored=True)
            self._few.append((sequence, take(whole, frames)))
            if float(whole.importance.mean()) > most_motion:
                most_motion, self._filmed = float(whole.importance.mean()), (sequence, whole)
        self._baselines = self._table(ROWS[1:], None)
        self.frames = sum(len(few.targets) for _, few in self._few)

    def table(self, model: FrameSynthesisModel) -> Table:
        """``{row: {"psnr", "ssim" and, with a distance, "lpips"}}``: means over frames, then over sequences."""
        return self._table(ROWS[:1], model) | self._baselines

    def _table(self, rows: Sequence[str], model: FrameSynthesisModel | None) -> Table:
        from evaluation.networks.feature_networks import full_precision

        table = RenderingTable(rows, model=model, measures=self._measures, device=self._device, stored=True)
        scores = []
        for sequence, frames in self._few:
            with full_precision():
                scores.append(table.score(sequence, frames))
        metrics = [name for name, value in scores[0][rows[0]].items() if value is not None]
        return {row: {metric: fmean(each[row][metric] or 0.0 for each in scores) for metric in metrics} for row in rows}

    @torch.no_grad()
    def write_video(self, folder: Path, name: str, model: FrameSynthesisModel, whole: bool = True) -> None:
        """``<name>.mp4``: original, model, average splatting and remapping of the sequence in which most moves."""
        sequence, frames = self._filmed
        consecutive = len(frames.targets) >= sequence.num_frames - 1
        count = len(frames.targets) if whole else VIDEO_FRAMES
        part = replace(frames, targets=frames.targets[:count], flows=frames.flows[:count])
        table = RenderingTable(COMPARED_ROWS, model=model, measures={}, device=self._device, stored=True)
        batches = list(table.render(sequence, part, COMPARED_ROWS))
        cells = {"original": part.targets}
        for row in COMPARED_ROWS:
            video = torch.cat([batch[row].cpu() for batch in batches])
            cells[f"{row}  {float(psnr(from_8_bits(video), from_8_bits(part.targets)).mean()):.2f} dB"] = video
        folder.mkdir(parents=True, exist_ok=True)
        fps = sequence.fps if consecutive else STORED_FPS
        write_comparison(folder, Comparison(name, f"{sequence.id}", cells, fps, 0))

    @torch.no_grad()
    def write_picture(self, path: Path, model: FrameSynthesisModel) -> None:
        """A labelled sheet of some frames: source, target, model and baselines."""
        from data.media.images import write_image

        chosen = [self._few[i * len(self._few) // PICTURED][1] for i in range(PICTURED)]
        pairs = []
        for frames in chosen:
            farthest = int(frames.flows.float().abs().mean(dim=(1, 2, 3)).argmax())
            images = (from_8_bits(frames.source[None]), from_8_bits(frames.targets[farthest][None]))
            flow = frames.flows[farthest][None].float()
            pairs.append([tensor.to(self._device) for tensor in (*images, flow, frames.importance)])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, comparison_picture(model, pairs))


def spread(folders: Sequence[Sequence[EvaluationSequence]], count: int) -> list[EvaluationSequence]:
    """At most ``count`` sequences: in turn one of each folder, and within a folder one of each video."""
    queues: list[list[EvaluationSequence]] = []
    for sequences in folders:
        by_source: dict[str, list[EvaluationSequence]] = {}
        for sequence in sequences:
            by_source.setdefault(sequence.source, []).append(sequence)
        # Rank by the place within its video, the videos' order stays.
        ranked = [(place, sequence) for group in by_source.values() for place, sequence in enumerate(group)]
        queues.append([sequence for _, sequence in sorted(ranked, key=lambda entry: entry[0])])
    turns = [(place, sequence) for queue in queues for place, sequence in enumerate(queue)]
    return [sequence for _, sequence in sorted(turns, key=lambda entry: entry[0])][:count]


def take(frames: SequenceFrames, count: int) -> SequenceFrames:
    """The middle ones of ``count`` equal stretches; the first stored frame of a sequence hardly moves."""
    total = len(frames.targets)
    count = min(count, total)
    indices = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    return replace(frames, targets=frames.targets[indices], flows=frames.flows[indices])


def format_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """One line a row."""
    units = {"psnr": "{:7.3f} dB", "ssim": "SSIM {:.4f}", "lpips": "LPIPS {:.4f}", "sharpness": "sharpness {:.3f}"}
    return "\n".join(
        f"{row:<18}" + "   ".join(units[metric].format(value) for metric, value in values.items())
        for row, values in table.items()
    )
