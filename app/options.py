"""Options of loops, alone and together: what is sampled, how the loop plays, how it is rendered, which files it gives.

The names are those of generate.py's options, and so are those in errors.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.option_types import LARGEST_SEED, parse_size
from models.choices import DEFAULT_RENDERER, FPS, NUM_FRAMES

if TYPE_CHECKING:
    from models.dynamics.pokes import Poke
    from models.dynamics.regions import Regions

MOST_VARIATIONS = 24
DEFAULT_LONG_SIDE = 512  # pixels
SMALLEST_SIDE, LARGEST_SIDE = 16, 8192


@dataclass(frozen=True)
class Sampling:
    """How motion is sampled: the keywords of :meth:`models.pipeline.ImageDynamicsPipeline.predict_motion`."""

    seed: int = 0
    steps: int | None = None  # this and the next two: None for the model's own
    sampler: str | None = None
    guidance: float | None = None
    loop_guidance: float = 0.0
    recurrence: int = 0
    wind: str | float | None = None  # of models trained with it; None: the usual one

    def __post_init__(self) -> None:
        expect_range("seed", self.seed, 0, LARGEST_SEED)
        expect_range("steps", self.steps, 1, 1000)
        expect_range("guidance", self.guidance, -1, 100)
        expect_range("loop_guidance", self.loop_guidance, 0, 1e6)
        expect_range("recurrence", self.recurrence, 0, 100)
        if self.wind is not None and not isinstance(self.wind, str):
            expect_range("wind", self.wind, 0.01, 100)


@dataclass(frozen=True)
class Playing:
    """What the motion does in time."""

    num_frames: int | None = NUM_FRAMES  # before it is slowed down; None: until all that was poked is at rest
    fps: float = FPS
    slow: float = 1.0
    magnify: float = 1.0
    pokes: tuple[Poke, ...] = ()  # none: a loop
    regions: Regions | None = None  # where the photo may move

    def __post_init__(self) -> None:
        expect_range("num_frames", self.num_frames, 2, 100_000)
        expect_range("fps", self.fps, 0.1, 1000)
        expect_range("slow", self.slow, 0.05, 100)
        expect_range("magnify", self.magnify, -100, 100)

    @property
    def seconds(self) -> float | None:
        """Duration before it is slowed down, where it is known."""
        return self.num_frames and self.num_frames / self.fps


@dataclass(frozen=True)
class Rendering:
    """How frames are drawn."""

    renderer: str = DEFAULT_RENDERER
    size: str | None = None  # native, WxH or None: the photo's shape within long_side
    long_side: int = DEFAULT_LONG_SIDE  # pixels

    def __post_init__(self) -> None:
        self.frame_size((SMALLEST_SIDE, SMALLEST_SIDE))  # a size that can't be read is told before any photo is

    def frame_size(self, photo_size: tuple[int, int]) -> tuple[int, int]:
        """(W, H) of the frames of a photo of (W, H).

        Raises:
            ValueError: a size that can't be read or rendered.
        """
        if self.size == "native":
            size = photo_size
        elif self.size is not None:
            try:
                size = parse_size(self.size)
            except argparse.ArgumentTypeError as error:
                raise ValueError(f"--size {error}, or native") from None
        else:
            size = fit_size(photo_size, self.long_side)
        if not SMALLEST_SIDE <= min(size) <= max(size) <= LARGEST_SIDE:
            limits = f"sides of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels can be rendered"
            raise ValueError(f"--size {size[0]}x{size[1]}: {limits}")
        return size


@dataclass(frozen=True)
class LoopOptions:
    """How a loop is made of a photo."""

    sampling: Sampling = field(default_factory=Sampling)
    playing: Playing = field(default_factory=Playing)
    rendering: Rendering = field(default_factory=Rendering)


@dataclass(frozen=True)
class FileOptions:
    """Which files are read and written beside the photos."""

    output: str | None = None  # a file, a folder, or None for outputs/
    preview: str | None = None  # suffix without its dot
    show_motion: bool = False
    xt_slice: int | None = None  # row of the frames
    viewer: Path | None = None
    save_motion: Path | None = None
    motion: Path | None = None  # rendered instead of a sampled one
    skip_existing: bool = False  # leave photos out whose files are all there
    variations: int | None = None  # motions that are sampled, to choose one of them
    pick: int | None = None  # the one that is rendered

    def __post_init__(self) -> None:
        expect_range("variations", self.variations, 2, MOST_VARIATIONS)
        expect_range("pick", self.pick, 1, MOST_VARIATIONS)
        others = [self.pick, self.motion, self.save_motion, self.viewer, self.preview, self.xt_slice]
        if self.variations and (self.show_motion or any(other is not None for other in others)):
            raise ValueError("--variations: makes a sheet and the motions of it; --pick renders one, with other files")
        if self.pick and self.motion:
            raise ValueError("--pick: takes a motion of --variations, --motion another one; give one of them")
        if self.motion and self.save_motion:
            raise ValueError("--save-motion: nothing is sampled with --motion, so there is no motion to save")
        if self.save_motion and self.save_motion.suffix != ".safetensors":
            raise ValueError(f"--save-motion {self.save_motion}: its name must end in .safetensors")
        if self.viewer and self.viewer.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--viewer {self.viewer}: its name must end in .html")

    @property
    def of_one_photo(self) -> bool:
        """Whether they name files that belong to a single photo."""
        return any((self.viewer, self.save_motion, self.motion, self.variations, self.pick))


def fit_size(photo_size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(W, H) in a photo's shape with no side longer than ``long_side`` and both even, as H.264 wants them."""
    scale = min(1.0, long_side / max(photo_size))
    width, height = (max(SMALLEST_SIDE, 2 * round(side * scale / 2)) for side in photo_size)
    return width, height


def expect_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise ValueError where an option of generate.py is outside its limits; None stands for its default."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"--{name.replace('_', '-')} {value}: expected {low} to {high}")
