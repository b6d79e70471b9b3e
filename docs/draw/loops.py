"""Draw loops side by side, as one animated picture: ``python -m docs.draw.loops STRIP.webp LOOP.mp4...``.

All loops have to last equally long and have the same frame rate, as those of one call of generate.py do. Each shows its
middle, cut to the same shape.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

PANEL = (176, 132)  # width and height of each loop in pixels
GAP = 4  # white pixels between them
STEP = 3  # every third frame is kept


def main(argv: list[str] | None = None) -> None:
    """Read the loops and write the strip."""
    from data.media.read_video import read_video
    from data.media.write_video import write_video

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("strip", type=Path)
    parser.add_argument("loops", type=Path, nargs="+")
    arguments = parser.parse_args(argv)
    videos = [read_video(loop) for loop in arguments.loops]
    if len({(len(frames), fps) for frames, fps in videos}) > 1:
        raise SystemExit("error: the loops differ in length or frame rate")
    strip = [side_by_side(each) for each in zip(*(frames[::STEP] for frames, _ in videos), strict=True)]
    write_video(arguments.strip, strip, videos[0][1] / STEP, loop_frames=len(strip))


def side_by_side(frames: tuple[np.ndarray, ...]) -> np.ndarray:
    """One frame of each loop, uint8 [H, W, 3] -> the frame of the strip."""
    from data.media.images import resize_and_crop

    gap = np.full((PANEL[1], GAP, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (resize_and_crop(frame, PANEL), gap)]
    return np.hstack(parts[:-1])


if __name__ == "__main__":
    main()
