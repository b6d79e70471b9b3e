"""The motion table: distances between sets of generated and real videos, and measures of the motion itself."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from baselines.registry import METHODS, Method
from baselines.videos import videos
from common.command_line import select_device
from common.stopwatch import Stopwatch
from evaluation.metrics.distances import bootstrap_interval
from evaluation.metrics.distributions import METRICS as DISTRIBUTION_METRICS
from evaluation.metrics.distributions import FeatureCollector, distribution_metrics, load_networks
from evaluation.metrics.diversity import DIVERSITY_FRAMES, DIVERSITY_METRICS, Diversity
from evaluation.metrics.motion_scores import MOTION_METRICS, RELATIVE_METRICS, Scores, motion_scores, seam
from evaluation.metrics.registry import chosen, in_order, metric_of
from evaluation.prediction import Predict, Prediction, Setting
from evaluation.report.motion_media import MotionMedia
from evaluation.report.report import checkpoint_provenance, data_provenance, folder_provenance, weights_provenance
from evaluation.sequences import EvaluationSequence, centre_crop, crop_size, load_sequences
from models.pipeline import ImageDynamicsPipeline

METRICS = (*DISTRIBUTION_METRICS, *MOTION_METRICS, "seam", *DIVERSITY_METRICS)
REAL = "real"  # the name of the real videos among the methods


def evaluate_motion(arguments: argparse.Namespace, *, known: Mapping[str, Method] = METHODS) -> dict:
    """The report of ``evaluate.py motion``, whose fields docs/evaluation.md describes.

    Args:
        known: the methods that ``--methods`` chooses from.
    """
    metrics = chosen(arguments.metrics, METRICS, "--metrics")
    clock = Stopwatch()
    device = select_device(arguments.device)
    sequences = load_sequences(arguments.data, arguments.split, arguments.max_sequences)
    chosen_methods = [known[name] for name in arguments.methods]
    checkpoints = method_checkpoints(arguments.method_checkpoint, chosen_methods)
    renders = not set(metrics) <= set(MOTION_METRICS)
    setting = make_setting(arguments, sequences, device, methods=chosen_methods, renders=renders)
    methods = make_methods(arguments, setting, chosen_methods, checkpoints)
    with clock("loading weights"):
        distances_asked = [metric for metric in metrics if metric in DISTRIBUTION_METRICS]
        networks, notes = load_networks(distances_asked, arguments.weights, device)
        diversity = Diversity([m for m in metrics if m in DIVERSITY_METRICS], arguments.weights, device)
        weights = weights_provenance(in_order(w for m in metrics for w in metric_of(m).weights), arguments.weights)
    media = (
        MotionMedia(sequences, colors={name: method.color for name, method in known.items()})
        if arguments.html or arguments.output
        else None
    )
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)  # now: a path that won't do costs no hour of rendering
    judge = Judge(setting, metrics, FeatureCollector(networks, distances_asked), diversity, clock, media)
    judge.run(methods)
    with clock("distances"):
        distances = distribution_metrics(
            judge.collector, list(methods), REAL, notes, intervals=not arguments.no_intervals
        )
    report = {
        "format_version": 1,
        "kind": "motion",
        "data": data_provenance(arguments.data, arguments.split, sequences),
        "checkpoint": checkpoint_provenance(arguments.checkpoint, setting.parts) if setting.parts else None,
        **({"method_checkpoints": checkpoint_hashes(checkpoints)} if checkpoints else {}),
        "weights": weights,
        "seed": arguments.seed,
        "protocol": protocol(arguments, setting),
        **assemble(list(methods), metrics, judge, distances),
        "timings": clock.seconds,
    }
    if media is not None:
        with clock("clips and plots"):
            media.write(arguments.output, arguments.html, report)
    return report


def method_checkpoints(given: Sequence[tuple[str, Path]], methods: Sequence[Method]) -> dict[str, Path]:
    """Folder of each learned baseline's checkpoint by the method's name.

    Raises:
        ValueError: one for a method that the table does not have or that takes none, two for one, no such folder.
    """
    folders: dict[str, Path] = {}
    takers = [method.name for method in methods if method.checkpoint]
    for name, folder in given:
        option = f"--method-checkpoint {name}={folder}"
        if name not in takers:
            expected = f"those that do: {', '.join(takers)}" if takers else "no method chosen takes one"
            raise ValueError(f"{option}: {name} is no method of --methods that takes a checkpoint ({expected})")
        if name in folders:
            raise ValueError(f"{option}: {name} has a checkpoint already, {folders[name]}; give one")
        if not folder.is_dir():
            raise ValueError(f"{option}: no such folder")
        folders[name] = folder
    return folders


def checkpoint_hashes(checkpoints: Mapping[str, Path]) -> dict:
    """Name and files of each learned baseline's checkpoint, for the report."""
    return {name: folder_provenance(folder) for name, folder in checkpoints.items()}


def make_setting(
    arguments: argparse.Namespace,
    sequences: Sequence[EvaluationSequence],
    device: torch.device,
    *,
    methods: Sequence[Method],
    renders: bool,
) -> Setting:
    """Load the parts of the checkpoint that the methods need, the renderer where any video is rendered by it."""
    parts = list(dict.fromkeys(part for method in methods for part in method.parts))
    if renders and arguments.renderer == "model" and any(method.video == "rendered" for method in methods):
        parts.append("frame_synthesis")
    load = ImageDynamicsPipeline.from_pretrained
    return Setting(
        sequences,
        (load(arguments.checkpoint, parts) if parts else ImageDynamicsPipeline()).to(device),
        parts=tuple(parts),
        num_frequencies=arguments.num_frequencies,
        renderer=arguments.renderer,
        samples=arguments.samples,
        steps=arguments.steps,
        guidance=arguments.guidance,
        seed=arguments.seed,
    )


def make_methods(
    arguments: argparse.Namespace, setting: Setting, methods: Sequence[Method], checkpoints: Mapping[str, Path]
) -> dict[str, Predict]:
    """The table's rows by name: the methods chosen, then the folders of videos."""
    rows = {method.name: method.make(setting, checkpoint=checkpoints.get(method.name)) for method in methods}
    for name, folder in arguments.videos:
        if name in METHODS or name in rows or name == REAL:
            raise ValueError(f"--videos {name}={folder}: there is a method of that name, choose another")
        rows[name] = videos(folder, setting)
    return rows


def protocol(arguments: argparse.Namespace, setting: Setting) -> dict:
    """How the figures were taken, in plain values."""
    values = {
        "crop": list(crop_size(setting.sequences[0].size)),
        "windows": "consecutive, without overlap",
        "renderer": arguments.renderer,
        "num_frequencies": known_frequencies(setting),
        "max_sequences_per_source": arguments.max_sequences,
    }
    if "model" not in arguments.methods:
        return values
    return values | {"samples": setting.samples, "steps": setting.steps, "guidance": setting.used_guidance()}


def known_frequencies(setting: Setting) -> int:
    """How many frequencies of the measured motion the table uses: fewer than asked for if fewer are stored."""
    return setting.true_volume(setting.sequences[0]).shape[1]


@dataclass
class Judge:
    """Goes through the sequences once and takes in what every method makes of each photo."""

    setting: Setting
    metrics: Sequence[str]
    collector: FeatureCollector
    diversity: Diversity
    clock: Stopwatch
    media: MotionMedia | None
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)  # method -> sequence -> metric -> value
    notes: dict[str, str] = field(default_factory=dict)  # method -> why cells of it are empty
    still: list[str] = field(default_factory=list)  # sequences whose measured motion is zero

    @property
    def sources(self) -> dict[str, str]:
        """The video that each sequence, by its id, is a part of."""
        return {sequence.id: sequence.source for sequence in self.setting.sequences}

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know of the measured motion."""
        lines = []
        asked, known = self.setting.num_frequencies, known_frequencies(self.setting)
        if known < asked:
            lines.append(f"the measured motion has {known} frequencies, not the {asked} of --num-frequencies")
        left_out = [metric for metric in self.metrics if metric in RELATIVE_METRICS]
        if self.still and left_out:
            more = f" and {len(self.still) - 1} more" if len(self.still) > 1 else ""
            lines.append(f"nothing moves in sequence {self.still[0]}{more}: left out of {', '.join(left_out)}")
        return lines

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
        scores = motion_scores(prediction, true)
        if prediction.render is not None and not set(self.metrics) <= set(MOTION_METRICS):
            with self.clock("rendering"):
                frames = prediction.render(0, sequence.num_frames)
            if math.isfinite(ratio := seam(frames)):
                scores["seam"] = ratio
            self._collect(name, sequence, frames)
            if len(prediction.motion) > 1 and self.diversity.metrics:
                scores |= self._diversity(prediction, frames)
        self.scores[name][sequence.id] = {metric: scores[metric] for metric in self.metrics if metric in scores}

    def _collect(self, name: str, sequence: EvaluationSequence, frames: Tensor) -> None:
        if self.media:
            self.media.add(name, sequence, frames)
        with self.clock("features"):
            self.collector.add(name, sequence.id, sequence.source, centre_crop(frames))

    def _diversity(self, prediction: Prediction, first: Tensor) -> Scores:
        assert prediction.render is not None
        with self.clock("rendering"):
            others = [prediction.render(number, DIVERSITY_FRAMES) for number in range(1, len(prediction.motion))]
        with self.clock("diversity"):
            return self.diversity([first[:DIVERSITY_FRAMES], *others])


def assemble(methods: Sequence[str], metrics: Sequence[str], judge: Judge, distances: dict) -> dict:
    """Table, intervals, counts, notes and ratios of all rows, from both kinds of figures."""

    def note(method: str, metric: str) -> str:
        reason = judge.diversity.notes.get(metric) or judge.notes.get(method)
        return reason or missing_note(metric, bool(judge.still))

    result = cells(methods, metrics, judge.scores, judge.sources, distances, note)
    result["counts"][REAL] = distances["counts"][REAL]
    return result | {
        "ratios": ratios(result["table"], result["intervals"], metrics),
        "per_sequence": judge.scores,
        "curves": distances["curves"],
        "warnings": [*judge.warnings, *distances["warnings"]],
    }


def cells(
    methods: Sequence[str],
    metrics: Sequence[str],
    scores: Mapping[str, Mapping[str, Scores]],  # method -> sequence -> metric -> value
    sources: Mapping[str, str],  # sequence -> the video that it is a part of
    distances: Mapping[str, Mapping],  # parts of the report for metrics of sets, as distribution_metrics gives them
    missing: Callable[[str, str], str],  # (method, metric) -> why there is no value
) -> dict:
    """``table``, ``intervals``, ``counts`` and ``notes``, each ``{method: {metric: ...}}``: means over sequences, with
    bootstrap intervals over videos, beside the distances between sets."""
    result: dict = {name: {method: {} for method in methods} for name in ("table", "intervals", "counts", "notes")}
    for method in methods:
        for metric in metrics:
            if metric_of(metric).distribution:
                value, interval, count, note = (distances[name][method].get(metric) for name in result)
            else:
                known = {name: row[metric] for name, row in scores[method].items() if metric in row}
                values = list(known.values())
                value, note = sum(values) / len(values) if values else None, None
                interval, count = bootstrap_interval(values, sources=[sources[name] for name in known]), len(values)
            if value is None:
                note = note or missing(method, metric)
            for name, cell in zip(result, (value, interval, count, note if value is None else None), strict=True):
                if name != "notes" or cell is not None:
                    result[name][method][metric] = cell
    return result


def missing_note(metric: str, still: bool) -> str:
    """Why a cell without a figure of its own reason is empty."""
    if metric in (*DIVERSITY_METRICS, "diversity_motion"):
        return "not computed: needs several samples of one photo, which only the model gives (--samples 2 or more)"
    if metric == "seam":
        return "not computed: most frames equal the one before, there is no usual step to compare the last one with"
    if metric in RELATIVE_METRICS and still:
        return "not computed: nothing moves in the measured motion"
    return "not computed: there is no motion"


def ratios(
    table: Mapping[str, Mapping[str, float | None]],
    intervals: Mapping[str, Mapping[str, Sequence[float] | None]],
    metrics: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Distances over those of the repeated photo: readings that do not depend on how much moves in the data.

    KID is unbiased and so about zero, of either sign, between sets that are alike: over such a one there is no ratio.
    """
    bases = {}
    for metric in metrics:
        base = table.get("repeat", {}).get(metric)
        interval = intervals.get("repeat", {}).get(metric)
        unclear = metric == "kid" and interval is not None and interval[0] <= 0
        if metric in DISTRIBUTION_METRICS and base is not None and base > 0 and not unclear:
            bases[metric] = base
    found: dict[str, dict[str, float]] = {}
    for method, row in table.items():
        values = {metric: row.get(metric) for metric in bases}
        found[method] = {metric: value / bases[metric] for metric, value in values.items() if value is not None}
    return found if any(found.values()) else {}
