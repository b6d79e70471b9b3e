"""The baseline as a row of the motion table: its videos at the dataset's size, and the motion measured in them."""

from __future__ import annotations

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


def predict(setting: Setting, *, checkpoint: Path, rollout: Rollout = "same_code") -> Predict:
    """Samples of a trained model. Their first frame is the photo, as the first of the real ones is.

    Frame t of a sample therefore stands beside frame t of the video; the published scripts for dynamic textures
    compare frame t + 1 with frame t. Frames follow one another at the dataset's rate.
    """
    model = StochasticImageToVideo.from_pretrained(checkpoint).to(setting.device)
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
