"""The sampling table: what samplers and numbers of steps, and loop guidance, give for what they cost.

Every row samples the same photos with the same seeds; nothing is rendered. Beside the measures of the motion table
stand the Fréchet distance of the motion's windows (evaluation.metrics.motion_features), the loop seam of the motion
itself, the U-Net calls and the seconds a photo.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean

import torch
from torch import Tensor

from baselines.registry import METHODS
from common.command_line import select_device
from common.stopwatch import Stopwatch
from evaluation.metrics.distributions import REAL, Comparison, FeatureSet, VideoFeatures
from evaluation.metrics.motion_features import feature_names, motion_features
from evaluation.metrics.motion_scores import MOTION_METRICS, RELATIVE_METRICS, Scores, match_frequencies, motion_scores
from evaluation.metrics.registry import chosen
from evaluation.prediction import Predict, Setting
from evaluation.report.media import Media
from evaluation.report.plots import COST, cost_plot
from evaluation.report.report import checkpoint_provenance, data_provenance, write_csv
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.motion import cells, missing_note
from evaluation.tables.sampling_cost import (
    Calls,
    Cost,
    Row,
    check_steps,
    counted_calls,
    estimate,
    format_estimate,
    make_rows,
    row_setting,
)
from models.dynamics.seam import motion_seam_ratio
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import spectral_volume_to_motion

DISTANCE = "motion_frechet"
METRICS = (*MOTION_METRICS[:4], DISTANCE, "motion_seam", "diversity_motion", "network_calls", "seconds")
BASELINES = ("true-motion", "shuffled", "jelly")  # rows that need no sampling, to read the others against
WINDOWS = FeatureSet("motion", unit="windows")
FEW_VIDEOS = 10  # whose windows hardly tell the spread of motion


def evaluate_sampling(arguments: argparse.Namespace) -> dict:
    """The report of ``evaluate.py sampling``, whose fields docs/evaluation.md describes.

    Raises:
        ValueError: one line: no such data, split or checkpoint; more steps than the model's schedule has.
        FloatingPointError: the checkpoint gives motion that is not finite.
    """
    metrics = chosen(arguments.metrics, METRICS, "--metrics")
    clock = Stopwatch()
    device = select_device(arguments.device)
    sequences = load_sequences(arguments.data, arguments.split, arguments.max_sequences)
    data = data_provenance(arguments.data, arguments.split, sequences)
    rows = make_rows(arguments.samplers, arguments.loop_guidance, arguments.recurrence)
    with clock("loading weights"):
        pipeline = ImageDynamicsPipeline.from_pretrained(arguments.checkpoint, ["motion"]).to(device)
        checkpoint = checkpoint_provenance(arguments.checkpoint, ["motion"])  # now: hours later it may be another
    check_steps(rows, pipeline.motion_config.train_steps)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of sampling
    setting = Setting(
        sequences,
        pipeline,
        parts=("motion",),
        num_frequencies=arguments.num_frequencies,
        samples=arguments.samples,
        guidance=arguments.guidance,
        seed=arguments.seed,
    )
    judge = SamplingJudge(setting, metrics)
    with clock("estimating the cost"):
        costs = estimate(rows, setting)
    print(format_estimate(costs, samples=arguments.samples * len(sequences)), flush=True)
    done = judge.run(rows, costs, clock)
    names = [*map(str, done), *BASELINES]
    report = {
        "format_version": 1,
        "kind": "sampling",
        "data": data,
        "checkpoint": checkpoint,
        "weights": {},
        "seed": arguments.seed,
        "protocol": {
            "samples": setting.samples,
            "guidance": setting.used_guidance(),
            "num_frequencies": judge.num_frequencies,
            "max_sequences_per_source": arguments.max_sequences,
            "device": device.type,
        },
        "rows": {str(row): asdict(row) for row in done},
        **judge.report(names, intervals=not arguments.no_intervals),
        "timings": clock.seconds,
    }
    write_media(arguments, report)
    return report


# Judging --------------------------------------------------------------------------------------------------------------


@dataclass
class SamplingJudge:
    """Goes through the rows one after the other and takes in what each makes of every photo."""

    setting: Setting
    metrics: Sequence[str]
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
                continue
            true = self.setting.true_volume(sequence)
            volumes = [match_frequencies(volume, true.shape[1]) for volume in prediction.motion]
            scores = motion_scores(replace(prediction, motion=tuple(volumes)), true)
            seams = [motion_seam_ratio(spectral_volume_to_motion(volume, sequence.num_frames)) for volume in volumes]
            if all(map(math.isfinite, seams)):
                scores["motion_seam"] = fmean(seams)
            if calls:
                scores["seconds"] = seconds / len(volumes)
                scores["network_calls"] = (calls.count - called) / len(volumes)
            self.scores[name][sequence.id] = {metric: scores[metric] for metric in self.metrics if metric in scores}
            self._collect(name, sequence, volumes)

    def _collect(self, name: str, sequence: EvaluationSequence, volumes: Sequence[Tensor]) -> None:
        if DISTANCE in self.metrics:
            windows = torch.cat([motion_features(volume) for volume in volumes])
            video = VideoFeatures(sequence.id, sequence.source, sequence.num_frames, {WINDOWS: windows})
            self.features.setdefault(name, []).append(video)

    def _line(self, name: str) -> str:
        rows = self.scores[name].values()
        means = {metric: [row[metric] for row in rows if metric in row] for metric in self.metrics}
        return ", ".join(f"{metric} {fmean(values):.3g}" for metric, values in means.items() if values)

    def report(self, names: Sequence[str], intervals: bool = True) -> dict:
        """Table, intervals, counts, notes, per-sequence values and warnings of all rows."""
        sources = {sequence.id: sequence.source for sequence in self.setting.sequences}
        distances = self._distances(names, intervals)
        result = cells(names, self.metrics, self.scores, sources, distances, self._missing)
        if DISTANCE in self.metrics:
            result["counts"][REAL] = distances["counts"][REAL]
        return result | {"per_sequence": self.scores, "warnings": [*self._warnings(), *distances["warnings"]]}

    def _distances(self, names: Sequence[str], intervals: bool) -> dict:
        result: dict = {part: {name: {} for name in names} for part in ("table", "intervals", "counts", "notes")}
        result["warnings"] = []
        if DISTANCE not in self.metrics:
            return result
        dimension = len(feature_names(self.num_frequencies))
        comparison = Comparison(self.features, DISTANCE, WINDOWS, dimension)
        result["counts"][REAL] = {DISTANCE: comparison.count(REAL)}
        rows = [name for name in names if name in self.features]
        for name in rows:
            if obstacle := comparison.obstacle(name):
                result["notes"][name][DISTANCE] = obstacle
                continue
            value = comparison.distance(name)
            result["table"][name][DISTANCE] = value
            result["intervals"][name][DISTANCE] = comparison.interval(name, value) if intervals else None
            result["counts"][name][DISTANCE] = comparison.count(name)
        result["warnings"] = comparison.warnings(rows)
        videos = len({sequence.source for sequence in self.setting.sequences})
        if videos < FEW_VIDEOS:
            result["warnings"].append(
                f"{DISTANCE}: {comparison.count(REAL)} windows, but of {videos} videos, and those of one are alike: "
                "compare only with figures of the same sequences"
            )
        return result

    def _missing(self, name: str, metric: str) -> str:
        if name in self.notes:
            return self.notes[name]
        if metric in ("seconds", "network_calls"):
            return "not computed: this row takes no sampling"
        return missing_note("seam" if metric == "motion_seam" else metric, bool(self._still))

    @cached_property
    def _still(self) -> list[str]:
        """Sequences whose measured motion is zero."""
        return [s.id for s in self.setting.sequences if not self.setting.true_volume(s)[:, 1:].any()]

    def _warnings(self) -> list[str]:
        lines = [f"interrupted before {', '.join(self.unfinished)}"] if self.unfinished else []
        if self.num_frequencies < self.setting.num_frequencies:
            known, asked = self.num_frequencies, self.setting.num_frequencies
            lines.append(f"the measured motion has {known} frequencies, not the {asked} of --num-frequencies")
        if still := self._still:
            more = f" and {len(still) - 1} more" if len(still) > 1 else ""
            lines.append(f"nothing moves in sequence {still[0]}{more}: left out of {', '.join(RELATIVE_METRICS)}")
        return lines


# What there is to look at ---------------------------------------------------------------------------------------------


def write_media(arguments: argparse.Namespace, report: Mapping) -> None:
    """``per_sequence.csv`` and the plot of quality against cost into ``--output``; the page of ``--html``."""
    plot = cost_plot(report)
    if arguments.output:
        write_csv(arguments.output / "per_sequence.csv", report)
        if plot:
            (arguments.output / "cost.svg").write_text(plot, encoding="utf-8")
    if arguments.html:
        from evaluation.report.html import write_html

        caption = f"Each measure against the {COST} of a photo, one line a sampler; dotted: the measured motion."
        write_html(arguments.html, report, Media(plots=[(caption, plot)] if plot else []))
