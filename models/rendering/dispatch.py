"""Renderers by name: the trained one and those that need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.rendering.model import BASELINES, FrameSynthesisModel

if TYPE_CHECKING:
    pass

Render = Callable[[Tensor], Tensor]  # flows [N, 2, H, W] -> frames [N, 3, H, W]


def photo_renderer(
    name: str,  # "model", one of models.rendering.model.BASELINES, or "repeat": the unmoved photo
    model: FrameSynthesisModel | None,  # for "model" only
    photo: Tensor,  # [1, 3, H, W] in [-1, 1]
    importance: Tensor | None,  # [1, 1, H, W]
) -> Render:
    """What renders frames of one photo without gradients; what depends on the photo alone is done once, here."""
    if name == "repeat":
        return lambda flow: photo.expand(len(flow), -1, -1, -1)
    if name != "model":
        return torch.no_grad()(lambda flow: BASELINES[name](photo, flow, importance))
    assert model is not None
    with torch.no_grad():
        pyramid = model.encode(photo)
    return torch.no_grad()(lambda flow: model.render(pyramid, flow, importance))
