"""How well the end of a loop meets its start: the seam ratio, of motion and of frames."""

from __future__ import annotations

import math
from statistics import median

import torch
from torch import Tensor

from models.spectral_volume import resize_motion, shift_in_time, spectral_volume_to_motion

MEASURED_WIDTH = 64  # pixels, at which a loop's start is looked for


class SeamMeter:
    """Seam ratio (evaluation.metrics.motion) of frames or motion that are seen once, one after the other.

    About 1 for a loop, whose last step is a step like the others; large where the end jumps back to the start.
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._last: Tensor | None = None
        self._steps: list[float] = []

    def add(self, values: Tensor) -> None:
        """Take in the next element: floating point, any shape."""
        if self._last is None:
            self._first = values
        else:
            self._steps.append(float((values - self._last).abs().mean()))
        self._last = values

    @property
    def usual_step(self) -> float:
        """``median_t mean|x_{t+1} - x_t|``, what the ratio divides by; where it is small, the ratio says nothing."""
        return median(self._steps) if self._steps else 0.0

    def steps(self) -> list[float]:
        """``mean|x_{t+1} - x_t|`` of neighbours, then ``mean|x_T - x_1|``; none of fewer than two elements."""
        if self._first is None or self._last is None or not self._steps:
            return []
        return [*self._steps, float((self._last - self._first).abs().mean())]

    def ratio(self) -> float:
        """``mean|x_T - x_1| / median_t mean|x_{t+1} - x_t|``."""
        steps = self.steps()
        if not steps:
            raise ValueError("a seam ratio needs two frames or more")
        return seam_ratio(torch.tensor(steps))


def seam_ratio(steps: Tensor) -> float:
    """The loop's last step over its median step: ``mean|I_1 - I_T| / median_t mean|I_{t+1} - I_t|``.

    Args:
        steps: ``[T]`` mean absolute differences of neighbouring frames, the last one from frame T to frame 1.
    """
    median = float(steps[:-1].median())
    if median == 0:
        return 1.0 if float(steps[-1]) == 0 else math.inf
    return float(steps[-1]) / median


def motion_seam_ratio(motion: Tensor) -> float:
    """Seam ratio of a motion texture ``[1, T, 2, H, W]``."""
    steps = (motion.roll(-1, dims=1) - motion).abs().mean(dim=(0, 2, 3, 4))
    return seam_ratio(steps)


def begin_where_slow(volume: Tensor, num_frames: int) -> Tensor:
    """The same loop, begun at another of its frames, so that its end meets its start at an ordinary step.

    A photo does not say at which moment of the swing it was taken, so any start is as good a sample. Of the frames
    that are reached by no more than the median step, the one nearest to the mean position is taken: then the photo
    is moved least far in all.

    Args:
        volume: ``[1, K, 4, H, W]``.
    """
    height, width = volume.shape[-2:]
    size = max(1, round(height * MEASURED_WIDTH / width)), MEASURED_WIDTH
    motion = spectral_volume_to_motion(resize_motion(volume.float(), size), num_frames)[0]
    steps = (motion - motion.roll(1, dims=0)).abs().mean(dim=(1, 2, 3))  # that lead to each frame
    distance = (motion - motion.mean(dim=0)).square().mean(dim=(1, 2, 3))
    start = int(distance.where(steps <= steps.median(), math.inf).argmin())
    return shift_in_time(volume, start, num_frames)
