"""Frames of real sequences rendered by each row of the rendering table, and what they score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from common.images import from_8_bits, to_8_bits
from common.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION
from common.stopwatch import Stopwatch
from data.dataset.reading import importance_motion
from evaluation.metrics.flicker import Flicker
from evaluation.metrics.image import psnr
from evaluation.metrics.structural_similarity import StructuralSimilarity
from evaluation.sequences import EvaluationSequence
from models.pipeline import frames_a_batch
from models.rendering.dispatch import Render, photo_renderer
from models.rendering.model import FrameSynthesisModel

# Row of the table -> name of what renders it, as models.rendering.dispatch.photo_renderer knows it.
ROWS = {
    "model": "model",
    "average-splatting": "average",
    "linear-splatting": "linear",
    "softmax-splatting": "softmax",
    "remap": "remap",
    "repeat": "repeat",
}
COLORS = {
    "model": BLUE,
    "average-splatting": ORANGE,
    "linear-splatting": VERMILION,
    "softmax-splatting": GREEN,
    "remap": PURPLE,
    "repeat": GRAY,
}
METRICS = ("psnr", "ssim", "lpips", "flicker")
REAL = "real"

Distance = Callable[[Tensor, Tensor], Tensor]  # LPIPS of [N, 3, H, W] twice, in [-1, 1] -> [N]
Scores = dict[str, float | None]  # by metric


@dataclass(frozen=True)
class SequenceFrames:
    """What is rendered of one sequence, and what it is rendered from."""

    source: Tensor  # uint8 [3, H, W], frame 0
    targets: Tensor  # uint8 [N, 3, H, W], later frames
    flows: Tensor  # [N, 2, H, W] in pixels, from frame 0 to each of them
    importance: Tensor  # [1, 1, H, W], mean over time of the displacement's magnitude in pixels


def read_sequence_frames(sequence: EvaluationSequence, stored: bool) -> SequenceFrames:
    """All later frames of a sequence, or the sample of them that every dataset folder stores."""
    from data.dataset.full import load_full_sequence
    from data.dataset.sequence_file import read_sequence

    if stored:
        names = ("first_frame", "frames", "flows", "frame_indices")
        source, targets, flows, times = read_sequence(sequence.path, names).values()
    else:
        whole = load_full_sequence(sequence.folder, sequence.row)
        assert whole.flows is not None
        source, targets, flows = whole.frames[0], whole.frames[1:], whole.flows
        times = torch.arange(1, len(whole.frames))
    if not len(targets):
        raise ValueError(f"{sequence.path}: stores no later frames; use --frames all")
    finite = flows.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        time = int(times[int(finite.int().argmin())])
        raise ValueError(f"{sequence.path}: the flow to frame {time} is not finite; make it again with data.prepare")
    return SequenceFrames(source, targets, flows, importance_motion(sequence.volume(), sequence.num_frames))


class RenderingTable:
    """Renders sequences by every row's renderer and keeps the mean of each metric over each one's frames.

    Attributes:
        scores: ``{row: {sequence id: {metric: mean or None}}}``.
        rendered_frames: how many frames of each row the table rests on.
        clock: seconds of each part; a row's is that of rendering it.
    """

    def __init__(
        self,
        rows: Sequence[str],
        model: FrameSynthesisModel | None,
        distance: Distance | None,
        device: torch.device,
        stored: bool,
    ) -> None:
        self.rows = rows
        self.stored = stored
        self.scores: dict[str, dict[str, Scores]] = {row: {} for row in rows}
        self.rendered_frames = 0
        self.clock = Stopwatch()
        self._model = model
        self._distance = distance
        self._device = device

    def run(self, sequences: Sequence[EvaluationSequence]) -> None:
        """Score all sequences, showing how far it is and the time left."""
        from tqdm import tqdm

        from evaluation.networks.feature_networks import full_precision

        for sequence in tqdm(sequences, desc="rendering", unit="sequence"):
            with self.clock("reading"):
                frames = read_sequence_frames(sequence, self.stored)
            with full_precision():
                for row, scores in self.score(sequence, frames).items():
                    self.scores[row][sequence.id] = scores
            self.rendered_frames += len(frames.targets)

    def render(
        self, sequence: EvaluationSequence, frames: SequenceFrames, rows: Sequence[str]
    ) -> Iterator[dict[str, Tensor]]:
        """Frames of these rows, uint8 ``[n, 3, H, W]`` on the device, some consecutive ones at a time."""
        batch = frames_a_batch(frames.flows.shape[2], frames.flows.shape[3], self._device)
        renderers = self._renderers(frames, rows)
        for flows in frames.flows.split(batch):
            flows = flows.to(self._device).float()
            rendered = {}
            for row, render in renderers.items():
                with self._timed(row):
                    values = render(flows)
                    if not values.isfinite().all():
                        raise FloatingPointError(
                            f"{sequence.id}: frames of {row} are not finite, is the checkpoint sound?"
                        )
                    rendered[row] = to_8_bits(values)
            yield rendered

    def _renderers(self, frames: SequenceFrames, rows: Sequence[str]) -> dict[str, Render]:
        source = from_8_bits(frames.source[None].to(self._device))
        importance = frames.importance.to(self._device)
        renderers = {}
        for row in rows:
            with self._timed(row):
                renderers[row] = photo_renderer(ROWS[row], self._model, source, importance)
        return renderers

    @torch.no_grad()
    def score(self, sequence: EvaluationSequence, frames: SequenceFrames) -> dict[str, Scores]:
        """``{row: {metric: mean over the sequence's frames}}``; flicker only of consecutive frames."""
        sums: dict[str, dict[str, float]] = {row: {} for row in self.rows}
        flicker = Flicker(frames.importance.to(self._device))
        done = 0
        for rendered in self.render(sequence, frames, self.rows):
            part = slice(done, done + len(next(iter(rendered.values()))))
            done = part.stop
            targets = from_8_bits(frames.targets[part].to(self._device))
            videos = {row: from_8_bits(values) for row, values in rendered.items()}
            for metric, values in self._measure(videos, targets).items():
                for row, value in values.items():
                    sums[row][metric] = sums[row].get(metric, 0.0) + float(value.cpu().double().sum())
            if not self.stored:
                with self._timed("flicker"):
                    flicker.add(videos | {REAL: targets}, frames.flows[part].to(self._device))
        ratios = flicker.ratios(REAL)
        means = {row: {metric: total / done for metric, total in sums[row].items()} for row in self.rows}
        return {row: dict.fromkeys(METRICS) | means[row] | {"flicker": ratios.get(row)} for row in self.rows}

    def _measure(self, rendered: Mapping[str, Tensor], targets: Tensor) -> dict[str, dict[str, Tensor]]:
        """``{metric: {row: values [n]}}`` of frames ``[n, 3, H, W]`` in [-1, 1]."""
        with self._timed("psnr"):
            values = {"psnr": {row: psnr(frames, targets) for row, frames in rendered.items()}}
        with self._timed("ssim"):
            similarity = StructuralSimilarity(targets)
            values["ssim"] = {row: similarity(frames) for row, frames in rendered.items()}
        if self._distance is not None:
            with self._timed("lpips"):
                rows = torch.stack(list(rendered.values()), dim=1)
                pairs = ((_by_pixel(f), _by_pixel(t[None])) for f, t in zip(rows, targets, strict=True))
                columns = [self._distance(*pair) for pair in pairs]
                values["lpips"] = dict(zip(rendered, torch.stack(columns, dim=1), strict=True))
        return values

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        with self.clock(part):
            yield
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)  # or the time would go to the part that waits


def _by_pixel(images: Tensor) -> Tensor:
    """In the order in memory in which convolutions run faster on a CPU."""
    return images.contiguous(memory_format=torch.channels_last)
