"""Renderers by name: the trained network at any size, and the warps that need none (:mod:`models.choices`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.choices import NETWORK, RENDERERS, UNMOVED, WARPS
from models.rendering.large import (
    DEFAULT_SIZES,
    LargeRenderer,
    Render,
    RenderSizes,
    Tile,
    cut,
    make_tiles,
    render_in_tiles,
)

if TYPE_CHECKING:
    from models.rendering.model import FrameSynthesisModel

Warp = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (photo, flow, importance) -> frames


def find_warp(name: str) -> Warp:
    """The function of a renderer that needs no network; arguments as for :func:`warping.render_softmax`."""
    known = WARPS | UNMOVED
    if name not in known:
        raise ValueError(f"unknown renderer {name!r}, expected one of {', '.join(RENDERERS)}")
    module, function = known[name]
    return getattr(import_module(module), function)


def photo_renderer(
    name: str,
    photo: Tensor,
    importance: Tensor | None,
    *,
    model: FrameSynthesisModel | None = None,
) -> Render:
    """What renders frames of one photo in one piece, at the size of the photo and without gradients.

    What depends on the photo alone is done once, here.

    Args:
        name: one of :data:`models.choices.RENDERERS`, or ``repeat``: the unmoved photo.
        photo: ``[1, 3, H, W]`` in [-1, 1].
        importance: ``[1, 1, H, W]``, mean magnitude of the motion in pixels; larger is in front.
        model: the network, for its own renderer only.

    Returns:
        A function from flows ``[N, 2, H, W]`` in pixels to frames ``[N, 3, H, W]`` in [-1, 1].
    """
    if name == NETWORK:
        network = expect_model(model)
        with torch.no_grad():
            pyramid = network.encode(photo)
        return torch.no_grad()(lambda flow: network.render(pyramid, flow, importance))
    warp = find_warp(name)
    return torch.no_grad()(lambda flow: warp(photo, flow, importance))


def frame_renderer(
    name: str,
    photo: Tensor,
    importance: Tensor,
    *,
    model: FrameSynthesisModel | None = None,
    margin: int = 0,
    sizes: RenderSizes = DEFAULT_SIZES,
) -> Render:
    """:func:`photo_renderer` for frames of any size: large ones are rendered in tiles, and by the network at its own.

    Args:
        margin: pixels around a tile that may come into sight in it.
        sizes: from which sizes on.
    """
    height, width = photo.shape[2:]
    if name == NETWORK and height * width <= sizes.largest_whole:
        return photo_renderer(name, photo, importance, model=model)
    tiles = make_tiles(height, width, margin, pixels=sizes.pixels_a_tile)
    if name == NETWORK:
        return LargeRenderer(expect_model(model), photo, importance, tiles, network_pixels=sizes.network_pixels)

    def of_tile(around: Tile) -> Render:
        return photo_renderer(name, cut(photo, around), cut(importance, around))

    return render_in_tiles([of_tile(around) for around, _ in tiles], tiles)


def expect_model(model: FrameSynthesisModel | None) -> FrameSynthesisModel:
    """The network, or one line that says it is missing."""
    if model is None:
        raise ValueError("this pipeline was loaded without its frame synthesis model")
    return model
