"""Losses of the flow autoencoder: derivatives of the deformation, equivariance, features at several scales."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from baselines.lfdm.losses import Deformation, Portions, equivariance
from baselines.lfdm.networks.motion import regions_of
from baselines.lfdm.perceptual import GradientFeatures, PyramidLoss, VGGFeatures, load_features


def draw(shape) -> torch.Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def deformation() -> Deformation:
    made = Deformation.random(draw, torch.device("cpu"))
    # Forty times the spline: an error in its derivative must not hide behind the affine part.
    return Deformation(made.affine.double(), 40 * made.coefficients.double(), made.points.double())


def test_jacobian_is_the_derivative(deformation: Deformation) -> None:
    points = torch.rand(2, 3, 2, dtype=torch.float64) * 2 - 1
    found = deformation.jacobian(points)
    for component in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[component] = 1e-6
        slope = (deformation.move(points + step) - deformation.move(points - step)) / 2e-6
        torch.testing.assert_close(found[..., component], slope, atol=1e-6, rtol=1e-6)


def test_deformation_without_spline_moves_frames_as_coordinates() -> None:
    frames = torch.rand(1, 1, 9, 9)
    affine = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # two pixels of nine
    deformed = Deformation(affine, torch.zeros(1, 1), torch.zeros(1, 2)).apply(frames)
    torch.testing.assert_close(deformed[..., :7], frames[..., 2:])
    torch.testing.assert_close(deformed[..., 7], frames[..., 7])  # mirrored at the border


def test_equivariance_is_zero_for_regions_that_follow(deformation: Deformation) -> None:
    deformed = regions_of(torch.rand(2, 3, 64, dtype=torch.float64).softmax(dim=-1).view(2, 3, 8, 8))
    moved = replace(
        deformed,
        mean=deformation.move(deformed.mean),
        axes=deformation.jacobian(deformed.mean) @ deformed.axes,
    )
    shift, affine = equivariance(moved, deformed, deformation)
    assert shift.max() < 1e-12
    assert affine.max() < 1e-9
    shift, affine = equivariance(deformed, deformed, deformation)
    assert shift.min() > 1e-3
    assert affine.min() > 1e-3


def test_pyramid_adds_layers_and_scales() -> None:
    frames, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    single = PyramidLoss(GradientFeatures(), [1.0])(frames, target)
    expected = (frames - target).abs().flatten(1).mean(dim=1)
    for axis in (2, 3):
        expected = expected + (frames.diff(dim=axis) - target.diff(dim=axis)).abs().flatten(1).mean(dim=1)
    torch.testing.assert_close(single, expected)
    both = PyramidLoss(GradientFeatures(), [1.0, 0.5])(frames, target)
    assert (both > single).all()
    assert PyramidLoss(GradientFeatures(), [1.0, 0.5])(target, target).max() == 0


def vgg_weights(*, wide: bool) -> dict[str, torch.Tensor]:
    """Zeros of the shapes of VGG19 or VGG16, in torchvision's numbering."""
    repeated = 4 if wide else 3
    widths = [64, 64, 0, 128, 128, 0, *[256] * repeated, 0, *[512] * repeated, 0, *[512] * repeated]
    weights, channels, index = {}, 3, 0
    for width in widths:
        if width:
            weights[f"features.{index}.weight"] = torch.zeros(width, channels, 3, 3)
            weights[f"features.{index}.bias"] = torch.full((width,), float(index))
        index, channels = index + (2 if width else 1), width or channels
    return weights


@pytest.mark.parametrize(
    ("wide", "name", "taps"), [(True, "VGG19", (0, 5, 10, 19, 28)), (False, "VGG16", (0, 5, 10, 17, 24))]
)
def test_features_come_after_the_first_convolution_of_each_stage(tmp_path, wide: bool, name: str, taps: tuple) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(vgg_weights(wide=wide), path)
    features = load_features(path)
    assert features.name == name
    found = features(torch.rand(1, 3, 16, 32))
    # With zero weights a layer's output is its bias, which here is its number.
    assert [float(layer.max()) for layer in found] == [float(tap) for tap in taps]
    assert [layer.shape[1] for layer in found] == [64, 128, 256, 512, 512]
    assert len(features(torch.rand(1, 3, 8, 8))) == 4  # the fifth stage would see nothing


def test_files_that_are_no_vgg_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"none\.safetensors: no such file"):
        load_features(tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be read as safetensors"):
        load_features(tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match=r"other: not weights of VGG19 or VGG16, features\.0\.weight is missing"):
        VGGFeatures({}, "other")


def test_portions_add_up() -> None:
    portions = Portions()
    portions.add(torch.tensor([1.0, 2.0]))
    portions.add(torch.tensor([5.0, 5.0]))
    assert portions.all().tolist() == [[3.0, 2.0], [10.0, 2.0]]
