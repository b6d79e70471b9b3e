"""The trained renderer beside its baselines on held-out frame pairs: a table and a picture to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.frame_synthesis import BASELINES, FrameSynthesisModel
from models.metrics import psnr

if TYPE_CHECKING:
    import numpy as np

LABEL_HEIGHT = 16  # pixels


def compare_renderers(
    renderers: Iterable[str],  # "model" or names of models.frame_synthesis.BASELINES
    model: FrameSynthesisModel,
    pairs: Sequence,  # of (source, target, flow, importance, ...), each [1, C, H, W]
    distance: nn.Module,  # perceptual distance of two images, a scalar
) -> dict[str, dict[str, float]]:
    """Mean PSNR and perceptual distance of each renderer: ``{"model": {"psnr": ..., "perceptual": ...}, ...}``."""
    table = {}
    for name in renderers:
        render = _renderer(name, model)
        scores = []
        for source, target, flow, importance, *_ in pairs:
            frame = render(source, flow, importance)
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
    """One row a pair, labelled: source, target, model and each baseline, uint8 ``[H', W', 3]``."""
    import numpy as np
    from PIL import Image, ImageDraw

    rows = []
    for source, target, flow, importance, *_ in pairs:
        frames = {"source": source, "target": target}
        frames |= {name: _renderer(name, model)(source, flow, importance) for name in ("model", *BASELINES)}
        cells = []
        for name, frame in frames.items():
            pixels = ((frame[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
            cell = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + LABEL_HEIGHT))
            cell.paste(Image.fromarray(pixels), (0, LABEL_HEIGHT))
            label = name if name in ("source", "target") else f"{name} {float(psnr(frame, target)):.2f} dB"
            ImageDraw.Draw(cell).text((3, 2), label, fill="white")
            cells.append(np.asarray(cell))
        # Two rows of three: seven-wide sheets shrink to nothing on a screen.
        rows += [np.concatenate(cells[:3], axis=1), np.concatenate(cells[3:], axis=1)]
    return np.concatenate(rows, axis=0)


def _renderer(name: str, model: FrameSynthesisModel) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    def render(source: Tensor, flow: Tensor, importance: Tensor | None) -> Tensor:
        with torch.no_grad():
            return (model if name == "model" else BASELINES[name])(source, flow, importance)

    return render
