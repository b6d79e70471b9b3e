"""Validation scenes of the motion model: what its training is watched by, and what its amplitude is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.images import tensor_to_image
from data.dataset.reading import SpectralVolumeDataset
from data.media.images import write_image
from data.media.pictures import contact_sheet, magnitude_map
from models.motion.model import MotionModel
from models.motion.stages import AUTOENCODER_STAGES
from models.spectral_volume import LEAST_STRENGTH, motion_amplitude, motion_strength
from training.batches.motion import scenes_of_sources
from training.motion.calibration import judge_samples, mean_over_scenes, moves, sample_like

SCENES = 24  # at most, spread over all there are


class MotionValidation:
    """Figures of a model on the first sequence of each scene, and a picture of true beside sampled amplitude.

    Args:
        datasets: validation sequences, of one or several folders.
        output: run folder, whose ``samples/`` takes the pictures.
        multiple: that both sides have to be of, for the model; other scenes are resized.
        precision: bfloat16 or float32, in which samples are taken.
        steps: of each sample.
    """

    def __init__(
        self,
        datasets: Sequence[SpectralVolumeDataset],
        output: Path,
        *,
        device: torch.device,
        multiple: int = 1,
        precision: str = "bfloat16",
        steps: int | None = None,
    ) -> None:
        self.scenes = scenes_of_sources(datasets, limit=SCENES, device=device, multiple=multiple)
        self.photos = [pair for pairs in self.scenes.values() for pair in pairs]
        self._folder = output / "samples"
        self._precision, self._steps = precision, steps

    def __call__(self, model: MotionModel, stage: str, step: int) -> tuple[dict[str, float], np.ndarray]:
        """Figures after a step of a stage, and the picture, uint8 ``[H, W, 3]``, which is also written."""
        model.eval()
        shown = {id(image): self._show(model, stage, image, true) for image, true in self.photos}
        picture = contact_sheet([part for pair in self.photos for part in _row(*pair, shown[id(pair[0])])], 6)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_image(self._folder / f"{stage}_{step:06d}.png", picture)
        if stage in AUTOENCODER_STAGES:
            errors = [relative_error(shown[id(image)], true) for image, true in self.photos if moves(true)]
            return ({"relative_error": sum(errors) / len(errors)} if errors else {}), picture
        # What is pictured is also judged.
        table = judge_samples(model, self.scenes, samples=1, sample=lambda model, image, seed: shown[id(image)])
        return mean_over_scenes(table), picture

    def _show(self, model: MotionModel, stage: str, image: Tensor, true: Tensor) -> Tensor:
        """A sample, or in the autoencoder's stages the true volume through encoder and decoder."""
        if stage in AUTOENCODER_STAGES:
            with torch.no_grad():
                strength = motion_strength(true).clamp_min(LEAST_STRENGTH) if model.config.wind else 1.0
                return model.reconstruct(true / strength, image) * strength
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            return sample_like(model, image, true, 0, steps=self._steps).float()


def relative_error(volume: Tensor, true: Tensor) -> float:
    """Root mean square error over root mean square of volumes ``[1, K, 4, H, W]``, without the mean displacement."""
    return float((volume - true)[:, 1:].square().mean() / true[:, 1:].square().mean()) ** 0.5


def _row(image: Tensor, true: Tensor, shown: Tensor) -> list[np.ndarray]:
    """Photo, true and shown amplitude at the same scale."""
    limit = float(motion_amplitude(true).quantile(0.99))
    maps = [magnitude_map(motion_amplitude(volume)[0, 0].cpu().numpy(), limit) for volume in (true, shown)]
    return [tensor_to_image(image), *maps]
