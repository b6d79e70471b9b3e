"""What every way to sample makes of each photo, and the distances between sampled and measured motion."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean

import torch
from torch import Tensor

from baselines.registry import METHODS
from common.stopwatch import Stopwatch
from evaluation.metrics.collection import REAL, VideoFeatures, feature_sets
from evaluation.metrics.metric import Metric
from evaluation.metrics.motion_features import feature_names, motion_features
from evaluation.metrics.motion_scores import Scores, match_frequencies, motion_scores
from evaluation.metrics.registry import of_kind
from evaluation.metrics.set_distance import SetDistance
from evaluation.prediction import Predict, Setting
from evaluation.sequences import EvaluationSequence, unique_sources
from evaluation.tables.cells import PARTS, cells, frequency_warning, missing_note, still_warning
from evaluation.tables.sampling_cost import Calls, Cost, PhotoCost, Row, counted_calls, row_setting

BASELINES = (
    "true-motion",
    "other-start",
    "shuffled",
    "jelly",
)  # rows that need no sampling, to read the others against
FEW_VIDEOS = 10  # whose windows hardly tell the spread of motion


@dataclass
class SamplingJudge:
    """Goes through the rows one after the other and takes in what each makes of every photo."""

    setting: Setting
    metrics: Mapping[str, Metric]  # the table's columns
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)  # row -> sequence -> metric -> value
    features: dict[str, list[VideoFeatures]] = field(default_factory=dict)  # row -> a sequence's windows
    notes: dict[str, str] = field(default_factory=dict)  # row -> why its cells are empty
    unfinished: list[str] = field(default_factory=list)  # rows that an interruption cut off

    @cached_property
    def num_frequencies(self) -> int:
        """How many of the measured motion take part: fewer than asked for if fewer are stored."""
        return self.setting.true_volume(self.setting.sequences[0]).shape[1]

    def run(self, rows: Sequence[Row], costs: Mapping[Row, Cost], clock: Stopwatch) -> list[Row]:
        """Judge the baselines and all rows; a line is printed as soon as a row is done.

        Returns:
            The rows that were done: Ctrl-C ends the table with those, once there is one.
        """
        from tqdm import tqdm

        for sequence in self.setting.sequences:
            self._collect(REAL, sequence, [self.setting.true_volume(sequence)])
        for name in BASELINES:
            with clock("baselines"):
                self._judge(name, METHODS[name].make(self.setting))
        samples = self.setting.samples * len(self.setting.sequences)
        total = sum(samples * row.steps * cost.calls_a_step for row, cost in costs.items())
        done: list[Row] = []
        with tqdm(total=total, unit=" U-Net calls", dynamic_ncols=True) as bar:
            for row in rows:
                bar.set_description(str(row))
                try:
                    with clock(str(row)), counted_calls(self.setting.pipeline, bar.update) as calls:
                        self._judge(str(row), METHODS["model"].make(row_setting(self.setting, row)), calls)
                except KeyboardInterrupt:
                    if not done:
                        raise
                    self.unfinished = [str(other) for other in rows[len(done) :]]
                    for part in (self.scores, self.features):
                        part.pop(str(row), None)
                    break
                done.append(row)
                tqdm.write(f"{row}: {self._line(str(row))}")
        return done

    def _judge(self, name: str, predict: Predict, calls: Calls | None = None) -> None:
        self.scores[name] = {}
        for index, sequence in enumerate(self.setting.sequences):
            start, called = time.perf_counter(), calls.count if calls else 0
            prediction = predict(index, sequence)
            seconds = time.perf_counter() - start
            if prediction.note:
                self.notes[name] = prediction.note
            if not prediction.motion:
                continue
            true = self.setting.true_volume(sequence)
            volumes = [match_frequencies(volume, true.shape[1]) for volume in prediction.motion]
            scores = motion_scores(replace(prediction, motion=tuple(volumes)), true, metrics=self.metrics)
            for metric, known in of_kind("loop", self.metrics).items():
                values = [known.function()(volume, sequence.num_frames) for volume in volumes]
                if all(map(math.isfinite, values)):
                    scores[metric] = fmean(values)
            if calls:
                cost = PhotoCost(seconds, calls.count - called, len(volumes))
                for metric, known in of_kind("cost", self.metrics).items():
                    scores[metric] = known.function()(cost)
            self.scores[name][sequence.id] = {metric: scores[metric] for metric in self.metrics if metric in scores}
            self._collect(name, sequence, volumes)

    def _collect(self, name: str, sequence: EvaluationSequence, volumes: Sequence[Tensor]) -> None:
        if used := feature_sets(self.metrics).values():
            windows = torch.cat([motion_features(volume) for volume in volumes])
            video = VideoFeatures(sequence.id, sequence.source, sequence.num_frames, dict.fromkeys(used, windows))
            self.features.setdefault(name, []).append(video)

    def _line(self, name: str) -> str:
        rows = self.scores[name].values()
        means = {metric: [row[metric] for row in rows if metric in row] for metric in self.metrics}
        return ", ".join(f"{metric} {fmean(values):.3g}" for metric, values in means.items() if values)

    def report(self, names: Sequence[str], *, intervals: bool = True) -> dict:
        """Table, intervals, counts, notes, per-sequence values and warnings of all rows."""
        sources = {sequence.id: sequence.source for sequence in self.setting.sequences}
        distances = self._distances(names, intervals)
        result = cells(
            names, self.metrics, scores=self.scores, sources=sources, distances=distances, missing=self._missing
        )
        if REAL in distances["counts"]:
            result["counts"][REAL] = distances["counts"][REAL]
        return result | {"per_sequence": self.scores, "warnings": [*self._warnings(), *distances["warnings"]]}

    def _distances(self, names: Sequence[str], intervals: bool) -> dict:
        result: dict = {part: {name: {} for name in names} for part in PARTS}
        result["warnings"] = []
        dimension = len(feature_names(self.num_frequencies))
        for metric, known in of_kind("sets", self.metrics).items():
            distance = SetDistance(metric, known, videos=self.features, dimension=dimension)
            result["counts"].setdefault(REAL, {})[metric] = distance.count(REAL)
            rows = [name for name in names if name in self.features]
            for name in rows:
                if obstacle := distance.obstacle(name):
                    result["notes"][name][metric] = obstacle
                    continue
                value = distance.distance(name)
                result["table"][name][metric] = value
                result["intervals"][name][metric] = distance.interval(name, value) if intervals else None
                result["counts"][name][metric] = distance.count(name)
            result["warnings"] += distance.warnings(rows)
            videos = unique_sources(self.setting.sequences)
            if videos < FEW_VIDEOS:
                result["warnings"].append(
                    f"{metric}: {distance.count(REAL)} windows, but of {videos} videos, and those of one are alike: "
                    "compare only with figures of the same sequences"
                )
        return result

    def _missing(self, name: str, metric: str) -> str:
        return self.notes.get(name) or missing_note(self.metrics[metric], still=bool(self._still))

    @cached_property
    def _still(self) -> list[str]:
        """Sequences whose measured motion is zero."""
        return [s.id for s in self.setting.sequences if not self.setting.true_volume(s)[:, 1:].any()]

    def _warnings(self) -> list[str]:
        lines = [f"interrupted before {', '.join(self.unfinished)}"] if self.unfinished else []
        lines += frequency_warning(self.num_frequencies, self.setting.num_frequencies)
        return lines + still_warning(self._still, self.metrics)
