"""Judging both stages while they train, on clips that are not trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from baselines.lfdm.data.clips import ClipFrames, frame_indices
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.pictures import flow_color, gray, sheet
from baselines.lfdm.pipeline import LFDM, Animation, Sampling
from baselines.reconstruction import absolute_errors

RECONSTRUCTION_FIGURES = ("l1", "l1_warped", "l1_repeat")
SAMPLE_FIGURES = ("localisation", "amplitude_ratio")
MOST_CLIPS = 6
MOST_SAMPLING_STEPS = 50  # of DDIM


class ReconstructionValidation:
    """Mean absolute error, in [0, 1], of later frames: drawn, merely warped, and of the first frame instead."""

    def __init__(self, frames: ClipFrames, *, device: torch.device, count: int = 5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.clips = [
            frames.read(
                number, frame_indices(len(frames.clips[number]), count, sampling="uniform", generator=generator)
            ).to(device)
            for number in _spread(len(frames.clips))
        ]

    def __call__(self, model: FlowAutoencoder) -> tuple[dict[str, float], np.ndarray]:
        """Figures by name, and a sheet: source, last frame, drawn, warped, flow, occlusion."""
        results = [LFDM(model).reconstruct(clip) for clip in self.clips]
        pairs = list(zip(results, self.clips, strict=True))
        errors = [absolute_errors(clip[1:], versions(result, clip)) for result, clip in pairs]
        figures = {name: float(np.mean([error[name] for error in errors])) for name in RECONSTRUCTION_FIGURES}
        return figures, sheet([[clip[0], clip[-1], *panels(result, -1)] for result, clip in pairs])


def versions(result: Animation, clip: Tensor) -> dict[str, Tensor]:
    """What can stand for the frames of a clip ``[T, 3, H, W]`` but the first, named as by `Errors`."""
    repeated = clip[:1].expand_as(clip[1:])
    return {"": result.frames[1:], "_warped": result.warped[1:], "_repeat": repeated}


def panels(result: Animation, index: int) -> list[Tensor]:
    """A frame, the photo under its flow, the flow in colour and the occlusion: ``[3, H, W]`` each."""
    size = (result.frames.shape[3], result.frames.shape[2])
    largest = float(result.displacement.norm(dim=1).max())
    flow = flow_color(result.displacement[index], size, largest=largest)
    return [result.frames[index], result.warped[index], flow, gray(result.occlusion[index], size)]


class SampleValidation:
    """Whether samples move where the clips do, and as much.

    The figures are means over clips: the correlation, over pixels, of the mean length of the sampled latent flow with
    that of the flow which the autoencoder finds in the clip itself, and the ratio of their means.
    """

    def __init__(self, frames: ClipFrames, count: int, *, device: torch.device) -> None:
        numbers = _spread(len(frames.clips))
        self.labels = [frames.clips[number].label for number in numbers]
        self.clips = [
            frames.read(number, [min(i, len(frames.clips[number]) - 1) for i in range(count)]).to(device)
            for number in numbers
        ]

    def __call__(self, diffusion: LatentFlowDiffusion, model: FlowAutoencoder) -> tuple[dict[str, float], np.ndarray]:
        """Figures by name, and a sheet: photo, real last frame, then the sample's last panels."""
        lfdm, rows, figures = LFDM(model, diffusion), [], []
        steps = min(MOST_SAMPLING_STEPS, diffusion.config.sampling_steps)
        sampling = Sampling(steps=steps, sampler="ddim")
        for number, (clip, label) in enumerate(zip(self.clips, self.labels, strict=True)):
            condition = label if label in diffusion.config.labels else None  # others were not trained on
            sampled = lfdm.animate(
                clip[:1],
                len(clip),
                generator=torch.Generator().manual_seed(number),
                condition=condition,
                sampling=sampling,
            )
            figures.append(_likeness(sampled.displacement, lfdm.reconstruct(clip).displacement))
            rows.append([clip[0], clip[-1], *panels(sampled, -1)])
        means = np.mean(figures, axis=0)
        return dict(zip(SAMPLE_FIGURES, map(float, means), strict=True)), sheet(rows)


def _likeness(sampled: Tensor, real: Tensor) -> tuple[float, float]:
    found, true = (motion.norm(dim=1).mean(dim=0).flatten().double() for motion in (sampled, real))
    ratio = float(found.mean() / true.mean().clamp_min(1e-9))
    return float(torch.corrcoef(torch.stack([found, true]))[0, 1].nan_to_num()), ratio


def _spread(available: int) -> list[int]:
    """At most :data:`MOST_CLIPS` of the clips, evenly spaced."""
    return np.unique(np.linspace(0, available - 1, min(available, MOST_CLIPS)).astype(int)).tolist()
