"""From a photo to its files: the one way, which generate.py and the server go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import FrameRecorder, LoopFiles
from app.hints import check_sampling, check_speed, check_strength
from app.options import LoopOptions
from app.written import WrittenLoop, measure_written
from common.command_line import MachineFailure, is_disk_full
from common.stopwatch import Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from models.dynamics.motion_file import MotionFile
    from models.dynamics.photo import PhotoMotion
    from models.dynamics.seam import SeamMeter
    from models.photos import Photo
    from models.pipeline import Animation, ImageDynamicsPipeline

# Takes what is done (motion, frames, viewer, photos), steps done and all steps.
Progress = Callable[[str, int, int], None]
Warn = Callable[[str], None]
Failed = Callable[[LoopFiles, Exception], None]


@dataclass(frozen=True)
class Assignment:
    """One photo that is to be animated, read and found fit for its options."""

    files: LoopFiles
    photo: Photo
    options: LoopOptions
    size: tuple[int, int]  # (W, H) of the frames
    motion: MotionFile | None = None  # None: sample


@dataclass(frozen=True)
class MadeLoop:
    """A loop that has been written."""

    assignment: Assignment
    animation: Animation
    meter: SeamMeter = field(repr=False)  # has seen all frames
    written: WrittenLoop | None = None  # what is in the file

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.animation.num_frames / self.animation.fps

    def report(self) -> dict:
        """What a report says of it: files, size, duration and measures of the motion."""
        from models.dynamics.photo import motion_measures

        assignment, playing = self.assignment, self.assignment.options.playing
        measures = motion_measures(
            self.animation.moving, self.meter, fps=playing.fps, slow=playing.slow, width=assignment.size[0]
        )
        return {
            "photo": str(assignment.files.photo),
            "outputs": [str(path) for path in assignment.files.outputs()],
            "size": list(self.written.size if self.written else assignment.size),
            "num_frames": self.animation.num_frames,
            "duration": self.duration,
            **measures,
            "file": self.written.report() if self.written else None,
        }


def make_loops(
    planned: Sequence[LoopFiles],
    options: LoopOptions,
    load: Callable[[], ImageDynamicsPipeline],
    *,
    motion: Path | None = None,
    watch: Stopwatch,
    progress: Progress = lambda *_: None,
    warn: Warn = lambda _: None,
    failed: Failed | None = None,
) -> Iterator[MadeLoop]:
    """Loops of photos from files, one after the other.

    Args:
        planned: the photos and the files that are made of them.
        options: the same for all.
        load: loads the models, once the first photo has been found fit.
        motion: a motion file that is rendered instead of a sampled motion.
        watch: adds up seconds of the stages load, motion, upsample, render and write.
        progress: told of each step.
        warn: told of what may not be as wanted.
        failed: told of each photo that no loop can be made of, and why; without it the first one ends all.
    """
    pipeline = None
    for number, files in enumerate(planned, 1):
        assignment = None
        with on_its_own(files, failed), watch("load"):
            assignment = assign(files, options, motion=motion, warn=warn)
        if assignment is not None:
            with watch("load"):
                if pipeline is None:
                    pipeline = load()
                    check_speed(assignment.options.playing, assignment.motion or pipeline.motion_config, warn)
                    if motion is not None:
                        check_sampling(options.sampling, warn)
            with on_its_own(files, failed):
                yield make_loop(pipeline, assignment, watch=watch, progress=progress, warn=warn)
        if len(planned) > 1:
            progress("photos", number, len(planned))


@contextmanager
def on_its_own(files: LoopFiles, failed: Failed | None) -> Iterator[None]:
    """Tell of what is wrong with one photo and go on to the next one; a full disk ends all."""
    try:
        yield
    except (ValueError, OSError, FloatingPointError, MachineFailure) as error:
        if failed is None or is_disk_full(error):
            raise
        failed(files, error)


def assign(
    files: LoopFiles, options: LoopOptions, *, motion: Path | None = None, warn: Warn = lambda _: None
) -> Assignment:
    """Read a photo, and the motion file if one is given, and check both against the options.

    Raises:
        ValueError: for whatever can't work, in one line.
    """
    from models.dynamics.motion_file import MotionFile
    from models.photos import as_photo

    photo = as_photo(files.photo, warn)
    size = options.rendering.frame_size(photo.size)
    files.check_row(size[1])
    for poke in options.playing.pokes:
        poke.check(photo.size, options.playing.seconds)
    if options.playing.regions:
        options.playing.regions.check(photo.size)
    if motion is None:
        return Assignment(files, photo, options, size)
    read = MotionFile.read(motion)
    warning = read.check_photo(files.photo, size=photo.size, sha256=photo.sha256)
    if warning:
        warn(warning)
    return Assignment(files, photo, options, size, read)


def make_loop(
    pipeline: ImageDynamicsPipeline,
    assignment: Assignment,
    *,
    watch: Stopwatch | None = None,
    progress: Progress = lambda *_: None,
    warn: Warn = lambda _: None,
) -> MadeLoop:
    """Animate a photo and write its files; a sampled motion is written at once, before the long rendering."""
    from data.media.write_video import write_video
    from models.dynamics.seam import SeamMeter

    watch = watch or Stopwatch()
    files, options = assignment.files, assignment.options
    with watch("motion"):
        animation = animate(pipeline, assignment, progress, watch)
        if files.motion:
            files.motion.parent.mkdir(parents=True, exist_ok=True)
            animation.motion.write(files.motion)
    for warning in animation.moving.warnings:
        warn(warning)
    if assignment.motion is None:
        check_strength(files.photo, animation.moving.sampled_strength, magnify=options.playing.magnify, warn=warn)
    if files.viewer:
        expect_pullable(animation.moving, given=assignment.motion is not None)
    meter = SeamMeter()
    count, fps = animation.num_frames, options.playing.fps
    recorder = FrameRecorder(files, assignment.size, num_frames=count, fps=fps)
    files.loop.parent.mkdir(parents=True, exist_ok=True)
    with watch("write"):
        frames = recorder.watch(counted(metered(animation.frames, meter), count, progress))
        write_video(files.loop, frames, fps, loop_frames=None if options.playing.pokes else count)
        recorder.write()
        if files.motion_picture:
            write_motion_picture(files.motion_picture, animation)
        made = MadeLoop(assignment, animation, meter, measure_written(files.loop))
        if files.viewer:
            progress("viewer", 0, 1)
            write_viewer(files.viewer, made, warn)
    return made


def animate(pipeline: ImageDynamicsPipeline, assignment: Assignment, progress: Progress, watch: Stopwatch) -> Animation:
    """The pipeline's animation of a photo under its options; its frames are rendered as they are asked for."""
    options = assignment.options
    playing = options.playing
    if assignment.motion is None:
        progress("motion", 0, options.sampling.steps or pipeline.motion_config.steps)
    return pipeline(
        assignment.photo,
        motion=assignment.motion,
        pokes=playing.pokes,
        regions=playing.regions,
        num_frames=playing.num_frames,
        fps=playing.fps,
        slow=playing.slow,
        magnify=playing.magnify,
        size=assignment.size,
        renderer=options.rendering.renderer,
        timer=watch,
        progress=lambda done, total: progress("motion", done, total),
        **vars(options.sampling),
    )


def counted(frames: Iterable[np.ndarray], count: int, progress: Progress) -> Iterator[np.ndarray]:
    """The same frames, each told of on the way."""
    progress("frames", 0, count)
    for done, frame in enumerate(frames, 1):
        yield frame
        progress("frames", done, count)


def metered(frames: Iterable[np.ndarray], meter: SeamMeter) -> Iterator[np.ndarray]:
    """The same frames, each shown to a meter on the way, as a float tensor."""
    import torch

    for frame in frames:
        meter.add(torch.from_numpy(frame).float())
        yield frame


def write_motion_picture(path: Path, animation: Animation) -> None:
    """Write the figure of a motion's amplitude, direction and spectrum."""
    from common.images import tensor_to_image
    from data.media.images import write_image
    from data.media.pictures import motion_figure

    shown, photo = animation.moving.shown, tensor_to_image(animation.photo.image)
    write_image(path, motion_figure(photo, shown.spectral_volume, shown.num_frames, shown.fps))


def expect_pullable(moving: PhotoMotion, *, given: bool) -> None:
    """Raise ValueError unless there is a motion to be pulled on the page; ``given`` rather than sampled."""
    if moving.shown.spectral_volume[1:].any():
        return
    reason = f"the motion stands still; {'give' if given else 'sample'} another one"
    if moving.sampled.spectral_volume[1:].any():
        reason = "--magnify, --mask, --still or --move leaves nothing that moves"
    raise ValueError(f"--viewer: {reason}, or leave the page out")


def write_viewer(path: Path, made: MadeLoop, warn: Warn = lambda _: None) -> None:
    """Write the page on which the photo can be poked, with the loop inside unless the video is one of a poke.

    Raises:
        ValueError: for a motion that stands still.
    """
    from app.viewer.page import viewer_page
    from common.files import write_text

    animation, files = made.animation, made.assignment.files
    loop = None if made.assignment.options.playing.pokes else files.loop
    page = viewer_page(
        animation.photo.image,
        animation.moving.shown,
        loop=loop,
        title=files.photo.stem,
        warn=lambda line: warn(f"{path}: {line}"),
    )
    write_text(path, page)
