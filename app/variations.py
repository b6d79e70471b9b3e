"""Several motions of one photo side by side, to choose from; each is kept, and rendered as it was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import LoopFiles
from app.hints import check_speed, check_strength
from app.make import Progress, Warn, animate, assign, counted
from app.options import LoopOptions, fit_size
from common.stopwatch import Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from models.pipeline import ImageDynamicsPipeline

CELL = 256  # pixels of a variation's longer side
FPS = 15.0  # of the sheet at most
COLUMNS = 3


def make_variations(
    pipeline: ImageDynamicsPipeline,
    files: LoopFiles,
    options: LoopOptions,
    *,
    watch: Stopwatch,
    progress: Progress,
    warn: Warn,
) -> dict:
    """Sample ``files.variations`` motions, with the options' seed and those after it, and write them and a sheet.

    Returns:
        What a report says: the photo, the files, and the seeds.
    """
    from data.media.sheets import expect_moviepy, labelled_video
    from data.media.write_video import write_video

    expect_moviepy()
    playing = options.playing
    rate = min(FPS, playing.fps)
    count = playing.num_frames and max(2, round(playing.num_frames * rate / playing.fps))
    playing = replace(playing, fps=rate, num_frames=count)
    assignment = assign(files, replace(options, playing=playing), warn=warn)
    check_speed(options.playing, pipeline.motion_config, warn)
    assignment = replace(assignment, size=fit_size(assignment.size, CELL))
    first = options.sampling.seed
    files.sheet.parent.mkdir(parents=True, exist_ok=True)
    clips: dict[str, list[np.ndarray]] = {}
    strongest, told = 0.0, dict[str, None]()
    for number in range(1, files.variations + 1):
        sampling = replace(options.sampling, seed=first + number - 1)
        with watch("motion"):
            own = replace(assignment, options=replace(assignment.options, sampling=sampling))
            animation = animate(pipeline, own, progress, watch)
            animation.motion.write(files.variation(number))
        told |= dict.fromkeys(animation.moving.warnings)
        strongest = max(strongest, animation.moving.sampled_strength)
        clips[f"{number}  seed {sampling.seed}"] = list(counted(animation.frames, animation.num_frames, progress))
    for warning in told:  # each once, whichever variations it is about
        warn(warning)
    check_strength(files.photo, strongest, magnify=playing.magnify, warn=warn)
    with watch("write"):
        # Pokes last until all is at rest, some longer than others: the shorter ones stay at their end.
        together = None if playing.pokes else max(map(len, clips.values()))
        write_video(files.sheet, labelled_video(clips, min(COLUMNS, len(clips))), rate, loop_frames=together)
    seeds = list(range(first, first + files.variations))
    return {"photo": str(files.photo), "outputs": [str(path) for path in files.outputs()], "seeds": seeds}


def picked(files: LoopFiles, number: int) -> Path:
    """The motion of a variation that was made before, by the same OUT.

    Raises:
        ValueError: there is none.
    """
    path = files.variation(number)
    if not path.is_file():
        raise ValueError(f"{path}: no such motion; --variations N with the same photo and -o makes motions 1 to N")
    return path
