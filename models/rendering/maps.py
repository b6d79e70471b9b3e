"""A network at a size of its own, whose answer is maps: enlarged, they are applied to the photo moved at full size.

The photo itself is moved in two ways: by softmax splatting, which averages errors of the motion out and blurs, and by
a lookup in a finer photo along the inverse motion, which is sharp and follows every error. The maps say at each place
how much of each to take, what to add, and how much of the finest detail to keep:

    frame = splatted + choice * (looked up - splatted) + residual
    frame = frame + detail * high-band(looked up - frame)

A few layers mend the enlarged maps by what they see at full size. Gaps and still regions need no map: in gaps the
lookup stands in for what did not land, and still regions are the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.rendering.grid_net import make_activation
from models.rendering.large import Tile, cut, finer_tile, resize, within
from models.rendering.warping import high_band, magnitude, refine_inverse, resample_finely, solid, trust_in
from models.spectral_volume import resize_motion
from models.splatting import plan_splat

if TYPE_CHECKING:
    from models.rendering.model import FrameSynthesisModel

STILL_PIXELS = 0.25  # displacement in pixels below which corrections fade out; splatting blurs little there
REDUCTION = 2  # of the sides of frames for the network, at least
ANSWER = 5  # channels of the answer
FEATURES = 8  # channels of what the network says beside it to its last layers
FINISH_CHANNELS = 16
LARGEST_SIZE = 128 * 80  # pixels of the network's version of larger frames


@dataclass(frozen=True)
class Maps:
    """What the network says of N frames, at its own size or enlarged.

    Attributes:
        answer: ``[N, 5, H, W]``: the residual, 3 channels, added to the frame in [-1, 1]; the choice, 1 where the
            photo is looked up and 0 where it is splatted; and what is added to the factor 1 of the finest detail.
        features: ``[N, 8, H, W]``, what the network has to say to its last layers, which work at full size.
        inverse_flow: ``[N, 2, H, W]`` in pixels of this size, without gaps.
        certain: ``[N, 1, H, W]``, 0 in gaps, where the motion says nothing of the inverse flow, and 1 elsewhere.
    """

    answer: Tensor
    features: Tensor
    inverse_flow: Tensor
    certain: Tensor

    def enlarged(self, height: int, width: int) -> Maps:
        """The same for frames of this size."""
        size = (height, width)
        together = [self.answer, self.features, self.certain]
        answer, features, certain = resize(torch.cat(together, dim=1), size, "bilinear").split(
            [part.shape[1] for part in together], dim=1
        )
        return Maps(answer, features, resize_motion(self.inverse_flow, size, "bicubic"), certain)

    def cut(self, tile: Tile) -> Maps:
        """The part that belongs to a tile of the frames."""
        return Maps(*(cut(part, tile) for part in (self.answer, self.features, self.inverse_flow, self.certain)))


class Finish(nn.Module):
    """The network's last layers: they see the photo moved in both ways at full size, and mend the enlarged answer."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(FEATURES + 7, FINISH_CHANNELS, 3, padding=1)
        self.activation = make_activation(activation, FINISH_CHANNELS)
        self.last = nn.Conv2d(FINISH_CHANNELS, ANSWER, 3, padding=1)
        for parameter in self.last.parameters():  # a fresh one mends nothing
            nn.init.zeros_(parameter)

    def forward(self, maps: Maps, splatted: Tensor, looked_up: Tensor, trust: Tensor) -> Tensor:
        """The answer ``[N, 5, H, W]``; all of full size."""
        seen = torch.cat([maps.features, splatted, looked_up - splatted, trust], dim=1)
        mended: Tensor = maps.answer + self.last(self.activation(self.first(seen)))
        return mended


def reduced_size(height: int, width: int, *, multiple: int, pixels: int = LARGEST_SIZE) -> tuple[int, int]:
    """(H, W) of the network's version of a frame: half the sides, and no more than about ``pixels``.

    Both are multiples of ``multiple``, so the shape is kept but for a few pixels.
    """
    scale = min(1 / REDUCTION, math.sqrt(pixels / (height * width)))
    return (max(1, round(height * scale / multiple)) * multiple, max(1, round(width * scale / multiple)) * multiple)


def compose(
    photo: Tensor,
    fine: Tensor,
    flow: Tensor,
    *,
    importance: Tensor,
    maps: Maps,
    finish: Callable[[Maps, Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Frames of a photo moved at full size, as the maps say.

    Args:
        photo: ``[1 | N, 3, H, W]`` in [-1, 1].
        fine: what :func:`models.rendering.warping.finer` makes of it.
        flow: ``[N, 2, H, W]`` in pixels.
        importance: ``[1 | N, 1, H, W]``; of what lands in one place, the most important is in front.
        maps: of this size.
        finish: the answer of the maps, mended at this size: a :class:`Finish`.

    Returns:
        ``[N, 3, H, W]``, not clamped.
    """
    inverse_flow = refine_inverse(flow, maps.inverse_flow, maps.certain)
    plan = plan_splat(flow, importance)
    trust = trust_in(plan.coverage)
    looked_up = resample_finely(fine, inverse_flow)
    splatted = plan(photo)
    splatted = torch.where(trust == 1, splatted, torch.lerp(looked_up, splatted, trust))
    residual, choice, detail = finish(maps, splatted, looked_up, trust).to(photo.dtype).split([3, 1, 1], dim=1)
    frame = splatted + choice * (looked_up - splatted) + residual
    detailed = frame + (1 + detail) * solid(plan.coverage) * high_band(looked_up - frame)
    still = 1 - (magnitude(inverse_flow) / STILL_PIXELS).clamp_max(1)
    return torch.lerp(detailed, splatted, trust * still)


class MapRenderer:
    """Renders frames of one photo by a model that answers with maps, in tiles where they are large.

    What the network says is of the whole frame, only what is done at full size is done tile by tile. Tiles overlap by
    the reach of the motion, which changes nothing but rounding.
    """

    def __init__(
        self, model: FrameSynthesisModel, photo: Tensor, importance: Tensor, tiles: Sequence[tuple[Tile, Tile]]
    ) -> None:
        """``photo`` ``[1, 3, H, W]`` in [-1, 1], ``importance`` ``[1, 1, H, W]``, ``tiles`` of :func:`make_tiles`."""
        self._model, self._tiles = model, tiles
        self._pyramid = model.encode(photo)
        self._weights = model.splat_weights(importance, importance)

    def __call__(self, flow: Tensor) -> Tensor:
        """Flows ``[N, 2, H, W]`` in pixels -> frames ``[N, 3, H, W]`` in [-1, 1]."""
        maps = self._model.maps(self._pyramid, flow, self._weights)
        frames = flow.new_empty(len(flow), 3, *flow.shape[2:])
        for around, inside in self._tiles:
            part = self._compose(flow, maps, around)
            cut(frames, within(around, inside)).copy_(cut(part, inside))
        return frames.clamp_(-1, 1)

    def _compose(self, flow: Tensor, maps: Maps, tile: Tile) -> Tensor:
        photo, fine = cut(self._pyramid[0], tile), cut(self._pyramid[1], finer_tile(tile))
        return compose(
            photo,
            fine,
            cut(flow, tile),
            importance=cut(self._weights, tile),
            maps=maps.cut(tile),
            finish=self._model.finished,
        )
