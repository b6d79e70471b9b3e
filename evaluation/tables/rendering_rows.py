"""The rows of the rendering table; free of torch, so that evaluate.py can list them."""

from __future__ import annotations

from dataclasses import dataclass

from common.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION


@dataclass(frozen=True)
class RenderingRow:
    """One row: what renders it, as :func:`models.rendering.dispatch.photo_renderer` knows it, and its colour."""

    renderer: str
    color: str


ROWS = {
    "model": RenderingRow("model", BLUE),
    "average-splatting": RenderingRow("average", ORANGE),
    "linear-splatting": RenderingRow("linear", VERMILION),
    "softmax-splatting": RenderingRow("softmax", GREEN),
    "remap": RenderingRow("remap", PURPLE),
    "repeat": RenderingRow("repeat", GRAY),
}
