"""Labelled sheets: pictures or videos side by side, composed by moviepy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from moviepy import VideoClip

LABEL_HEIGHT = 16  # pixels
FONT_SIZE = 10  # pixels, of the font that Pillow brings


def expect_moviepy() -> None:
    """Raise ValueError where moviepy is not installed; call it before the work that ends in a sheet or a video."""
    if find_spec("moviepy") is None:
        raise ValueError("pictures side by side need moviepy, which is missing: pip install -r requirements.txt")


def labelled_sheet(cells: Mapping[str, np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size under their labels, row by row: uint8 ``[H, W, 3]`` each -> one ``[H', W', 3]``.

    What is over in the last row stays black.
    """
    return next(labelled_video({label: [pixels] for label, pixels in cells.items()}, columns))


def labelled_video(cells: Mapping[str, Sequence[np.ndarray] | np.ndarray], columns: int) -> Iterator[np.ndarray]:
    """The same of videos: uint8 frames ``[H, W, 3]`` of one size; shorter ones stay at their last frame."""
    from moviepy import clips_array

    height, width, _ = next(iter(cells.values()))[0].shape
    rows: list[list[VideoClip]] = []
    for begin in range(0, len(cells), columns):
        row = list(cells.items())[begin : begin + columns]
        nothing = [_black(width, height)] * (columns - len(row))
        rows.append([_label(label, width) for label, _ in row] + nothing)
        rows.append([_film(frames) for _, frames in row] + nothing)
    grid = clips_array(rows, rows_widths=[LABEL_HEIGHT, height] * (len(rows) // 2))
    for index in range(max(map(len, cells.values()))):
        yield grid.get_frame(index)


# Clips whose time counts frames: that is exact, whatever the frame rate. Without an end, so that none goes dark.


def _film(frames: Sequence[np.ndarray] | np.ndarray) -> VideoClip:
    from moviepy import VideoClip

    return VideoClip(partial(_frame_at, frames))


def _frame_at(frames: Sequence[np.ndarray] | np.ndarray, time: float) -> np.ndarray:
    return frames[min(int(time), len(frames) - 1)]


def _label(text: str, width: int) -> VideoClip:
    from moviepy import TextClip

    left, below = 3, 3  # pixels
    return TextClip(
        text=text or " ",
        font_size=FONT_SIZE,
        size=(width - left, LABEL_HEIGHT - below),
        margin=(left, 0, 0, below),
        horizontal_align="left",
        color="white",
        bg_color="black",
        transparent=False,
    )


def _black(width: int, height: int) -> VideoClip:
    from moviepy import ColorClip

    return ColorClip((width, height), (0, 0, 0))
