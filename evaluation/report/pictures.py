"""Labelled sheets: renderers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from common.images import to_uint8
from data.media.sheets import labelled_sheet
from evaluation.metrics.image import psnr
from models.choices import RENDERERS
from models.rendering.dispatch import photo_renderer
from models.rendering.model import FrameSynthesisModel

if TYPE_CHECKING:
    import numpy as np

PICTURE_COLUMNS = 4  # seven-wide sheets shrink to nothing on a screen


def comparison_picture(model: FrameSynthesisModel, pairs: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """A labelled sheet: source, target, model and baselines for each (source, target, flow, importance).

    Tensors are ``[1, C, H, W]``, the sheet is uint8 ``[H', W', 3]``.
    """
    import numpy as np

    sheets = []
    for source, target, flow, importance in pairs:
        cells = {"source": to_uint8(source)[0], "target": to_uint8(target)[0]}
        for name in RENDERERS:
            frame = photo_renderer(name, source, importance, model=model)(flow)
            cells[f"{name} {float(psnr(frame, target)):.2f} dB"] = to_uint8(frame)[0]
        sheets.append(labelled_sheet(cells, PICTURE_COLUMNS))
    return np.concatenate(sheets, axis=0)
