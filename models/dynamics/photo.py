"""From a sampled motion to what is rendered: a seamless loop, or the photo poked; and what a report says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.dynamics.loop import LoopMotion
    from models.dynamics.modal import ModalMotion
    from models.dynamics.motion_file import MotionFile
    from models.dynamics.pokes import Poke
    from models.dynamics.seam import SeamMeter


def photo_motion(
    sampled: MotionFile,
    photo_size: tuple[int, int],  # (W, H), whose pixels the pokes are in
    pokes: Sequence[Poke],  # none: a loop
    num_frames: int | None,  # of a loop that is not slowed down; None for pokes: until all is at rest
    fps: float,
    slow: float = 1.0,
    magnify: float = 1.0,
) -> tuple[LoopMotion | ModalMotion, list[str]]:
    """The motion to render, and warnings where a pull is shorter than asked for."""
    if pokes:
        from models.dynamics.basis import ModalBasis
        from models.dynamics.pokes import poked_motion

        count = num_frames and max(1, round(num_frames * slow))
        return poked_motion(ModalBasis.of_motion(sampled), pokes, photo_size, fps * slow, count, magnify)
    from models.dynamics.loop import LoopMotion, Playback

    if num_frames is None:
        raise ValueError("a loop needs a number of frames")
    volume, period = sampled.spectral_volume[None] * magnify, sampled.num_frames / sampled.fps
    return LoopMotion(volume, Playback.of_loop(num_frames, fps, slow, period, volume.shape[1])), []


def motion_measures(
    motion: LoopMotion | ModalMotion,
    meter: SeamMeter,  # that has seen all rendered frames
    period: float,  # seconds, of the sampled motion
    fps: float,
    slow: float,
    width: int,  # of the frames
) -> dict:
    """Measures of a rendered motion, in pixels of the frames; None for a seam that can't be compared with anything."""
    from models.dynamics.loop import LoopMotion

    scale = width / motion.size[0]
    if not isinstance(motion, LoopMotion):
        return {"speed": 1 / slow, "largest_motion_pixels": motion.largest_displacement() * scale}
    return {
        "speed": period * fps / motion.playback.period / slow,
        "seam_ratio": _finite(meter.ratio()),
        "motion_seam_ratio": _finite(motion.seam_ratio()),
        "mean_motion_pixels": float(motion.mean_magnitude().mean()) * scale,
    }


def _finite(value: float) -> float | None:
    """None for what JSON can't hold: the seam ratio of a loop that mostly stands still."""
    return value if math.isfinite(value) else None
