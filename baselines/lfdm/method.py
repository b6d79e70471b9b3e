"""LFDM as a row of the motion table."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from baselines.lfdm.pipeline import LFDM, Animation, Sampling, full_size
from common.images import to_8_bits
from evaluation.prediction import Predict, Prediction, Setting
from evaluation.sequences import EvaluationSequence
from models.choices import DEFAULT_STEPS
from models.spectral_volume import motion_to_spectral_volume


def lfdm(setting: Setting, *, checkpoint: Path) -> Predict:
    """Clips of a trained LFDM, and the motion of its latent flow.

    Photos are resized to the model's size and its frames back to the table's. Samples are taken
    by DDIM in the table's number of steps, without a condition.

    Args:
        checkpoint: a run folder of ``python -m baselines.lfdm train``.
    """
    model = LFDM.from_pretrained(checkpoint, setting.device)
    assert model.diffusion is not None
    config = model.diffusion.config
    sampling = Sampling(steps=min(setting.steps or DEFAULT_STEPS, config.steps), sampler="ddim")

    def predict(index: int, sequence: EvaluationSequence) -> Prediction:
        width, height = model.size
        photo = sequence.first_frame().to(setting.device)
        small = F.interpolate(photo, (height, width), mode="bilinear", antialias=True, align_corners=False)
        clips = [
            model.animate(
                (small + 1) / 2,
                sequence.num_frames,
                generator=setting.generator(3, number),
                sampling=sampling,
            )
            for number in range(setting.samples)
        ]
        volumes = tuple(measured_flow(clip, sequence, setting.num_frequencies) for clip in clips)

        def frames(number: int, count: int) -> Tensor:
            drawn = 2 * clips[number].frames[:count] - 1
            drawn = F.interpolate(drawn, sequence.size[::-1], mode="bilinear", antialias=True, align_corners=False)
            return to_8_bits(drawn).cpu()

        return Prediction(volumes, frames)

    return predict


def measured_flow(clip: Animation, sequence: EvaluationSequence, num_frequencies: int) -> Tensor:
    """Spectral volume ``[1, K, 4, H, W]`` of a clip's latent flow, in pixels of the sequence's frames."""
    height, width = clip.frames.shape[-2:]
    motion = full_size(clip.displacement.cpu(), sequence.size)
    scale = motion.new_tensor([sequence.size[0] / width, sequence.size[1] / height]).view(1, 2, 1, 1)
    return motion_to_spectral_volume((motion * scale)[None], min(num_frequencies, len(motion) // 2 + 1))
