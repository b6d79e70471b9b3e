"""Parts of a table: one row on one fold, scored, kept on disk, and pooled with the others.

Of every video only the features are kept, as in :mod:`evaluation.metrics.collection`, and an mp4 to look at. Distances
between sets are computed when all parts are there, because they are not means over folds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.registry import METHODS
from common.command_line import select_device, write_json
from common.hashing import file_sha256
from common.plain import read_json
from common.stopwatch import Stopwatch
from common.tensor_files import read_tensors, save_tensors
from evaluation.metrics.collection import REAL, FeatureCollector, VideoFeatures
from evaluation.metrics.distributions import distribution_metrics
from evaluation.metrics.diversity import Diversity
from evaluation.metrics.metric import FeatureSet, Metric
from evaluation.metrics.registry import METRICS, choose, in_order, of_kind, of_table
from evaluation.options import MotionOptions
from evaluation.prediction import Setting
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables.motion import make_rows, make_setting, method_checkpoints
from evaluation.tables.motion_judge import MotionJudge, needs_frames
from models.pipeline import ImageDynamicsPipeline

SCORES_FILE, FEATURES_FILE = "scores.json", "features.safetensors"
Load = Callable[..., tuple[dict, dict[str, str]]]  # evaluation.metrics.collection.load_networks


class Videos:
    """Writes each method's video of each sequence, ``<sequence>.mp4`` in the method's folder."""

    def __init__(self, folder: Path, keep: str) -> None:
        self._folder, self._keep = folder, keep

    def add(self, method: str, sequence: EvaluationSequence, *, frames: Tensor) -> None:
        """Write a video, uint8 ``[T, 3, H, W]``, of the one method that is kept."""
        from data.media.write_video import write_video

        if method == self._keep:
            pictures = (frame.permute(1, 2, 0).contiguous().numpy() for frame in frames.cpu())
            write_video(self._folder / f"{sequence.id}.mp4", pictures, sequence.fps)


def score_part(options: MotionOptions, folder: Path, *, load: Load, metrics: Mapping[str, Metric] = METRICS) -> dict:
    """Score one method, or with none the real videos, and write what pooling needs; returns the files' hashes.

    Args:
        options: with at most one method; its output is not used.
        folder: where scores, features and videos go.
        load: gives the networks behind the metrics of sets.
    """
    columns = choose(of_table("motion", metrics), options.metrics, "--metrics")
    device = select_device(options.device)
    sequences = load_sequences(options.data, options.split, options.max_sequences)
    chosen = {name: METHODS[name] for name in options.methods}
    checkpoints = method_checkpoints(options.method_checkpoints, chosen)
    setting = make_setting(options, sequences, device, methods=chosen.values(), renders=needs_frames(columns))
    rows = make_rows(options, setting, methods=METHODS, checkpoints=checkpoints)
    sets = of_kind("sets", columns)
    networks, _ = load(sets, weights=options.weights, device=device)
    sampled = "motion" in setting.parts or bool(checkpoints)
    diversity = Diversity(of_kind("clips", columns) if sampled else {}, weights=options.weights, device=device)
    name = next(iter(rows), REAL)
    folder.mkdir(parents=True, exist_ok=True)
    judge = MotionJudge(
        setting, columns, FeatureCollector(networks, sets), diversity, Stopwatch(), Videos(folder, name)
    )
    judge.run(rows)
    features = {
        _key(video.sequence, feature_set): values
        for video in judge.collector.videos.get(name, [])
        for feature_set, values in video.features.items()
    }
    save_tensors(folder / FEATURES_FILE, features)
    known = {
        "scores": judge.scores.get(name, {}),
        "note": judge.notes.get(name),
        "diversity_notes": diversity.notes,
        "still": judge.still,
        "frames": {video.sequence: video.num_frames for video in judge.collector.videos.get(name, [])},
        "seconds": judge.clock.seconds,
    }
    write_json(folder / SCORES_FILE, known)
    del known["seconds"]
    return {"features": file_sha256(folder / FEATURES_FILE), **known}


def _key(sequence: str, feature_set: FeatureSet) -> str:
    return json.dumps([sequence, *feature_set])


@dataclass(frozen=True)
class Part:
    """A row's part that was scored on some sequences."""

    row: str
    folder: Path
    sequences: Sequence[EvaluationSequence]

    def scores(self) -> dict[str, Any]:
        return read_json(self.folder / SCORES_FILE)

    def videos(self) -> list[VideoFeatures]:
        """The features of its videos."""
        tensors, _ = read_tensors(self.folder / FEATURES_FILE)
        found: dict[str, dict[FeatureSet, Tensor]] = {}
        for key, values in tensors.items():
            sequence, network, length, unit = json.loads(key)
            found.setdefault(sequence, {})[FeatureSet(network, length, unit)] = values
        frames = self.scores()["frames"]
        return [
            VideoFeatures(sequence.id, sequence.source, frames[sequence.id], found.get(sequence.id, {}))
            for sequence in self.sequences
            if sequence.id in frames
        ]


def pool(parts: Sequence[Part], options: MotionOptions, *, load: Load, metrics: Mapping[str, Metric] = METRICS) -> dict:
    """Table, intervals, counts, notes, ratios, curves and warnings of all parts together.

    Args:
        parts: those of the real videos, whose row is ``real``, among them. Rows come in the order of their first part.
        options: metrics, weights, device and intervals are used.
    """
    columns = choose(of_table("motion", metrics), options.metrics, "--metrics")
    device = select_device(options.device)
    sets = of_kind("sets", columns)
    networks, notes = load(sets, weights=options.weights, device=device)
    collector = FeatureCollector(networks, sets)
    rows = in_order(part.row for part in parts if part.row != REAL)
    sequences = [sequence for part in parts if part.row == REAL for sequence in part.sequences]
    setting = Setting(sequences, ImageDynamicsPipeline(), num_frequencies=options.num_frequencies)
    judge = MotionJudge(setting, columns, collector, Diversity({}, weights=None, device=device), Stopwatch(), None)
    judge.scores = {row: {} for row in rows}
    for part in parts:
        known = part.scores()
        collector.videos.setdefault(part.row, []).extend(part.videos())
        judge.diversity.notes |= known["diversity_notes"]
        if part.row == REAL:
            judge.still += known["still"]
            continue
        judge.scores[part.row] |= known["scores"]
        if known["note"]:
            judge.notes[part.row] = known["note"]
    with torch.no_grad():
        distances = distribution_metrics(collector, rows, notes=notes, intervals=options.intervals)
    return judge.report(distances)
