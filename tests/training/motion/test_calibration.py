"""Scenes in which nothing moves: they are part of simulated data, and tell nothing of amplitudes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.motion.config import PRESETS
from models.motion.model import MotionModel
from models.spectral_volume import SpectralNormalizer
from training.motion import validation as validation_module
from training.motion.calibration import calibrate_amplitude, judge_samples, mean_over_scenes
from training.motion.validation import MotionValidation

IMAGE = torch.zeros(1, 3, 32, 64)
STILL = torch.zeros(1, 4, 4, 32, 64)


def swaying(amplitude: float) -> Tensor:
    volume = STILL.clone()
    volume[:, 1] = amplitude * torch.linspace(0.5, 1, 64)
    return volume


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> MotionModel:
    """One whose samples all move by the same."""
    normalizer = SpectralNormalizer("std", (1.0,) * 4)
    made = MotionModel(PRESETS["tiny"], normalizer).eval()
    monkeypatch.setattr(MotionModel, "sample", lambda self, *_, **__: swaying(0.5) * float(self.amplitude_gain[0]))
    return made


@pytest.mark.parametrize("still", [0, 1, 3])
def test_still_scenes_do_not_change_the_calibration(model: MotionModel, still: int) -> None:
    photos = [(IMAGE, swaying(1.0))] + [(IMAGE, STILL)] * still
    assert calibrate_amplitude(model, photos, samples=2) == pytest.approx(2, rel=1e-3)


def test_of_still_scenes_alone_the_factor_is_one(model: MotionModel) -> None:
    assert calibrate_amplitude(model, [(IMAGE, STILL)], samples=2) == 1
    assert model.amplitude_gain.eq(1).all()


def test_still_scenes_have_no_amplitude_ratio(model: MotionModel) -> None:
    table = judge_samples(model, {"flag": [(IMAGE, swaying(1.0))], "wall": [(IMAGE, STILL)]}, samples=1)
    assert list(table) == ["flag"]
    assert table["flag"]["amplitude_ratio"] == pytest.approx(0.5)
    assert mean_over_scenes(judge_samples(model, {"wall": [(IMAGE, STILL)]}, samples=1)) == {}


@pytest.mark.parametrize("stage", ["autoencoder", "slice"])
def test_figures_of_validation_are_finite(
    stage: str, model: MotionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes: dict[str, Any] = {"flag": [(IMAGE, swaying(1.0))], "wall": [(IMAGE.clone(), STILL)]}
    monkeypatch.setattr(validation_module, "scenes_of_sources", lambda *_, **__: scenes)
    check = MotionValidation([], tmp_path, device=torch.device("cpu"), precision="float32", steps=2)
    figures, picture = check(model, stage, 1)
    assert figures
    assert all(math.isfinite(value) for value in figures.values())
    assert picture.shape[1] > 5 * 64  # the still one is looked at all the same
    del scenes["flag"]
    check = MotionValidation([], tmp_path, device=torch.device("cpu"), precision="float32", steps=2)
    assert check(model, stage, 1)[0] == {}
