"""Flow by Lucas and Kanade's method: known shifts, flat places, and what levels are for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.lucas_kanade import lucas_kanade


def waves(dx: float, dy: float, *, period: float = 16.0) -> Tensor:
    """A picture ``[1, 3, 32, 48]`` of soft waves, moved by so many pixels to the right and down."""
    y, x = torch.meshgrid(torch.arange(32.0) - dy, torch.arange(48.0) - dx, indexing="ij")
    turn = 2 * torch.pi / period
    return torch.stack([(turn * x).sin(), (turn * y).sin(), (turn * (x + y) / 2).cos()])[None] * 0.3 + 0.5


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.05, -0.02), (1.0, 0.5), (-2.0, 1.5)])
def test_finds_a_shift_of_any_fraction_of_a_pixel(dx: float, dy: float) -> None:
    flow = lucas_kanade(waves(0, 0), waves(dx, dy))[0, :, 4:-4, 4:-4]
    wanted = torch.tensor([-dx, -dy])  # where the content comes from
    assert (flow - wanted[:, None, None]).abs().mean() < 0.01 + 0.03 * wanted.abs().max()


def test_nothing_moves_between_equal_pictures_and_nowhere_without_texture() -> None:
    picture = waves(0, 0)
    assert lucas_kanade(picture, picture).abs().max() < 1e-5
    flat = torch.full((1, 3, 32, 48), 0.5)
    assert lucas_kanade(flat, flat + 0.01).abs().max() < 1e-3


def test_a_second_level_follows_longer_motion() -> None:
    one, other = waves(0, 0, period=24), waves(5, 0, period=24)
    errors = []
    for levels in (1, 2):
        flow = lucas_kanade(one, other, levels=levels)[0, :, 6:-6, 8:-8]
        errors.append(float((flow[0] + 5).abs().mean()))
    assert errors[1] < 0.5
    assert errors[1] < errors[0]


def test_pictures_too_small_for_a_second_level_and_of_one_channel() -> None:
    torch.manual_seed(0)
    picture = F.avg_pool2d(torch.rand(2, 1, 40, 44), 3, stride=1)[..., :16, :20]
    assert lucas_kanade(picture, picture.roll(1, dims=-1), levels=5).shape == (2, 2, 16, 20)
