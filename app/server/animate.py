"""What the page asks for: a photo as a picture that browsers show, a motion sampled for it, a loop rendered of both."""

from __future__ import annotations

import argparse
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import LoopFiles
from app.make import Assignment, animate, make_loop
from app.options import LoopOptions, fit_size
from app.server.jobs import CancelledError, Job
from common.image_files import check_image, read_image
from common.images import image_to_tensor
from common.option_types import LARGEST_SEED, parse_seed
from common.stopwatch import Stopwatch
from data.media.images import resize_and_crop

if TYPE_CHECKING:
    import numpy as np

    from models.motion.config import MotionConfig
    from models.pipeline import ImageDynamicsPipeline

SIDES = (256, 512, 1024)  # pixels of the frames' longer side that can be asked for
SUFFIXES = ("mp4", "webm", "webp")  # of the loops
MOST_PIXELS = 64_000_000  # of a photo as it is sent
MOST_SIDE = 2048  # pixels of a photo that are worked with, unless larger frames are asked for
QUALITY = 95  # of the picture


def check_photo(job: Job) -> None:
    """Look at the header of a job's picture, before anything is decoded.

    Raises:
        ValueError: not a photo of a known format, too small, or more pixels than are safe to decode.
    """
    with without_name(job):
        check_image(job.photo, most_pixels=MOST_PIXELS, name=job.name)


@contextmanager
def without_name(job: Job) -> Iterator[None]:
    """Errors of reading a job's photo begin with its name, which the page shows anyway."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{job.name}: ")) from None


# Work -----------------------------------------------------------------------------------------------------------------


def show_picture(_: ImageDynamicsPipeline, job: Job) -> None:
    """A photo that the browser can't decode as a JPEG, upright and in sRGB, and how large it is in full."""
    from PIL import Image

    pixels = read_pixels(job)
    job.facts["size"] = [pixels.shape[1], pixels.shape[0]]
    job.files["photo.jpg"] = job.folder / "photo.jpg"
    Image.fromarray(shrink(pixels, MOST_SIDE)).save(job.files["photo.jpg"], "JPEG", quality=QUALITY)


def sample_motion(pipeline: ImageDynamicsPipeline, job: Job) -> None:
    """A motion of the photo by the options' seed and wind, as a motion file."""
    made = animate(pipeline, assign_job(job), job.progress, Stopwatch())
    made.motion.write(job.motion)
    job.files["motion.safetensors"] = job.motion


def render_loop(pipeline: ImageDynamicsPipeline, job: Job) -> None:
    """The loop of the photo under a motion that was sent with it."""
    made = make_loop(pipeline, assign_job(job, given=True), progress=job.progress, warn=partial(note, job))
    job.files[f"loop.{job.suffix}"] = made.assignment.files.loop
    job.facts |= {"size": list(made.assignment.size), "frames": made.animation.num_frames, "duration": made.duration}


RENDERING = "/loop"  # comes with a motion after the photo
WORKS: dict[str, Callable[[ImageDynamicsPipeline, Job], None]] = {
    "/picture": show_picture,
    "/motion": sample_motion,
    RENDERING: render_loop,
}


def attempt(work: Callable[[ImageDynamicsPipeline, Job], None], pipeline: ImageDynamicsPipeline, job: Job) -> str:
    """Do the work: what went wrong in one line, empty if nothing did."""
    try:
        job.progress("read")
        work(pipeline, job)
    except (CancelledError, ConnectionError, TimeoutError):
        raise
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        return " ".join(str(error).split()).replace(f"{job.folder}/", "") or type(error).__name__
    except Exception:  # a defect of ours: its traceback is kept, and the next photo gets its turn
        traceback.print_exc(file=sys.stderr)
        return "something went wrong; the terminal that runs generate.py says what"
    return ""


def assign_job(job: Job, *, given: bool = False) -> Assignment:
    """A job's photo, decoded by the formats that are allowed and shrunk, and the motion that was given with it."""
    from models.dynamics.motion_file import MotionFile
    from models.photos import Photo

    pixels = read_pixels(job)
    size = job.options.rendering.frame_size((pixels.shape[1], pixels.shape[0]))
    photo = Photo(image_to_tensor(shrink(pixels, max(MOST_SIDE, 2 * max(size)))))
    files = LoopFiles(Path(job.name), job.folder / f"loop.{job.suffix}")
    return Assignment(files, photo, job.options, size, MotionFile.read(job.motion) if given else None)


def read_pixels(job: Job) -> np.ndarray:
    """A job's photo, uint8 ``[H, W, 3]``."""
    with without_name(job):
        return read_image(job.photo, most_pixels=MOST_PIXELS, name=job.name, warn=partial(note, job))


def note(job: Job, warning: str) -> None:
    """Keep a warning for the page."""
    text = warning.removeprefix(f"{job.name}: ")
    job.facts["warning"] = f"{job.facts['warning']}; {text}" if "warning" in job.facts else text


def shrink(photo: np.ndarray, side: int) -> np.ndarray:
    """A photo of at most so many pixels a side: what nobody gets to see needs no gigabytes."""
    height, width = photo.shape[:2]
    return photo if max(width, height) <= side else resize_and_crop(photo, fit_size((width, height), side))


# Options --------------------------------------------------------------------------------------------------------------


def natural_speed(defaults: LoopOptions, config: MotionConfig) -> float:
    """How many times faster than it was sampled the motion plays under some options."""
    playing = defaults.playing
    return config.num_frames / config.fps / ((playing.seconds or 1) * playing.slow)


def requested_options(defaults: LoopOptions, query: dict[str, str], config: MotionConfig) -> LoopOptions:
    """The default options with what a request changes.

    Args:
        defaults: those of the command line.
        query: seed, wind, amplitude, speed (1 is that of the motion) and size (the longer side in pixels).
        config: of the motion model.

    Raises:
        ValueError: a value that can't be used.
    """
    sampling, playing, rendering = defaults.sampling, defaults.playing, defaults.rendering
    if "seed" in query:
        sampling = replace(sampling, seed=requested_seed(query["seed"]))
    if "wind" in query:
        sampling = replace(sampling, wind=requested_number("wind", query["wind"], 0.01, 100))
    if "amplitude" in query:
        playing = replace(playing, magnify=requested_number("amplitude", query["amplitude"], -100, 100))
    if "speed" in query:
        speed = requested_number("speed", query["speed"], 0.05, 100)
        playing = replace(playing, slow=playing.slow * natural_speed(defaults, config) / speed)
    if query.get("size"):
        if query["size"] not in map(str, SIDES):
            raise ValueError(f"size: expected one of {', '.join(map(str, SIDES))}")
        rendering = replace(rendering, size=None, long_side=int(query["size"]))
    return LoopOptions(sampling, playing, rendering)


def requested_suffix(query: dict[str, str]) -> str:
    """The format of a loop, by default the first of :data:`SUFFIXES`."""
    suffix = query.get("format", SUFFIXES[0])
    if suffix not in SUFFIXES:
        raise ValueError(f"format: expected one of {', '.join(SUFFIXES)}")
    return suffix


def requested_seed(text: str) -> int:
    """The motion's number."""
    try:
        return parse_seed(text)
    except (argparse.ArgumentTypeError, ValueError):  # Python itself refuses numbers of thousands of digits
        raise ValueError(f"seed: expected a whole number from 0 to {LARGEST_SEED}") from None


def requested_number(name: str, text: str, low: float, high: float) -> float:
    """A factor within limits."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}")
    return value
