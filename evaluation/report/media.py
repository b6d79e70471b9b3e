"""Pictures and clips for a report's page: X-t slices of several methods beside each other, and playable video."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from torch import Tensor

from common.plots import VERMILION

PANELS_A_ROW = 4
PANEL_WIDTH = 2.7  # inches
LOWEST_SLICE = 0.4  # height of a slice, of its width
TITLE_HEIGHT = 0.4  # inches
DOTS_PER_INCH = 120


@dataclass
class Media:
    """What a page shows beside its numbers, each with a caption (plain text, escaped by the page)."""

    slices: list[tuple[str, bytes]] = field(default_factory=list)  # PNG
    clips: list[tuple[str, bytes]] = field(default_factory=list)  # mp4
    plots: list[tuple[str, str | bytes]] = field(default_factory=list)  # SVG as text, or PNG; after the page's own
    colors: Mapping[str, str | None] = field(default_factory=dict)  # of rows in the page's own plots

    def add_slices(self, caption: str, frames_by_method: Mapping[str, Tensor], *, row: int) -> None:
        """Add :func:`xt_slices` of one sequence."""
        self.slices.append((caption, xt_slices(frames_by_method, row)))

    def add_clip(self, caption: str, frames: Tensor, *, fps: float) -> None:
        """Add :func:`clip_bytes` of uint8 ``[T, 3, H, W]``."""
        self.clips.append((caption, clip_bytes(frames, fps)))


def clip_bytes(frames: Tensor, fps: float) -> bytes:
    """Frames uint8 ``[T, 3, H, W]`` as the bytes of an H.264 mp4."""
    from data.media.write_video import write_video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, (frame.permute(1, 2, 0).contiguous().numpy() for frame in frames.cpu()), fps)
        return path.read_bytes()


def xt_slices(frames_by_method: Mapping[str, Tensor], row: int) -> bytes:
    """One row of every frame over time for each method beside the photo that it was taken from (paper figure 5).

    Args:
        frames_by_method: uint8 ``[T, 3, H, W]`` each; the photo shown is frame 0 of the first.
        row: of the frames, counted from the top.

    Returns:
        A PNG. Time runs downwards, every panel at the same scale.

    Raises:
        ValueError: no frames, or a row outside of them.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from data.media.pictures import xt_slice

    if not frames_by_method:
        raise ValueError("X-t slices need the frames of at least one method")
    slices = {name: xt_slice(_pictures(frames), row) for name, frames in frames_by_method.items()}
    photo = _pictures(next(iter(frames_by_method.values()))[:1])[0]
    panels = [(f"row {row} of the photo", photo), *slices.items()]
    columns = math.ceil(len(panels) / math.ceil(len(panels) / PANELS_A_ROW))  # lines of about the same length
    longest = max(len(picture) / picture.shape[1] for picture in slices.values())
    stretch = max(1.0, LOWEST_SLICE / longest)  # of time, where there are few frames; the same for all methods
    ratios = [len(photo) / photo.shape[1], *(stretch * len(slice_) / slice_.shape[1] for slice_ in slices.values())]
    heights = [PANEL_WIDTH * max(ratios[i : i + columns]) + TITLE_HEIGHT for i in range(0, len(ratios), columns)]
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(columns * PANEL_WIDTH, sum(heights)), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).ravel()
        for panel, (title, picture) in zip(axes, panels, strict=False):
            _show(panel, picture, title, 1.0 if picture is photo else stretch)
        for panel, picture in zip(axes[1:], slices.values(), strict=False):
            panel.set_ylabel("time (frames)", fontsize=7)
            panel.set_yticks([0, len(picture) - 1])
            panel.tick_params(labelsize=7)
        axes[0].axhline(row, color=VERMILION, linewidth=1.2)
        for panel in axes[len(panels) :]:
            panel.set_axis_off()
        return png(figure)


def png(figure) -> bytes:
    """A matplotlib figure as the bytes of a PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _pictures(frames: Tensor) -> np.ndarray:
    return frames.cpu().permute(0, 2, 3, 1).numpy()


def _show(panel, picture: np.ndarray, title: str, aspect: float) -> None:
    panel.imshow(picture, aspect=aspect)
    panel.set_title(title, fontsize=9)
    panel.set(xticks=[], yticks=[], anchor="N")
    panel.spines[:].set_color("#cccccc")
