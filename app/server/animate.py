"""What the server's worker does with one photo: read it safely, sample its motion, write the loop and the viewer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import fit_size, parse_frame_size
from app.server.jobs import Job
from common.command_line import MIN_SIDE, parse_seed
from common.images import image_to_tensor
from data.media.images import read_image, resize_and_crop
from data.media.write_video import write_video

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from models.dynamics.motion_file import MotionFile
    from models.pipeline import ImageDynamicsPipeline

# The decoders that a stranger's file may reach, of all that Pillow has; the suffixes in data.media.images, by content.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SIDES = (256, 512, 1024)  # pixels of the frames' longer side that can be asked for
MOST_PIXELS = 64_000_000  # of a photo as it is sent
MOST_SIDE = 2048  # pixels of a photo that are worked with, unless larger frames are asked for


@dataclass(frozen=True)
class LoopOptions:
    """How loops are made: generate.py's options of the same names."""

    steps: int
    sampler: str
    guidance: float | None
    loop_guidance: float
    recurrence: int
    num_frames: int
    fps: float
    slow: float
    renderer: str
    magnify: float
    seed: int
    size: str | None  # native, WxH or None
    long_side: int | None = None  # pixels of the frames; before size

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> LoopOptions:
        """The command line's."""
        names = [field.name for field in fields(cls) if hasattr(arguments, field.name)]
        return cls(**{name: getattr(arguments, name) for name in names})

    def frame_size(self, photo_size: tuple[int, int]) -> tuple[int, int]:
        """(W, H) of the frames of a photo of (W, H)."""
        return fit_size(photo_size, self.long_side) if self.long_side else parse_frame_size(self.size, photo_size)


def check_photo(path: Path) -> None:
    """Look at a picture's header, before anything is decoded.

    Raises:
        ValueError: not a photo of a known format, too small, or more pixels than are safe to decode.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MOST_PIXELS // 10**6} megapixels; shrink the photo first") from None
    except UnidentifiedImageError:
        raise ValueError(f"not a photo that can be read; save it as one of {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's readers raise for damaged headers
        raise ValueError(f"damaged photo ({' '.join(str(error).split())}); save it again") from None
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels, at most {MOST_PIXELS // 10**6} megapixels; shrink the photo first")
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{width}x{height} pixels are too few, {MIN_SIDE} a side are needed")


def animate(pipeline: ImageDynamicsPipeline, job: Job) -> None:
    """Make the results of one job; ``job.options`` are :class:`LoopOptions`."""
    from common.hashing import file_sha256
    from models.dynamics.motion_file import MotionFile
    from models.dynamics.photo import photo_motion

    options: LoopOptions = job.options
    job.progress("reading")
    try:
        photo = read_image(job.photo, FORMATS)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{job.photo}: ")) from None  # the path says nothing to the sender
    photo_size = (photo.shape[1], photo.shape[0])
    size = options.frame_size(photo_size)
    image = image_to_tensor(shrink(photo, max(MOST_SIDE, 2 * max(size))))
    job.progress("motion", 0, options.steps)
    volume = pipeline.predict_motion(
        image, options.seed, options.steps, options.sampler, options.guidance, options.loop_guidance,
        options.recurrence, progress=lambda done, total: job.progress("motion", done, total),
    )  # fmt: skip
    config = pipeline.motion_config
    motion_file = MotionFile(volume[0], config.num_frames, config.fps, photo_size, file_sha256(job.photo))
    motion, _ = photo_motion(
        motion_file, photo_size, (), options.num_frames, options.fps, options.slow, options.magnify
    )
    count, loop = len(motion.times), job.folder / "loop.mp4"
    frames = pipeline.render_motion(image, motion, size, options.renderer)
    write_video(loop, counted(frames, job, count), options.fps)
    job.files["loop.mp4"] = loop
    job.facts = {"size": size, "frames": count, "duration": count / options.fps}
    job.facts |= {"seed": options.seed, "magnify": options.magnify}
    add_viewer(job, image, motion_file)


def shrink(photo: np.ndarray, side: int) -> np.ndarray:
    """A photo of at most so many pixels a side: what nobody gets to see needs no gigabytes."""
    height, width = photo.shape[:2]
    return photo if max(width, height) <= side else resize_and_crop(photo, fit_size((width, height), side))


def counted(frames: Iterator[np.ndarray], job: Job, total: int) -> Iterator[np.ndarray]:
    """The same frames, with the job's progress told on the way."""
    for done, frame in enumerate(frames):
        job.progress("frames", done, total)
        yield frame


def add_viewer(job: Job, image: Tensor, motion_file: MotionFile) -> None:
    """Add the page on which the photo can be poked to the job's results; none for a motion that stands still."""
    from app.viewer.page import viewer_page

    job.progress("viewer")
    viewer = job.folder / "viewer.html"
    try:
        text = viewer_page(image, motion_file, job.folder / "loop.mp4", title=Path(job.name).stem)
    except ValueError as error:
        job.facts["no_viewer"] = str(error)
        return
    viewer.write_text(text, encoding="utf-8")
    job.files["viewer.html"] = viewer


def parse_request(query: dict[str, str]) -> dict:
    """What a request changes about the default options: seed, magnify and size (the longer side in pixels).

    Raises:
        ValueError: a value that can't be used.
    """
    changes: dict = {}
    if "seed" in query:
        try:
            changes["seed"] = parse_seed(query["seed"])
        except (argparse.ArgumentTypeError, ValueError):  # Python itself refuses numbers of thousands of digits
            raise ValueError("seed: expected a whole number from 0 to 2^62") from None
    if "magnify" in query:
        try:
            changes["magnify"] = float(query["magnify"])
        except ValueError:
            changes["magnify"] = math.nan
        if not -100 <= changes["magnify"] <= 100:
            raise ValueError("magnify: expected a number from -100 to 100")
    if query.get("size"):
        if query["size"] not in map(str, SIDES):
            raise ValueError(f"size: expected one of {', '.join(map(str, SIDES))}")
        changes["long_side"] = int(query["size"])
    return changes
