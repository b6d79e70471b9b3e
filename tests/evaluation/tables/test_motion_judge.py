"""Which frames the metrics of videos are given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import Tensor

from baselines.simple import repeat
from common.stopwatch import Stopwatch
from evaluation.metrics.registry import METRICS
from evaluation.prediction import Setting
from evaluation.sequences import load_sequences
from evaluation.tables.motion_judge import MotionJudge
from models.pipeline import ImageDynamicsPipeline


class Collector:
    """Remembers what it is given."""

    networks = ("a network",)

    def __init__(self) -> None:
        self.frames: dict[str, Tensor] = {}

    def add(self, name: str, sequence: str, source: str, frames: Tensor) -> None:
        self.frames[name] = frames


@pytest.mark.parametrize("skipped", [False, True])
def test_the_photo_can_be_left_out_of_real_and_generated_videos_alike(small_dataset: Path, skipped: bool) -> None:
    sequences = load_sequences(small_dataset, "validation")[:1]
    setting = Setting(sequences, ImageDynamicsPipeline(), num_frequencies=4)
    collector, diversity = Collector(), SimpleNamespace(metrics=(), notes={})
    judge = MotionJudge(setting, {"fid": METRICS["fid"]}, collector, diversity, Stopwatch(), None, skipped)
    judge.run({"repeat": repeat(setting)})
    real = sequences[0].frames()
    assert collector.frames["real"].equal(real[int(skipped) :])
    assert collector.frames["repeat"].equal(real[:1].expand(len(real) - skipped, -1, -1, -1))
