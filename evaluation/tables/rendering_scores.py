"""Frames of real sequences rendered by each row of the rendering table, and what they score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from common.images import from_8_bits, to_8_bits
from common.stopwatch import Stopwatch
from data.dataset.reading import importance_motion
from evaluation.metrics.image import Distance, FrameMeasure, lpips_of_rows
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import of_kind, of_table
from evaluation.sequences import EvaluationSequence
from evaluation.tables.rendering_rows import ROWS
from models.rendering.dispatch import photo_renderer
from models.rendering.large import DEFAULT_SIZES, Render
from models.rendering.model import FrameSynthesisModel

REAL = "real"  # the name of the real video among the rows
LPIPS = "lpips"  # the measure whose network a caller may have loaded already

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


def frame_measures(distance: Distance | None) -> dict[str, FrameMeasure]:
    """The registered measures of frames that need no weights, and LPIPS by the distance given."""
    lpips = {} if distance is None else {LPIPS: lpips_of_rows(distance)}
    measures = of_kind("frames", of_table("rendering"))
    return {name: metric.function() for name, metric in measures.items() if not metric.weights} | lpips


class RenderingTable:
    """Renders sequences by every row's renderer and keeps the mean of each metric over each one's frames.

    Args:
        rows: some of :data:`evaluation.tables.rendering_rows.ROWS`.
        model: for the row "model".
        measures: by name, what is measured of single frames; a metric of frames that is missing here stays empty.
        stored: only the sample of frames that every dataset folder stores is rendered.
        metrics: the table's columns.
        batch: frames that are rendered at once; by default what suits the device.
        read: gives the frames of a sequence, as :func:`read_sequence_frames`.

    Attributes:
        scores: ``{row: {sequence id: {metric: mean or None}}}``.
        rendered_frames: how many frames of each row the table rests on.
        clock: seconds of each part; a row's is that of rendering it.
    """

    def __init__(
        self,
        rows: Sequence[str],
        *,
        model: FrameSynthesisModel | None,
        measures: Mapping[str, FrameMeasure],
        device: torch.device,
        stored: bool,
        metrics: Mapping[str, Metric] | None = None,
        batch: int | None = None,
        read: Callable[[EvaluationSequence, bool], SequenceFrames] = read_sequence_frames,
    ) -> None:
        self.rows = rows
        self.stored = stored
        self.metrics = of_table("rendering") if metrics is None else metrics
        self.scores: dict[str, dict[str, Scores]] = {row: {} for row in rows}
        self.rendered_frames = 0
        self.clock = Stopwatch()
        self._model = model
        self._measures = measures
        self._device = device
        self._batch = batch
        self._read = read

    def run(self, sequences: Sequence[EvaluationSequence]) -> None:
        """Score all sequences, showing how far it is and the time left."""
        from tqdm import tqdm

        from evaluation.networks.feature_networks import full_precision

        for sequence in tqdm(sequences, desc="rendering", unit="sequence"):
            with self.clock("reading"):
                frames = self._read(sequence, self.stored)
            with full_precision():
                for row, scores in self.score(sequence, frames).items():
                    self.scores[row][sequence.id] = scores
            self.rendered_frames += len(frames.targets)

    def render(
        self, sequence: EvaluationSequence, frames: SequenceFrames, rows: Sequence[str]
    ) -> Iterator[dict[str, Tensor]]:
        """Frames of these rows, uint8 ``[n, 3, H, W]`` on the device, some consecutive ones at a time."""
        batch = self._batch or DEFAULT_SIZES.frames_a_batch(frames.flows.shape[2], frames.flows.shape[3], self._device)
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
                renderers[row] = photo_renderer(ROWS[row].renderer, source, importance, model=self._model)
        return renderers

    @torch.no_grad()
    def score(self, sequence: EvaluationSequence, frames: SequenceFrames) -> dict[str, Scores]:
        """``{row: {metric: mean over the sequence's frames}}``; steadiness only of consecutive frames."""
        sums: dict[str, dict[str, float]] = {row: {} for row in self.rows}
        steadiness = of_kind("steadiness", self.metrics)
        meters = {name: metric.function()(frames.importance.to(self._device)) for name, metric in steadiness.items()}
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
                for name, meter in meters.items():
                    with self._timed(name):
                        meter.add(videos | {REAL: targets}, frames.flows[part].to(self._device))
        ratios = {name: meter.ratios(REAL) for name, meter in meters.items()}
        means = {row: {metric: total / done for metric, total in sums[row].items()} for row in self.rows}
        return {
            row: dict.fromkeys(self.metrics) | means[row] | {name: ratio.get(row) for name, ratio in ratios.items()}
            for row in self.rows
        }

    def _measure(self, rendered: Mapping[str, Tensor], targets: Tensor) -> dict[str, dict[str, Tensor]]:
        """``{metric: {row: values [n]}}`` of frames ``[n, 3, H, W]`` in [-1, 1]."""
        values = {}
        for name, measure in self._measures.items():
            with self._timed(name):
                values[name] = dict(zip(rendered, measure(list(rendered.values()), targets), strict=True))
        return values

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        with self.clock(part):
            yield
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)  # or the time would go to the part that waits
