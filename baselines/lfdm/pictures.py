"""Contact sheets and panels of flow, as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from baselines.lfdm.networks.geometry import resize
from data.media.pictures import contact_sheet

GAP = 2  # pixels between pictures


def sheet(rows: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """A contact sheet of pictures ``[3, H, W]`` in [0, 1] of one size, as many in each row: uint8 ``[H', W', 3]``."""
    pictures = [picture for row in rows for picture in eight_bits(torch.stack([tensor.detach() for tensor in row]))]
    return contact_sheet(pictures, len(rows[0]), gap=GAP)


def eight_bits(frames: Tensor) -> np.ndarray:
    """Frames ``[N, 3, H, W]`` in [0, 1] -> uint8 ``[N, H, W, 3]``."""
    return (frames.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def flow_color(displacement: Tensor, size: tuple[int, int], *, largest: float) -> Tensor:
    """Directions as hues and lengths as saturation: ``[2, h, w]`` in pixels -> ``[3, H, W]`` of ``size`` (W, H).

    Args:
        largest: pixels of full saturation.
    """
    x, y = resize(displacement[None], (size[1], size[0]))[0]
    length = (torch.hypot(x, y) / max(largest, 1e-6)).clamp(max=1)
    angle = torch.atan2(y, x)
    hues = [0.5 + 0.5 * torch.cos(angle - shift) for shift in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)]
    return 1 - length * (1 - torch.stack(hues))


def gray(values: Tensor, size: tuple[int, int]) -> Tensor:
    """``[1, h, w]`` in [0, 1] -> ``[3, H, W]`` of ``size`` (W, H)."""
    return resize(values[None], (size[1], size[0]))[0].expand(3, -1, -1)
