"""Labelled sheets: pictures or frames of several videos side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LABEL_HEIGHT = 16  # pixels


def labelled_sheet(cells: Mapping[str, np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size under their labels, row by row: uint8 ``[H, W, 3]`` each -> one ``[H', W', 3]``.

    What is over in the last row stays black.
    """
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
