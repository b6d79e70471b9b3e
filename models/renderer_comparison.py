"""The trained renderer beside its baselines: what renders a photo by each name, and pictures to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.frame_synthesis import BASELINES, FrameSynthesisModel
from models.metrics import psnr
from models.pipeline import to_uint8

if TYPE_CHECKING:
    import numpy as np

LABEL_HEIGHT = 16  # pixels
PICTURE_COLUMNS = 4  # seven-wide sheets shrink to nothing on a screen

Render = Callable[[Tensor], Tensor]  # flows [N, 2, H, W] -> frames [N, 3, H, W]


def photo_renderer(
    name: str,  # "model", one of models.frame_synthesis.BASELINES, or "repeat": the unmoved photo
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


def comparison_picture(model: FrameSynthesisModel, pairs: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """A labelled sheet: source, target, model and baselines for each (source, target, flow, importance).

    Tensors are ``[1, C, H, W]``, the sheet is uint8 ``[H', W', 3]``.
    """
    import numpy as np

    sheets = []
    for source, target, flow, importance in pairs:
        cells = {"source": to_uint8(source)[0], "target": to_uint8(target)[0]}
        for name in ("model", *BASELINES):
            frame = photo_renderer(name, model, source, importance)(flow)
            cells[f"{name} {float(psnr(frame, target)):.2f} dB"] = to_uint8(frame)[0]
        sheets.append(labelled_sheet(cells, PICTURE_COLUMNS))
    return np.concatenate(sheets, axis=0)


def labelled_sheet(cells: Mapping[str, np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size under their labels, row by row: uint8 ``[H, W, 3]`` each -> one ``[H', W', 3]``.

    What is over in the last row stays black.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    height, width, _ = next(iter(cells.values())).shape
    tall = height + LABEL_HEIGHT
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * tall))
    for index, (label, pixels) in enumerate(cells.items()):
        cell = Image.new("RGB", (width, tall))  # of its own, so that a long label ends where its picture does
        cell.paste(Image.fromarray(pixels), (0, LABEL_HEIGHT))
        ImageDraw.Draw(cell).text((3, 2), label, fill="white")
        sheet.paste(cell, (index % columns * width, index // columns * tall))
    return np.array(sheet)
