"""What a method says of one photo, and what all methods of a table share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evaluation.sequences import EvaluationSequence
from models.dynamics.loop import LoopMotion, Playback
from models.photos import Photo
from models.pipeline import ImageDynamicsPipeline

OWN_WIND = "own"  # how far things move in the measured motion, told to the model


@dataclass(frozen=True)
class Prediction:
    """What a method says of one photo."""

    motion: tuple[Tensor, ...] = ()  # volumes [1, K, 4, H, W] in pixels, one a sample; or one map [1, 1, H, W]
    render: Callable[[int, int], Tensor] | None = None  # (sample, number of frames) -> uint8 [N, 3, H, W]
    note: str | None = None  # why there is no motion, or no video


@dataclass(frozen=True)
class Setting:
    """What all methods of one table share."""

    sequences: Sequence[EvaluationSequence]
    pipeline: ImageDynamicsPipeline
    parts: tuple[str, ...] = ()  # of the pipeline that were loaded, those that the methods need
    num_frequencies: int = 16  # of the measured motion
    renderer: str = "model"
    samples: int = 1
    steps: int | None = None  # this and the next two: the model's own by default
    guidance: float | None = None
    seed: int = 0
    sampler: str | None = None
    loop_guidance: float = 0.0
    recurrence: int = 0  # extra passes of each step under loop guidance
    wind: str | float | None = None  # of models that are told it; OWN_WIND is that of the measured motion

    @property
    def device(self) -> torch.device:
        """Where the networks of methods compute."""
        return self.pipeline.device

    def used_guidance(self) -> float:
        """The weight of classifier-free guidance that samples are taken with."""
        return self.pipeline.motion_config.guidance if self.guidance is None else self.guidance

    def used_steps(self) -> int:
        """The number of steps that samples are taken in."""
        return self.pipeline.motion_config.steps if self.steps is None else self.steps

    def generator(self, *numbers: int) -> torch.Generator:
        """Randomness that depends on the seed and these numbers alone."""
        seed = self.seed
        for number in numbers:
            seed = seed * 1_000_003 + number
        return torch.Generator().manual_seed(seed % (1 << 62))

    def true_volume(self, sequence: EvaluationSequence) -> Tensor:
        """The measured motion, ``[1, K, 4, H, W]``, K as far as the sequence's length allows."""
        return sequence.volume(min(self.num_frequencies, sequence.num_frames // 2 + 1))

    def render(self, sequence: EvaluationSequence, motion: LoopMotion, count: int) -> Tensor:
        """The first ``count`` frames of the photo under this motion, uint8 ``[N, 3, H, W]``."""
        playback = replace(motion.playback, times=motion.playback.times[:count])
        motion = LoopMotion(motion.volume, playback, motion.anchored)
        frames = self.pipeline.render_motion(Photo(sequence.first_frame()), motion, renderer=self.renderer)
        return torch.stack([torch.from_numpy(frame) for frame in frames]).permute(0, 3, 1, 2).contiguous()

    def of_volume(self, sequence: EvaluationSequence, volume: Tensor, anchored: bool = True) -> Prediction:
        """Prediction of a motion that is as long as the sequence."""
        period = float(sequence.num_frames)
        playback = Playback(tuple(map(float, range(sequence.num_frames))), period, volume.shape[1])
        return Prediction(
            (volume,), lambda _, count: self.render(sequence, LoopMotion(volume, playback, anchored), count)
        )


Predict = Callable[[int, EvaluationSequence], Prediction]  # (index of the sequence, the sequence) -> prediction
