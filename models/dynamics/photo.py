"""From a sampled motion to what is rendered: a seamless loop, or the photo poked; and measures of it for a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from models.dynamics.loop import LoopMotion, Playback
from models.dynamics.motion_file import MotionFile
from models.spectral_volume import REFERENCE_WIDTH, motion_strength

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.dynamics.pokes import Poke
    from models.dynamics.regions import Regions
    from models.dynamics.rig import ModalMotion
    from models.dynamics.seam import SeamMeter


class Displacement(Protocol):
    """What a renderer takes: motion at a resolution of its own, a few moments at a time."""

    @property
    def times(self) -> Sequence[float]:
        """The moments of the frames, as :meth:`at` takes them."""

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the motion."""

    def to(self, device: torch.device) -> Displacement:
        """The same motion on a device."""

    def at(self, times: Sequence[float]) -> Tensor:
        """Displacements ``[1, N, 2, h, w]`` in pixels of the motion."""

    def importance(self) -> Tensor:
        """``[1, 1, h, w]``, larger is in front; in pixels of the motion."""

    def largest_displacement(self) -> float:
        """Largest displacement of any pixel at any of the times."""


@dataclass(frozen=True)
class PhotoMotion:
    """How one photo moves."""

    sampled: MotionFile  # as the model gave it, or a motion file
    shown: MotionFile  # the same at the amplitude and in the regions asked for
    displacement: LoopMotion | ModalMotion  # what is rendered, frame by frame
    warnings: tuple[str, ...] = ()  # of pulls that are shorter than asked for

    @property
    def strength(self) -> float:
        """How far the things that move move (`models.spectral_volume.motion_strength`), in pixels at a width of 256."""
        return _strength(self.shown)

    @property
    def sampled_strength(self) -> float:
        """The same of the sampled motion, before it is magnified and kept to regions."""
        return _strength(self.sampled)

    @classmethod
    def of(
        cls,
        sampled: MotionFile,
        *,
        photo_size: tuple[int, int],
        num_frames: int | None,
        fps: float,
        slow: float = 1.0,
        magnify: float = 1.0,
        pokes: Sequence[Poke] = (),
        regions: Regions | None = None,
    ) -> PhotoMotion:
        """A loop of a sampled motion or, with pokes, the photo pulled and let go; only here the motion is magnified.

        Args:
            sampled: the motion.
            photo_size: (W, H) of the photo, whose pixels the pokes are in.
            num_frames: frames before it is slowed down; None for pokes: until all is at rest.
            fps: frames a second.
            slow: that many times as many frames of the same motion.
            magnify: factor on the displacement; pokes are pulls of the sampled motion, whose effect it enlarges.
            pokes: what is pulled, and when.
            regions: where the photo may move, everywhere by default.

        Raises:
            ValueError: regions that don't fit the photo.
        """
        given = sampled
        if regions:
            height, width = sampled.spectral_volume.shape[-2:]
            weights = regions.weights(photo_size, (width, height))
            sampled = replace(sampled, spectral_volume=sampled.spectral_volume * weights)
        shown = replace(sampled, spectral_volume=sampled.spectral_volume * magnify)
        if pokes:
            from models.dynamics.basis import ModalBasis
            from models.dynamics.pokes import poked_motion

            count = num_frames and max(1, round(num_frames * slow))
            basis = ModalBasis.of_motion(sampled)
            poked, warnings = poked_motion(basis, pokes, photo_size, fps=fps * slow, num_frames=count, magnify=magnify)
            return cls(given, shown, poked, tuple(warnings))
        if num_frames is None:
            raise ValueError("a loop needs a number of frames")
        volume = shown.spectral_volume[None]
        playback = Playback.of_loop(
            num_frames, fps=fps, slow=slow, period=sampled.period, num_frequencies=volume.shape[1]
        )
        return cls(given, shown, LoopMotion(volume, playback))


def _strength(motion: MotionFile) -> float:
    volume = motion.spectral_volume[None].float()
    return float(motion_strength(volume)) * REFERENCE_WIDTH / volume.shape[-1]


def motion_measures(
    motion: PhotoMotion,
    meter: SeamMeter,
    *,
    fps: float,
    slow: float,
    width: int,
) -> dict:
    """Measures of a rendered motion, in pixels of the frames; None for a seam that can't be compared with anything.

    Args:
        motion: what was rendered.
        meter: one that has seen all rendered frames.
        fps: frames a second.
        slow: how many times slower than natural.
        width: pixels of a frame.
    """
    rendered = motion.displacement
    scale = width / rendered.size[0]
    if not isinstance(rendered, LoopMotion):
        return {"speed": 1 / slow, "largest_motion_pixels": rendered.largest_displacement() * scale}
    return {
        "speed": motion.sampled.period * fps / rendered.playback.period / slow,
        "seam_ratio": _finite(meter.ratio()) if meter.usual_step else None,
        "motion_seam_ratio": _finite(rendered.seam_ratio()),
        "mean_motion_pixels": float(rendered.mean_magnitude().mean()) * scale,
    }


def _finite(value: float) -> float | None:
    """None for what JSON can't hold: the seam ratio of a loop that mostly stands still."""
    return value if math.isfinite(value) else None
