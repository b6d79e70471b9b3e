"""The baseline as a row of the motion table: its videos at the dataset's size, and the motion measured in them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.cinn.data.clips import resized
from baselines.cinn.model import Rollout, StochasticImageToVideo
from baselines.videos import measure_motion
from common.images import to_8_bits
from evaluation.prediction import Predict, Prediction, Setting
from evaluation.sequences import EvaluationSequence

RATE_TOLERANCE = 0.05  # 29.97 is called 30


def warn_of_rates(checkpoint: Path, trained: float, shown: Sequence[float]) -> None:
    """Say so where frames are played at another rate than they were learned at; 0 where that is not known."""
    different = sorted({rate for rate in shown if trained and abs(rate / trained - 1) > RATE_TOLERANCE})
    if different:
        warnings.warn(
            f"{checkpoint}: trained on {trained:g} frames a second and shown at {different[-1]:g}: its motion is "
            f"{different[-1] / trained:.2g} times as fast; prepare the data at the rate it was trained on",
            stacklevel=2,
        )


def predict(setting: Setting, *, checkpoint: Path, rollout: Rollout = "same_code") -> Predict:
    """Samples of a trained model. Their first frame is the photo, as the first of the real ones is.

    Frame t of a sample therefore stands beside frame t of the video; the published scripts for dynamic textures
    compare frame t + 1 with frame t. Frames follow one another at the dataset's rate.
    """
    model = StochasticImageToVideo.from_pretrained(checkpoint).to(setting.device)
    warn_of_rates(checkpoint, model.config.fps, [sequence.fps for sequence in setting.sequences])
    if model.config.flow.control:
        raise ValueError(f"{checkpoint}: controlled by positions, which dataset folders do not have; train without")

    def of_sequence(_: int, sequence: EvaluationSequence) -> Prediction:
        photo = sequence.first_frame()
        small = resized(photo, model.config.video.size).to(setting.device)

        @lru_cache(maxsize=setting.samples)
        def video(number: int) -> Tensor:
            """Sample ``number``, uint8 ``[T, 3, H, W]``, as long and as large as the sequence."""
            generator = setting.generator(3, number)
            frames = model.sample(small, sequence.num_frames - 1, generator=generator, rollout=rollout)[0].cpu()
            width, height = sequence.size
            large = F.interpolate(frames, size=(height, width), mode="bicubic", align_corners=False)
            return to_8_bits(torch.cat([photo, large]))

        motion = tuple(
            measure_motion(video(number), sequence, setting.num_frequencies) for number in range(setting.samples)
        )
        return Prediction(motion, lambda number, count: video(number)[:count])

    return of_sequence
