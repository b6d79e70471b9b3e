"""The renderer's training losses: zero at equality, ordered by damage, and strict about weights."""

import dataclasses
import functools

import pytest
import torch
from safetensors.torch import save_file

from evaluation.networks import weights as metric_weights
from training.renderer.perceptual_loss import TORCHVISION_FILE, StructureLoss, VGG16Loss, load_perceptual_loss


@functools.cache
def random_weights() -> dict[str, torch.Tensor]:
    """Tensors by torchvision's names, of VGG16's shapes, with what a metric's file holds besides."""
    generator = torch.Generator().manual_seed(0)
    weights = {"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}
    layers = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
    layers |= {17: (256, 512), 19: (512, 512), 21: (512, 512)}
    for index, (before, after) in layers.items():
        scale = (2 / (9 * before)) ** 0.5
        weights[f"features.{index}.weight"] = torch.randn(after, before, 3, 3, generator=generator) * scale
        weights[f"features.{index}.bias"] = torch.zeros(after)
    return weights


@pytest.fixture(scope="module")
def vgg() -> VGG16Loss:
    return VGG16Loss(random_weights(), "test")


@pytest.mark.parametrize("kind", ["vgg", "structure"])
def test_distance_is_zero_at_equality_and_grows_with_blur(kind: str, vgg: VGG16Loss) -> None:
    distance = vgg if kind == "vgg" else StructureLoss()
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    little, much = (torch.nn.functional.avg_pool2d(target, k, 1, k // 2) for k in (3, 7))
    assert float(distance(target, target)) == pytest.approx(0, abs=1e-6)
    assert 0 < float(distance(0.5 * (little + target), target)) < float(distance(much, target))


def test_gradients_reach_the_frame_alone(vgg: VGG16Loss) -> None:
    frame, target = torch.zeros(1, 3, 16, 16, requires_grad=True), torch.ones(1, 3, 16, 16, requires_grad=True)
    vgg(frame, target).backward()
    assert frame.grad is not None
    assert frame.grad.any()
    assert target.grad is None
    assert not any(p.requires_grad for p in vgg.parameters())


def test_taps_are_the_activations_after_the_named_convolutions(vgg: VGG16Loss) -> None:
    shapes = [tuple(tap.shape) for tap in vgg.activations(torch.zeros(1, 3, 32, 32))]
    assert shapes == [(1, 64, 32, 32), (1, 128, 16, 16), (1, 256, 8, 8), (1, 512, 4, 4)]
    assert all((tap >= 0).all() for tap in vgg.activations(torch.randn(1, 3, 32, 32)))


@pytest.mark.slow
def test_reduced_precision_hardly_changes_distance_and_gradient() -> None:
    full, reduced = VGG16Loss(random_weights(), "test"), VGG16Loss(random_weights(), "test").reduce_precision()
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    frame = (target + 0.2 * torch.randn(2, 3, 32, 32, generator=generator)).requires_grad_()
    distances, gradients = [], []
    for distance in (full, reduced):
        value = distance(frame, target)
        distances.append(value.detach())
        gradients.append(torch.autograd.grad(value, frame)[0].flatten())
    assert reduced.features[0].weight.dtype == torch.bfloat16
    assert distances[1].dtype == torch.float32
    assert float(distances[1]) == pytest.approx(float(distances[0]), rel=5e-3)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.97


def test_weights_come_from_the_file_given_or_not_at_all(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_perceptual_loss(None) is None
    weights = random_weights()
    save_file(weights, tmp_path / "vgg.safetensors")
    loaded = load_perceptual_loss(tmp_path / "vgg.safetensors")
    assert torch.equal(loaded.state_dict()["features.21.weight"], weights["features.21.weight"])
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights, tmp_path / "checkpoints" / TORCHVISION_FILE)
    assert isinstance(load_perceptual_loss(None), VGG16Loss)


def test_a_metrics_file_serves_where_its_content_is_right(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = random_weights()
    save_file(weights, tmp_path / "lpips_vgg16.safetensors")
    with pytest.raises(ValueError, match="not the published LPIPS VGG16 weights"):
        load_perceptual_loss(None, tmp_path)
    entry = dataclasses.replace(metric_weights.WEIGHTS["lpips_vgg16"], content_sha256=None)
    monkeypatch.setitem(metric_weights.WEIGHTS, "lpips_vgg16", entry)
    loaded = load_perceptual_loss(None, tmp_path)
    assert torch.equal(loaded.state_dict()["features.0.weight"], weights["features.0.weight"])


@pytest.mark.weights
def test_with_published_weights_blur_is_worse_than_a_shade(metric_weights) -> None:
    distance = load_perceptual_loss(None, metric_weights)
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(1, 3, 64, 64, generator=generator) - 0.5
    blurred = torch.nn.functional.avg_pool2d(target, 5, 1, 2)
    assert float(distance(blurred, target)) > 3 * float(distance(target + 0.02, target)) > 0


def test_wrong_weights_are_named(tmp_path) -> None:
    path = tmp_path / "alex.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)
    with pytest.raises(ValueError, match=r"not VGG16 weights, features.0.weight is \(64, 3, 11, 11\)"):
        load_perceptual_loss(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be read as safetensors"):
        load_perceptual_loss(path)
