"""The renderer whose network works at half size: detail, stillness, tiles, sizes, and what training reaches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.rendering.config import PRESETS, FrameSynthesisConfig
from models.rendering.dispatch import frame_renderer, photo_renderer
from models.rendering.large import RenderSizes
from models.rendering.maps import reduced_size
from models.rendering.model import FrameSynthesisModel
from models.rendering.warping import render_softmax

HEIGHT, WIDTH = 75, 118


@pytest.fixture(scope="module")
def model() -> FrameSynthesisModel:
    torch.manual_seed(0)
    network = FrameSynthesisModel(replace(PRESETS["tiny"], output="maps")).eval()
    for parameter in network.head.parameters():  # as if it was trained: a fresh one changes nothing
        torch.nn.init.normal_(parameter, std=0.02)
    return network


def texture() -> Tensor:
    """Noise of single pixels, `[1, 3, H, W]`: all of it is gone at the network's size."""
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def smooth_flow(pixels: float) -> Tensor:
    """Two flows `[2, 2, H, W]` that fade to nothing at the border."""
    window = torch.hann_window(HEIGHT, periodic=False)[:, None] * torch.hann_window(WIDTH, periodic=False)
    return torch.stack([torch.stack([pixels * window, -window]), torch.stack([-window, pixels * window])])


def test_what_stands_still_is_the_photo(model: FrameSynthesisModel) -> None:
    photo, flow = texture(), torch.zeros(1, 2, HEIGHT, WIDTH)
    frame = photo_renderer("model", photo, torch.zeros(1, 1, HEIGHT, WIDTH), model=model)(flow)
    assert (frame - photo).abs().max() < 1e-4


def test_detail_goes_along_with_the_motion() -> None:
    """Where everything moves by whole pixels, the frame is the shifted photo, single pixels and all."""
    fresh = FrameSynthesisModel(replace(PRESETS["tiny"], output="maps")).eval()
    photo, flow = texture(), torch.zeros(1, 2, HEIGHT, WIDTH)
    flow[:, 0], flow[:, 1] = 6, -4
    frame = photo_renderer("model", photo, torch.ones(1, 1, HEIGHT, WIDTH), model=fresh)(flow)
    moved = photo[:, :, 4:, :-6][:, :, 10:-10, 10:-10]
    assert (frame[:, :, :-4, 6:][:, :, 10:-10, 10:-10] - moved).abs().max() < 0.01


def test_it_is_sharper_than_splatting(model: FrameSynthesisModel) -> None:
    photo, flow, importance = texture(), smooth_flow(5.5), torch.ones(1, 1, HEIGHT, WIDTH)
    frames = photo_renderer("model", photo, importance, model=model)(flow)
    assert frames.std() > 1.05 * render_softmax(photo, flow, importance).std()


def test_tiles_change_nothing_but_rounding(model: FrameSynthesisModel) -> None:
    photo, flow, importance = texture(), smooth_flow(5.5), torch.rand(1, 1, HEIGHT, WIDTH)
    whole = frame_renderer("model", photo, importance, model=model, margin=20)(flow)
    tiled = frame_renderer("model", photo, importance, model=model, margin=20, sizes=RenderSizes(pixels_a_tile=2000))(
        flow
    )
    assert (tiled - whole).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((160, 256), (80, 128)),
        ((342, 512), (84, 124)),
        ((2160, 3840), (76, 136)),
        ((3, 5), (4, 4)),
        ((101, 7), (52, 4)),
    ],
)
def test_the_networks_size_is_half_or_less_in_multiples(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert reduced_size(*size, multiple=4) == expected


def test_every_map_is_learned() -> None:
    torch.manual_seed(0)
    model = FrameSynthesisModel(replace(PRESETS["tiny"], output="maps")).train()
    photo, flow = texture(), smooth_flow(5.5)
    target = torch.rand(2, 3, HEIGHT, WIDTH)
    (model(photo.expand(2, -1, -1, -1), flow) - target).abs().mean().backward()
    for layer in (model.head, model.finish.last):
        assert layer.weight.grad is not None
        assert (layer.weight.grad[:5].abs().sum(dim=(1, 2, 3)) > 0).all()


def test_learned_importance_is_refused() -> None:
    with pytest.raises(ValueError, match='output "maps"'):
        FrameSynthesisConfig(output="maps", importance="learned")
