"""The networks of LFDM: the published parameter counts, geometry, and what the flow of a frame to itself is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from baselines.lfdm.config import MUG, NATOPS, PRESETS, TINY, AutoencoderConfig, fit_blocks
from baselines.lfdm.networks.attention import distance_buckets, rotate
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.networks.geometry import (
    AntiAliasDownsample,
    identity_grid,
    inverse,
    principal_axes,
    revert_axis_swap,
    warp,
)
from baselines.lfdm.networks.motion import regions_of, sparse_motions
from baselines.lfdm.networks.unet import FlowUNet


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.fixture(scope="module")
def autoencoder() -> FlowAutoencoder:
    torch.manual_seed(0)
    return FlowAutoencoder(TINY.autoencoder).eval()


def test_parameters_of_the_published_autoencoder() -> None:
    with torch.device("meta"):
        model = FlowAutoencoder(MUG.autoencoder)
    assert count(model.encoder, model.decoder) == 7_845_123
    assert count(model.flow_predictor) == 37_730_268
    assert count(model.region_predictor) == 14_146_728
    assert count(model.background_predictor) == 6_282_438
    assert count(model) == 66_004_557


@pytest.mark.parametrize(("config", "parameters"), [(MUG.diffusion, 42_731_219), (NATOPS.diffusion, 42_129_875 - 768)])
def test_parameters_of_the_published_unet(config, parameters: int) -> None:
    # NATOPS' count has the learned null condition, which is not a part of the U-Net.
    with torch.device("meta"):
        assert count(FlowUNet(config, 256)) == parameters


def test_shapes_at_the_published_size() -> None:
    with torch.device("meta"):
        model = FlowAutoencoder(replace(MUG.autoencoder, size=(256, 128)))
        frames = torch.rand(2, 3, 128, 256)
        features, flow = model.encode(frames), model.estimate(frames, frames)
        frame, warped = model.decode(frames, features, flow)
    assert features.latent.shape == (2, 256, 32, 64)
    assert flow.grid.shape == (2, 32, 64, 2)
    assert flow.occlusion.shape == (2, 1, 32, 64)
    assert frame.shape == warped.shape == frames.shape


def test_sizes_that_do_not_fit_are_refused_with_what_would() -> None:
    with pytest.raises(ValueError, match=r"size 256x160: 5 hourglass blocks need multiples of 128; .* can have 3"):
        AutoencoderConfig(size=(256, 160))
    assert AutoencoderConfig(size=(256, 160), blocks=3).blocks == 3
    assert fit_blocks((128, 64), 5) == 4
    for preset in PRESETS.values():
        preset.diffusion.check_size(preset.autoencoder.size)
    with pytest.raises(ValueError, match=r"size 144x144: 4 levels of the U-Net need multiples of 32"):
        MUG.diffusion.check_size((144, 144))


def test_identity_grid_samples_a_picture_exactly() -> None:
    picture = torch.rand(1, 3, 32, 48, dtype=torch.float64)
    for size in ((32, 48), (8, 12)):  # the coarse grid is enlarged first
        assert (warp(picture, identity_grid(*size, picture)[None]) - picture).abs().max() < 1e-12


def test_warp_moves_by_whole_pixels() -> None:
    picture = torch.rand(1, 1, 5, 9, dtype=torch.float64)
    grid = identity_grid(5, 9, picture)[None].clone()
    grid[..., 0] += 2 * 3 / 8  # three pixels of nine whose centres span [-1, 1]
    moved = warp(picture, grid)
    torch.testing.assert_close(moved[..., :6], picture[..., 3:])
    assert moved[..., 6:].abs().max() < 1e-12
    border = warp(picture, grid, padding="border")
    torch.testing.assert_close(border[..., 6:], picture[..., -1:].expand(-1, -1, -1, 3))


def test_a_frame_does_not_move_to_itself(autoencoder: FlowAutoencoder) -> None:
    frames = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        flow = autoencoder.estimate(frames, frames)
    assert (flow.grid - identity_grid(8, 8, frames)).abs().max() < 1e-5


def test_a_model_that_starts_as_the_source_draws_a_still_clip_before_training() -> None:
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 32, 32)
    errors = {}
    for start in ("noise", "source"):
        model = FlowAutoencoder(replace(TINY.autoencoder, start=start)).eval()
        with torch.no_grad():
            drawn, _ = model.decode(frames, model.encode(frames), model.estimate(frames, frames))
        errors[start] = float((drawn - frames).abs().max())
    assert errors["source"] < 1e-4
    assert errors["noise"] > 0.05
    with pytest.raises(ValueError, match="start 'photo': expected one of noise, source"):
        AutoencoderConfig(start="photo")  # type: ignore[arg-type]


def test_regions_of_clips_are_repeated_for_each_of_their_frames() -> None:
    regions = regions_of(torch.rand(2, 3, 64).softmax(dim=-1).view(2, 3, 8, 8))
    repeated = regions.repeat(4)
    for whole, single in ((repeated.mean, regions.mean), (repeated.heatmap, regions.heatmap)):
        torch.testing.assert_close(whole.unflatten(0, (2, 4)), single[:, None].expand(-1, 4, *single.shape[1:]))


def test_flow_follows_regions_that_move(autoencoder: FlowAutoencoder) -> None:
    source = regions_of(torch.rand(1, 3, 64).softmax(dim=-1).view(1, 3, 8, 8))
    shift = torch.tensor([0.25, -0.5])
    driving = replace(source, mean=source.mean + shift)
    grid = identity_grid(8, 8, source.mean)
    background = torch.tensor([[[1.0, 0, 0.1], [0, 1, 0.2]]])
    motions = sparse_motions(grid, source, driving_regions=driving, background=background)
    torch.testing.assert_close(motions[:, 1:], (grid - shift).expand(1, 3, -1, -1, -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(motions[0, 0], grid + torch.tensor([0.1, 0.2]))


def test_principal_axes_are_those_of_the_singular_value_decomposition() -> None:
    torch.manual_seed(0)
    factors = torch.randn(50, 2, 2, dtype=torch.float64)
    covariance = factors @ factors.transpose(1, 2)
    axes = principal_axes(covariance)
    torch.testing.assert_close(axes @ axes.transpose(1, 2), covariance, atol=1e-12, rtol=1e-9)
    left, singular, _ = torch.linalg.svd(covariance)
    expected = left * singular.sqrt()[:, None]
    sign = (axes * expected).sum(dim=1).sign()
    torch.testing.assert_close(axes * sign[:, None], expected, atol=1e-9, rtol=1e-6)
    torch.testing.assert_close(inverse(axes) @ axes, torch.eye(2, dtype=torch.float64).expand(50, 2, 2))


def test_gradient_of_axes_is_finite_at_a_circle_and_right_elsewhere() -> None:
    circle = torch.eye(2)[None].clone().requires_grad_()
    principal_axes(circle).sum().backward()
    assert circle.grad is not None
    assert circle.grad.isfinite().all()
    values = torch.tensor([[0.7, 0.2, 0.4], [0.1, -0.05, 0.3]], dtype=torch.float64, requires_grad=True)

    def axes_of(values: torch.Tensor) -> torch.Tensor:
        a, b, c = values.unbind(-1)
        return principal_axes(torch.stack([a, b, b, c], dim=-1).unflatten(-1, (2, 2)))

    assert torch.autograd.gradcheck(axes_of, values)


def test_axis_swaps_are_reverted() -> None:
    turned = torch.tensor([[[-1.0, 0.2], [0.1, -1.0]], [[2.0, 0.0], [0.0, -1.0]]])
    torch.testing.assert_close(revert_axis_swap(turned), torch.stack([-turned[0], turned[1]]))


def test_downsampling_is_a_gaussian_and_every_fourth_pixel() -> None:
    downsample = AntiAliasDownsample(4)
    assert downsample.kernel.shape == (13,)  # sigma 1.5
    impulse = torch.zeros(1, 1, 33, 33)
    impulse[..., 16, 16] = 1
    small = downsample(impulse)
    assert small.shape == (1, 1, 9, 9)
    ratio = small[0, 0, 4, 5] / small[0, 0, 4, 4]  # four pixels off the centre
    assert ratio.item() == pytest.approx(torch.exp(torch.tensor(-(4**2) / (2 * 1.5**2))).item(), rel=1e-4)


def test_rotary_products_depend_on_distances_alone() -> None:
    q, k = torch.randn(8).expand(5, 8), torch.randn(8).expand(5, 8)
    angles = torch.arange(5.0)[:, None] * torch.tensor([1.0, 0.5, 0.1, 0.01])
    products = rotate(q, angles) @ rotate(k, angles).T
    torch.testing.assert_close(products[1:, 1:], products[:-1, :-1], atol=1e-4, rtol=1e-4)
    assert (products[0, 1] - products[0, 2]).abs() > 1e-3


def test_distance_buckets() -> None:
    found = distance_buckets(torch.tensor([0, 1, 7, 8, 31, 500, -1, -500])).tolist()
    assert found[:3] == [0, 1, 7]
    assert found[3] == 8
    assert found[4] == found[5] == 15
    assert found[6:] == [17, 31]


def test_unet_sees_time_condition_and_every_frame() -> None:
    torch.manual_seed(0)
    config = replace(TINY.diffusion, condition="label", labels=("a", "b"))
    unet = FlowUNet(config, 4).eval()
    volume, latent, condition = torch.randn(1, 3, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.randn(1, 8)
    with torch.no_grad():
        plain = unet(volume, torch.tensor([3]), latent=latent, condition=condition)
        changed = volume.clone()
        changed[:, :, 3] += 1
        others = [
            unet(volume, torch.tensor([9]), latent=latent, condition=condition),
            unet(volume, torch.tensor([3]), latent=latent + 1, condition=condition),
            unet(volume, torch.tensor([3]), latent=latent, condition=condition + 1),
            unet(changed, torch.tensor([3]), latent=latent, condition=condition),
        ]
    assert plain.shape == volume.shape
    assert all((other[:, :, 0] - plain[:, :, 0]).abs().max() > 1e-4 for other in others)
