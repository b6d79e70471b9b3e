"""What every method of the motion table makes of each photo, taken in sequence by sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from torch import Tensor

from common.stopwatch import Stopwatch
from evaluation.metrics.collection import REAL, FeatureCollector
from evaluation.metrics.diversity import DIVERSITY_FRAMES, Diversity
from evaluation.metrics.metric import Metric
from evaluation.metrics.motion_scores import Scores, motion_scores
from evaluation.metrics.registry import of_kind
from evaluation.prediction import Predict, Prediction, Setting
from evaluation.sequences import EvaluationSequence, centre_crop
from evaluation.tables.cells import cells, frequency_warning, missing_note, ratios, still_warning


class Viewer(Protocol):
    """What is shown the videos of all methods, and the real ones."""

    def add(self, method: str, sequence: EvaluationSequence, *, frames: Tensor) -> None:
        """Take in a method's video of a sequence, uint8 ``[T, 3, H, W]``."""


WITHOUT_FRAMES = ("motion", "samples")  # kinds of metrics that need no video


@dataclass
class MotionJudge:
    """Goes through the sequences once and takes in what every method makes of each photo."""

    setting: Setting
    metrics: Mapping[str, Metric]  # the table's columns
    collector: FeatureCollector
    diversity: Diversity
    clock: Stopwatch
    media: Viewer | None
    skip_photo: bool = False  # whether metrics of videos begin with frame 1, of real and generated videos alike
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)  # method -> sequence -> metric -> value
    notes: dict[str, str] = field(default_factory=dict)  # method -> why cells of it are empty
    still: list[str] = field(default_factory=list)  # sequences whose measured motion is zero

    @cached_property
    def watches(self) -> bool:
        """Whether videos are needed: not where all metrics are of the motion itself."""
        return needs_frames(self.metrics)

    def run(self, methods: Mapping[str, Predict]) -> None:
        """Judge all methods on all sequences of the setting."""
        from tqdm import tqdm

        self.scores = {name: {} for name in methods}
        for index, sequence in enumerate(tqdm(self.setting.sequences, unit=" sequences", dynamic_ncols=True)):
            if self.collector.networks or self.media:
                with self.clock("real frames"):
                    self._collect(REAL, sequence, sequence.frames())
            true = self.setting.true_volume(sequence)
            if not true[:, 1:].any():
                self.still.append(sequence.id)
            for name, predict in methods.items():
                with self.clock("predicting motion"):
                    prediction = predict(index, sequence)
                self._judge(name, prediction, true, sequence)

    def _judge(self, name: str, prediction: Prediction, true: Tensor, sequence: EvaluationSequence) -> None:
        if prediction.note:
            self.notes[name] = prediction.note
        scores = motion_scores(prediction, true, metrics=self.metrics)
        if prediction.render is not None and self.watches:
            with self.clock("rendering"):
                frames = prediction.render(0, sequence.num_frames)
            for metric, known in of_kind("video", self.metrics).items():
                if math.isfinite(value := known.function()(frames)):
                    scores[metric] = value
            self._collect(name, sequence, frames)
            if len(prediction.motion) > 1 and self.diversity.metrics:
                scores |= self._diversity(prediction, frames)
        self.scores[name][sequence.id] = {metric: scores[metric] for metric in self.metrics if metric in scores}

    def _collect(self, name: str, sequence: EvaluationSequence, frames: Tensor) -> None:
        if self.media:
            self.media.add(name, sequence, frames=frames)
        with self.clock("features"):
            self.collector.add(name, sequence.id, sequence.source, centre_crop(frames[self._first :]))

    def _diversity(self, prediction: Prediction, first: Tensor) -> Scores:
        assert prediction.render is not None
        with self.clock("rendering"):
            end = self._first + DIVERSITY_FRAMES
            others = [prediction.render(number, end) for number in range(1, len(prediction.motion))]
        with self.clock("diversity"):
            return self.diversity([clip[self._first : end] for clip in (first, *others)])

    @property
    def _first(self) -> int:
        """The frame that metrics of videos begin with."""
        return int(self.skip_photo)

    def report(self, distances: dict) -> dict:
        """Table, intervals, counts, notes, ratios, curves and warnings of all rows, from both kinds of figures."""

        def note(method: str, metric: str) -> str:
            reason = self.diversity.notes.get(metric) or self.notes.get(method)
            return reason or missing_note(self.metrics[metric], still=bool(self.still))

        sources = {sequence.id: sequence.source for sequence in self.setting.sequences}
        result = cells(
            list(self.scores), self.metrics, scores=self.scores, sources=sources, distances=distances, missing=note
        )
        result["counts"][REAL] = distances["counts"][REAL]
        warnings = frequency_warning(known_frequencies(self.setting), self.setting.num_frequencies)
        warnings += still_warning(self.still, self.metrics)
        return result | {
            "ratios": ratios(result["table"], result["intervals"], metrics=self.metrics),
            "per_sequence": self.scores,
            "curves": distances["curves"],
            "warnings": [*warnings, *distances["warnings"]],
        }


def needs_frames(metrics: Mapping[str, Metric]) -> bool:
    """Whether any of the metrics is one of videos."""
    return any(metric.kind not in WITHOUT_FRAMES for metric in metrics.values())


def known_frequencies(setting: Setting) -> int:
    """How many frequencies of the measured motion the table uses: fewer than asked for if fewer are stored."""
    return setting.true_volume(setting.sequences[0]).shape[1]
