"""Frames larger than the renderer was trained at: the network at a size of its own, the photo's detail at full size.

The network renders a small version of the frame. At full size the photo itself is moved, by a lookup along the inverse
motion and for a third of all but its finest detail by softmax splatting. Where that leaves gaps, in what comes out from
behind, the low frequencies are the network's:

    frame = moved(photo) + enlarge(gaps * low-pass(network(small photo) - moved(small photo)))

Regions without gaps are made of the photo alone, and still ones are the photo. Frames too large to be moved in one
piece are moved in tiles that overlap by the reach of the motion, which changes nothing but rounding.

The inverse motion is found at the small size, where gaps are filled, and refined by the enlarged motion itself.
docs/performance.md says how this compares with the network at full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from models.rendering.warping import fill_holes, finer, high_band, refine_inverse, resample_finely, solid
from models.spectral_volume import resize_motion
from models.splatting import SplatPlan, plan_splat

if TYPE_CHECKING:
    from models.rendering.model import FrameSynthesisModel

BLENDED = 0.35  # share of the splatted photo: averages errors of the motion out, without the blur of splatting alone
BLENDED_DETAIL = 1.0  # pixels; standard deviation of the Gaussian whose remainder is the detail that is not blended

Render = Callable[[Tensor], Tensor]  # flows [N, 2, H, W] -> frames [N, 3, H, W]
Tile = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class RenderSizes:
    """Numbers of pixels that decide how frames are rendered."""

    network_pixels: int = 128 * 80  # above the size below: the size of the version that the network renders
    largest_whole: int = 2 * 256 * 160  # up to this size, twice that of training, frames are the network's own
    pixels_a_tile: int = 2_000_000  # tiles without their overlap; keeps memory within a few gigabytes
    batch_on_cpu: int = 150_000  # rendered at once on a CPU: larger batches no longer fit in its caches
    batch_elsewhere: int = 1_600_000
    at_once: int = 2_500_000  # in work at the same time on a CPU, where frames are rendered side by side

    def frames_a_batch(self, height: int, width: int, device: torch.device) -> int:
        """How many frames of this size are best rendered at once."""
        pixels = self.batch_on_cpu if device.type == "cpu" else self.batch_elsewhere
        return max(1, pixels // (height * width))

    def workers(self, height: int, width: int, device: torch.device) -> int:
        """How many batches of frames of this size are best rendered side by side."""
        pixels = self.frames_a_batch(height, width, device) * height * width
        return max(1, min(torch.get_num_threads(), self.at_once // pixels)) if device.type == "cpu" else 1


DEFAULT_SIZES = RenderSizes()


class LargeRenderer:
    """Renders frames of one photo at a size above that of training; see the module."""

    def __init__(
        self,
        model: FrameSynthesisModel,
        photo: Tensor,
        importance: Tensor,
        tiles: Sequence[tuple[Tile, Tile]],
        *,
        network_pixels: int = DEFAULT_SIZES.network_pixels,
    ) -> None:
        """``photo`` ``[1, 3, H, W]`` in [-1, 1], ``importance`` ``[1, 1, H, W]``, ``tiles`` of :func:`make_tiles`."""
        self._model, self._photo, self._importance, self._tiles = model, photo, importance, tiles
        self._fine = finer(photo)
        self._size = network_size(photo.shape[2], photo.shape[3], pixels=network_pixels)
        self._small_photo = _resize(photo, self._size).clamp(-1, 1)
        self._small_fine = finer(self._small_photo)
        self._small_importance = _resize(importance, self._size).clamp_min(0)
        self._pyramid = model.encode(self._small_photo)

    def __call__(self, flow: Tensor) -> Tensor:
        """Flows ``[N, 2, H, W]`` in pixels -> frames ``[N, 3, H, W]`` in [-1, 1]."""
        size = (flow.shape[2], flow.shape[3])
        inverse, coverage, correction = self._small(resize_motion(flow, self._size, "bicubic"))
        # In a gap there is no motion to be refined by.
        certain = _resize(coverage, size, "bilinear")
        inverse = refine_inverse(flow, resize_motion(inverse, size, "bicubic"), certain)
        frames = _resize(correction, size, "bilinear")
        for around, inside in self._tiles:
            moved = self._move(cut(flow, around), cut(inverse, around), around)
            cut(frames, _within(around, inside)).add_(cut(moved, inside))
        return frames.clamp_(-1, 1)

    def _move(self, flow: Tensor, inverse: Tensor, part: Tile) -> Tensor:
        """A part of the photo along its motion."""
        plan = plan_splat(flow, cut(self._importance, part))
        resampled = resample_finely(cut(self._fine, _finer_tile(part)), inverse)
        return _blend(plan, cut(self._photo, part), resampled, solid(plan.coverage))

    def _small(self, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inverse motion, coverage (0 in gaps, 1 elsewhere) and the network's correction, all at its size or half."""
        plan = plan_splat(flow, self._small_importance)
        coverage = solid(plan.coverage)
        inverse = refine_inverse(flow, fill_holes(plan(flow), coverage), coverage)
        moved = _blend(plan, self._small_photo, resample_finely(self._small_fine, inverse), coverage)
        correction = self._model.render(self._pyramid, flow, self._small_importance) - moved
        # Where a region grows a little, less lands on each pixel, and nothing is missing.
        gaps = (1 - 2 * _halve(coverage)).clamp_min(0)
        return inverse, coverage, _halve(correction) * gaps


def render_in_tiles(render: Sequence[Render], tiles: Sequence[tuple[Tile, Tile]]) -> Render:
    """One renderer of a frame from those of its tiles."""
    if len(tiles) == 1:
        return render[0]

    def whole(flow: Tensor) -> Tensor:
        frames = flow.new_empty(len(flow), 3, *flow.shape[2:])
        for part, (around, inside) in zip(render, tiles, strict=True):
            cut(frames, _within(around, inside)).copy_(cut(part(cut(flow, around)), inside))
        return frames

    return whole


def make_tiles(
    height: int, width: int, margin: int, *, pixels: int = DEFAULT_SIZES.pixels_a_tile
) -> list[tuple[Tile, Tile]]:
    """Tiles that a large frame is rendered in: (the tile with a margin around it, the tile itself among that).

    As many as ``pixels``, those of one tile, ask for, cut so that the margins add as few pixels as possible.
    """
    count = -(-height * width // pixels)
    # More rows of tiles cost 2 * margin * width pixels each, more columns 2 * margin * height.
    grids = [(rows, -(-count // rows)) for rows in range(1, count + 1)]
    rows, columns = min(grids, key=lambda grid: (grid[0] * width + grid[1] * height, grid[0]))
    return [
        ((row, column), (inside_row, inside_column))
        for row, inside_row in _cut(height, rows, margin)
        for column, inside_column in _cut(width, columns, margin)
    ]


def cut(tensor: Tensor, tile: Tile) -> Tensor:
    """A tile of ``[..., H, W]``."""
    rows, columns = tile
    return tensor[..., rows, columns]


def network_size(height: int, width: int, *, pixels: int = DEFAULT_SIZES.network_pixels) -> tuple[int, int]:
    """(H, W) of about so many pixels in the frame's shape."""
    scale = math.sqrt(pixels / (height * width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _blend(plan: SplatPlan, photo: Tensor, resampled: Tensor, coverage: Tensor) -> Tensor:
    """The resampled photo, with a share of the splatted one where something lands, but for the finest detail."""
    averaged = BLENDED * coverage * (plan(photo) - resampled)
    return resampled + averaged - high_band(averaged, BLENDED_DETAIL)


def _finer_tile(tile: Tile) -> Tile:
    """The same part of what :func:`models.rendering.warping.finer` made."""
    rows, columns = (slice(2 * part.start, 2 * part.stop - 1) for part in tile)
    return rows, columns


def _cut(length: int, count: int, margin: int) -> list[tuple[slice, slice]]:
    """Pieces of a side: (the piece with its margin, the piece among that)."""
    edges = [index * length // count for index in range(count + 1)]
    pieces = []
    for begin, end in pairwise(edges):
        first = max(0, begin - margin)
        pieces.append((slice(first, min(length, end + margin)), slice(begin - first, end - first)))
    return pieces


def _within(around: Tile, inside: Tile) -> Tile:
    """A tile's place in the frame."""
    rows, columns = (slice(a.start + i.start, a.start + i.stop) for a, i in zip(around, inside, strict=True))
    return rows, columns


def _halve(tensor: Tensor) -> Tensor:
    return F.avg_pool2d(tensor, 2, ceil_mode=True, count_include_pad=False)


def _resize(tensor: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """``[N, C, H, W]`` at another size, antialiased where it shrinks."""
    shrinks = size[0] < tensor.shape[2] or size[1] < tensor.shape[3]
    return F.interpolate(tensor, size=size, mode=mode, align_corners=False, antialias=shrinks)
