"""The trained renderer beside its baselines on held-out frame pairs: a table and a picture to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

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


def compare_renderers(
    renderers: Iterable[str],  # names that photo_renderer knows
    model: FrameSynthesisModel,
    pairs: Sequence,  # of (source, target, flow, importance, ...), each [1, C, H, W]
    distance: nn.Module,  # perceptual distance of two images, a scalar
) -> dict[str, dict[str, float]]:
    """Mean PSNR and perceptual distance of each renderer: ``{"model": {"psnr": ..., "perceptual": ...}, ...}``."""
    table = {}
    for name in renderers:
        scores = []
        for source, target, flow, importance, *_ in pairs:
            frame = photo_renderer(name, model, source, importance)(flow)
            with torch.no_grad():
                scores.append((float(psnr(frame, target)), float(distance(frame, target))))
        count = len(scores)
        table[name] = {"psnr": sum(s for s, _ in scores) / count, "perceptual": sum(d for _, d in scores) / count}
    return table


def format_table(table: dict[str, dict[str, float]]) -> str:
    """One line a renderer."""
    rows = [f"{name:<9} {row['psnr']:7.3f} dB   perceptual {row['perceptual']:.4f}" for name, row in table.items()]
    return "\n".join(rows)


def comparison_picture(model: FrameSynthesisModel, pairs: Sequence) -> np.ndarray:
    """For each pair, labelled: source, target, model and each baseline, uint8 ``[H', W', 3]``."""
    import numpy as np

    sheets = []
    for source, target, flow, importance, *_ in pairs:
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
