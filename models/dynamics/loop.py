"""The motion of a loop: which moments of a spectral volume its frames show, and how well its end meets its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.dynamics.seam import SeamMeter
from models.spectral_volume import IMPORTANCE_SAMPLES, motion_at_times


@dataclass(frozen=True)
class Playback:
    """Which moments of a periodic motion a loop's frames show; frame ``len(times)`` would be frame 0 again."""

    times: tuple[float, ...]  # in frames, one a rendered frame
    period: float  # in frames: the motion repeats after it
    num_frequencies: int  # those above the loop's Nyquist limit can't be shown

    @classmethod
    def of_loop(
        cls,
        num_frames: int,
        *,
        fps: float,
        period: float,
        num_frequencies: int,
        slow: float = 1.0,
    ) -> Playback:
        """A seamless loop of ``num_frames`` at ``fps``, slowed down by ``slow`` (which makes more frames of it).

        The loop holds a whole number of the motion's periods, the number that keeps a period closest to its natural
        length. Loops up to 1.5 periods long hold one, stretched or pressed to the loop's length; longer ones hold
        several, at 0.75 to 1.5 times the natural speed.

        Args:
            num_frames: frames of the loop before it is slowed down.
            fps: frames a second.
            period: seconds of one period of the motion, as it was in training.
            num_frequencies: K of the motion.
            slow: factor on the number of frames.
        """
        if num_frames < 2 or min(fps, slow, period) <= 0:
            given = f"{num_frames}, {fps:g}, {slow:g} and {period:g}"
            raise ValueError(f"a loop needs 2 frames, a positive frame rate, slowness and period, got {given}")
        periods = max(1, round(num_frames / fps / period))
        rendered = max(2, round(num_frames * slow))
        times = tuple(index * num_frames / rendered for index in range(rendered))
        shown = int(min(num_frames, rendered) / periods / 2) + 1
        return cls(times, num_frames / periods, min(num_frequencies, shown))


class LoopMotion:
    """Motion of a loop at the volume's own resolution, anchored so that time 0 does not move.

    Measured motion of a clip that does not loop is best left as it is (``anchored=False``): its few frequencies are
    furthest from the truth where the end meets the start, and anchoring would carry that error to every frame.
    """

    def __init__(self, volume: Tensor, playback: Playback, anchored: bool = True) -> None:
        self.playback = playback
        self.volume = volume[:, : playback.num_frequencies].float()
        self.anchored = anchored
        # Anchored here once more, because dropping frequencies or another period moves frame 0.
        self.first = motion_at_times(self.volume, [0.0], playback.period) * anchored

    @classmethod
    def of_period(cls, volume: Tensor) -> LoopMotion:
        """A motion's own period with all of its frequencies, of which no frame is shown.

        Args:
            volume: ``[1, K, 4, h, w]`` in pixels.
        """
        frequencies = volume.shape[1]
        return cls(volume, Playback((), 2.0 * frequencies, frequencies))

    @property
    def times(self) -> tuple[float, ...]:
        """The playback's times."""
        return self.playback.times

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the motion."""
        return self.volume.shape[4], self.volume.shape[3]

    def to(self, device: torch.device) -> LoopMotion:
        """The same motion on a device."""
        return LoopMotion(self.volume.to(device), self.playback, self.anchored)

    def at(self, times: Sequence[float]) -> Tensor:
        """Displacements ``[1, N, 2, h, w]`` at some of the playback's times."""
        return motion_at_times(self.volume, times, self.playback.period) - self.first

    def mean_magnitude(self) -> Tensor:
        """Mean over a period of ``|F_t|``, ``[1, 1, h, w]``: the paper's importance (moving pixels are in front)."""
        total = torch.zeros_like(self.first[:, :, 0])
        for index in range(IMPORTANCE_SAMPLES):
            total += self.at([index * self.playback.period / IMPORTANCE_SAMPLES]).square().sum(2).sqrt()
        return total / IMPORTANCE_SAMPLES

    def importance(self) -> Tensor:
        """What is in front when rendering: :meth:`mean_magnitude`."""
        return self.mean_magnitude()

    def largest_displacement(self) -> float:
        """Largest ``|F_t|`` of any pixel at any of the playback's times, in pixels of the volume."""
        squares = [self.at([time]).square().sum(2).max() for time in self.playback.times]
        return float(torch.stack(squares).max().sqrt())

    def seam_ratio(self) -> float:
        """Seam ratio of the motion itself over the playback's times (see :class:`SeamMeter`)."""
        meter = SeamMeter()
        for time in self.playback.times:
            meter.add(self.at([time]))
        return meter.ratio()
