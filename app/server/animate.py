"""What the server's worker does with one photo: read it safely, sample its motion, write the loop and the viewer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import LoopFiles
from app.make import Assignment, MadeLoop, make_loop, write_viewer
from app.options import LoopOptions, fit_size
from app.server.jobs import Job
from common.image_files import check_image, read_image
from common.images import image_to_tensor
from common.option_types import parse_seed
from data.media.images import resize_and_crop

if TYPE_CHECKING:
    import numpy as np

    from models.pipeline import ImageDynamicsPipeline

SIDES = (256, 512, 1024)  # pixels of the frames' longer side that can be asked for
MOST_PIXELS = 64_000_000  # of a photo as it is sent
MOST_SIDE = 2048  # pixels of a photo that are worked with, unless larger frames are asked for


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


def animate(pipeline: ImageDynamicsPipeline, job: Job) -> None:
    """Make the results of one job; ``job.options`` are :class:`app.options.LoopOptions`."""
    job.progress("reading")
    made = make_loop(pipeline, assign_job(job), progress=job.progress, warn=partial(note, job))
    job.files["loop.mp4"] = made.assignment.files.loop
    job.facts |= {"size": made.assignment.size, "frames": made.animation.num_frames, "duration": made.duration}
    job.facts |= {"seed": job.options.sampling.seed, "magnify": job.options.playing.magnify}
    if job.options.sampling.wind is not None:
        job.facts["wind"] = job.options.sampling.wind
    add_viewer(job, made)


def assign_job(job: Job) -> Assignment:
    """A job's photo, decoded by the formats that are allowed and shrunk."""
    from models.photos import Photo

    with without_name(job):
        pixels = read_image(job.photo, most_pixels=MOST_PIXELS, name=job.name, warn=partial(note, job))
    size = job.options.rendering.frame_size((pixels.shape[1], pixels.shape[0]))
    photo = Photo(image_to_tensor(shrink(pixels, max(MOST_SIDE, 2 * max(size)))))
    return Assignment(LoopFiles(Path(job.name), job.folder / "loop.mp4"), photo, job.options, size)


def note(job: Job, warning: str) -> None:
    """Keep a warning for the page."""
    text = warning.removeprefix(f"{job.name}: ")
    job.facts["warning"] = f"{job.facts['warning']}; {text}" if "warning" in job.facts else text


def shrink(photo: np.ndarray, side: int) -> np.ndarray:
    """A photo of at most so many pixels a side: what nobody gets to see needs no gigabytes."""
    height, width = photo.shape[:2]
    return photo if max(width, height) <= side else resize_and_crop(photo, fit_size((width, height), side))


def add_viewer(job: Job, made: MadeLoop) -> None:
    """Add the page on which the photo can be poked to the job's results; none for a motion that stands still."""
    job.progress("viewer")
    viewer = job.folder / "viewer.html"
    try:
        write_viewer(viewer, made)
    except ValueError as error:
        job.facts["no_viewer"] = str(error)
        return
    job.files["viewer.html"] = viewer


def requested_options(defaults: LoopOptions, query: dict[str, str]) -> LoopOptions:
    """The default options with what a request changes: seed, magnify, wind and size (the longer side in pixels).

    Raises:
        ValueError: a value that can't be used.
    """
    sampling, playing, rendering = defaults.sampling, defaults.playing, defaults.rendering
    if "seed" in query:
        sampling = replace(sampling, seed=requested_seed(query["seed"]))
    if "magnify" in query:
        playing = replace(playing, magnify=requested_number("magnify", query["magnify"], -100, 100))
    if "wind" in query:
        sampling = replace(sampling, wind=requested_number("wind", query["wind"], 0.01, 100))
    if query.get("size"):
        if query["size"] not in map(str, SIDES):
            raise ValueError(f"size: expected one of {', '.join(map(str, SIDES))}")
        rendering = replace(rendering, size=None, long_side=int(query["size"]))
    return LoopOptions(sampling, playing, rendering)


def requested_seed(text: str) -> int:
    """The motion's number."""
    try:
        return parse_seed(text)
    except (argparse.ArgumentTypeError, ValueError):  # Python itself refuses numbers of thousands of digits
        raise ValueError("seed: expected a whole number from 0 to 2^62") from None


def requested_number(name: str, text: str, low: float, high: float) -> float:
    """A factor within limits."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}")
    return value
