"""What is said of a loop that may not be what was wanted, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import Playing, Sampling

if TYPE_CHECKING:
    from models.dynamics.motion_file import MotionFile
    from models.motion.config import MotionConfig

Warn = Callable[[str], None]

NATURAL = 1.5  # times faster or slower than natural that a loop may be without a word
STILL = 0.3  # pixels at a width of 256; motion that is weaker is hardly seen
HARDLY_MOVES = (
    "the model finds hardly anything here that sways ({:.2f} pixels at a width of 256), so the loop stands nearly "
    "still; --magnify makes more of it"
)


def check_speed(playing: Playing, known: MotionFile | MotionConfig, warn: Warn) -> None:
    """Say how a loop keeps its natural speed, where so many frames make it faster or slower and nobody asked for that.

    Slow motion is asked for by its own option.

    Args:
        playing: what was asked for.
        known: says how long a period of the motion is.
        warn: is told.
    """
    from models.dynamics.loop import Playback

    if playing.pokes or playing.num_frames is None or playing.slow != 1:
        return
    period = known.num_frames / known.fps
    playback = Playback.of_loop(playing.num_frames, fps=playing.fps, period=period, num_frequencies=1)
    speed = period * playing.fps / playback.period
    if not 1 / NATURAL <= speed <= NATURAL:
        usual = round(period * playing.fps)
        warn(
            f"{playing.num_frames} frames at {playing.fps:g} a second show {period:.3g} s of motion at {speed:.2g} "
            f"times its natural speed; --num-frames {usual} keeps it"
        )


def check_sampling(sampling: Sampling, warn: Warn) -> None:
    """Say which options have no effect, where a motion is given and none is sampled."""
    usual = vars(Sampling())
    unused = [name for name, value in vars(sampling).items() if value != usual[name]]
    if unused:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        warn(f"{options}: no effect, because the motion is given and nothing is sampled")


def check_strength(photo: Path, strength: float, *, magnify: float, warn: Warn) -> None:
    """Say so where a model finds hardly any motion, and it is not magnified to be seen.

    Args:
        strength: of the sampled motion, :attr:`models.dynamics.photo.PhotoMotion.sampled_strength`.
        magnify: factor that was asked for; one below 1 is no fault of the model.
    """
    if strength * max(1.0, abs(magnify)) < STILL:
        warn(f"{photo}: {HARDLY_MOVES.format(strength)}")
