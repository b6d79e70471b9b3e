"""A tiny preset without anything slow, made-up videos, and a trained run folder for the commands."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baselines.cinn.command import main
from baselines.cinn.config import Preset
from baselines.cinn.presets import PRESETS
from baselines.clips import Video


@pytest.fixture
def tiny() -> Preset:
    """The tiny preset."""
    return PRESETS["tiny"]


@pytest.fixture
def moving_squares() -> list[Video]:
    """Videos of 24 frames, 48x32, of a bright square that moves right or left."""
    return [Video(id=f"square{n}", num_frames=24, read=square_video(n), fps=10.0) for n in range(4)]


def square_video(number: int):
    """The reader of one video."""
    direction = 1 if number % 2 else -1
    frames = torch.full((24, 3, 32, 48), 40, dtype=torch.uint8)
    for t in range(24):
        left = 20 + direction * t // 2
        frames[t, :, 8 + number : 20 + number, left : left + 8] = 220

    def read(first: int, count: int) -> Tensor:
        return frames[first : first + count]

    return read


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, small_dataset: Path) -> Path:
    """A run folder whose stages were trained for two steps each by the command."""
    folder = tmp_path_factory.mktemp("cinn") / "run"
    options = ["--preset", "tiny", "--max-steps", "2", "--device", "cpu", "--evaluate-every", "2"]
    assert main(["train", "--data", str(small_dataset), "--output", str(folder), *options]) == 0
    return folder


def without_discriminators(preset: Preset) -> Preset:
    """The preset with no adversarial part."""
    return replace(preset, training=replace(preset.training, adversarial_from=preset.training.vae.epochs))


os.environ.setdefault("WANDB_MODE", "disabled")
