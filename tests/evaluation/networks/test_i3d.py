"""The I3D: TensorFlow's padding and resizing, both naming schemes, and recognition with the published weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.places import SAMPLES
from torch import Tensor, nn

from data.media.images import read_image
from data.media.read_video import read_video
from evaluation.networks.i3d import (
    InceptionBlock,
    InceptionI3D,
    Unit3D,
    _max_pool_same,
    from_kinetics_names,
    load_i3d_state,
    resize_legacy_bilinear,
    same_padding,
)
from evaluation.networks.weights import load_metric_weights

ARRANGING_FLOWERS = 7  # of the 400 Kinetics classes in alphabetical order
SAMPLE = SAMPLES / "dahlia.jpg"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (224, 7, 2, (2, 3)),  # 112 outputs span 111 * 2 + 7 = 229
        (112, 3, 2, (0, 1)),
        (9, 3, 2, (1, 1)),  # an odd size: 5 outputs span 11
        (28, 3, 1, (1, 1)),
        (7, 2, 2, (0, 1)),
        (8, 2, 2, (0, 0)),
        (4, 1, 2, (0, 0)),
    ],
)
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == padding


def _windows(size: int, kernel: int, stride: int) -> Iterator[slice]:
    """The part of each SAME window that lies inside, by counting: window i begins at ``i * stride - before``."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    for output in range(outputs):
        start = output * stride - before
        yield slice(max(start, 0), min(start + kernel, size))


def test_max_pooling_never_sees_its_padding() -> None:
    x = torch.rand(1, 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = [
        [[float(x[0, 0, t, y, c].max()) for c in _windows(7, 3, 2)] for y in _windows(6, 3, 2)]
        for t in _windows(5, 2, 2)
    ]
    assert torch.equal(_max_pool_same(x, (2, 3, 3), (2, 2, 2))[0, 0], torch.tensor(expected))


def test_a_unit_is_convolution_normalisation_and_relu() -> None:
    generator = torch.Generator().manual_seed(0)
    unit = Unit3D(2, 3, kernel=3, stride=2).eval()
    _randomise(unit, generator)
    x = torch.randn(1, 2, 4, 5, 6, generator=generator)
    padded = F.pad(x, (0, 1, 1, 1, 0, 1))  # by hand: 6 -> 3 spans 7, 5 -> 3 spans 7, 4 -> 2 spans 5
    weight, norm = unit.conv3d.weight, unit.bn
    assert norm is not None
    for channel in range(3):
        for t, y, c in np.ndindex(2, 3, 3):
            part = padded[0, :, 2 * t : 2 * t + 3, 2 * y : 2 * y + 3, 2 * c : 2 * c + 3]
            value = (part * weight[channel]).sum()
            value = (value - norm.running_mean[channel]) / (norm.running_var[channel] + 1e-3).sqrt()
            value = (value * norm.weight[channel] + norm.bias[channel]).clamp_min(0)
            torch.testing.assert_close(unit(x)[0, channel, t, y, c], value, rtol=1e-4, atol=1e-5)


def test_folding_the_normalisation_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    block = InceptionBlock(8, (4, 6, 5, 3, 4, 2)).eval()
    _randomise(block, generator)
    x = torch.rand(2, 8, 3, 9, 9, generator=generator)
    expected = block(x)
    for module in block.modules():
        if isinstance(module, Unit3D):
            module.fuse()
            assert module.bn is None
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-6)


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Weights that keep activations of order one, and statistics of normalisation that aren't the initial ones."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv3d):
                scale = (2 / part.weight[0].numel()) ** 0.5
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator) * scale)
            elif isinstance(part, nn.BatchNorm3d):
                for tensor, low in ((part.weight, 0.8), (part.running_var, 0.5), (part.bias, 0.0)):
                    tensor.copy_(low + 0.4 * torch.rand(tensor.shape, generator=generator))
                part.running_mean.copy_(0.2 * torch.randn(part.running_mean.shape, generator=generator))


@pytest.fixture(scope="module")
def random_network() -> InceptionI3D:
    network = InceptionI3D()
    _randomise(network, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.weight.fill_(1)  # the original has no scale
    return network


def _kinetics_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original checkpoint's names, written down independently of the module under test."""
    branches = {"b0": "0/Conv3d_0a", "b1a": "1/Conv3d_0a", "b1b": "1/Conv3d_0b", "b2a": "2/Conv3d_0a"}
    branches |= {"b2b": "2/Conv3d_0b", "b3b": "3/Conv3d_0b"}
    kinds = {"weight": "w", "bias": "beta", "running_mean": "mean", "running_var": "var"}
    renamed = {}
    for name, tensor in state.items():
        unit, part, kind = name.rsplit(".", 2)
        if kind == "num_batches_tracked" or (part, kind) == ("bn", "weight"):
            continue
        block, _, branch = unit.partition(".")
        if branch:
            size = "3x3" if branch in ("b1b", "b2b") else "1x1"
            unit = f"{block}.Branch_{branches[branch]}_{size}"
        if unit == "logits":
            renamed[f"Logits/Conv3d_0c_1x1.{'w' if kind == 'weight' else 'b'}"] = tensor
        else:
            renamed[f"{unit}.{kinds[kind]}"] = tensor
    return renamed


def test_both_naming_schemes_load_the_same_network(random_network: InceptionI3D) -> None:
    state = random_network.state_dict()
    named = _kinetics_names(state)
    assert len(named) == 57 * 4 + 2
    other = InceptionI3D()
    load_i3d_state(other, from_kinetics_names(named), "a file")
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())
    load_i3d_state(InceptionI3D(), state, "a file")
    with pytest.raises(
        ValueError, match=r"^a file: not this I3D's weights, logits.conv3d.weight is \(400, 1024, 1, 1, 1\)"
    ):
        load_i3d_state(InceptionI3D(18), state, "a file")
    del named["Mixed_4d.Branch_3/Conv3d_0b_1x1.mean"]
    with pytest.raises(ValueError, match=r"Mixed_4d.b3b.bn.running_mean is no such tensor instead of \(64,\)"):
        load_i3d_state(InceptionI3D(), from_kinetics_names(named), "a file")
    with pytest.raises(ValueError, match=r"extra is \(1,\) instead of no such tensor"):
        load_i3d_state(InceptionI3D(), {**state, "extra": torch.ones(1)}, "a file")


@pytest.mark.slow
def test_logits_and_features_agree_and_do_not_depend_on_the_batch(random_network: InceptionI3D) -> None:
    assert random_network.least_frames == 9
    clips = torch.rand(2, 3, 9, 224, 224, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        together, features = random_network(clips), random_network.features(clips)
        alone = random_network(clips[1:])
    assert features.shape == (2, 1024)
    logits = random_network.logits
    expected = features @ logits.conv3d.weight.view(400, 1024).T + logits.conv3d.bias
    torch.testing.assert_close(together, expected, rtol=1e-4, atol=1e-4)
    assert float((alone - together[1:]).abs().max() / together.abs().max()) < 1e-5
    assert float((together[0] - together[1]).abs().max()) > 1e-3
    with pytest.raises(ValueError, match=r"expected clips \[B, 3, T, 224, 224\], got \(2, 9, 3, 224, 224\)"):
        random_network(clips.transpose(1, 2))
    with pytest.raises(ValueError, match="clips of 8 frames are too short: this I3D needs 9"):
        random_network(clips[:1, :, :8])


def test_resizing_is_tensorflow_1s() -> None:
    row = torch.tensor([[0.0, 10.0, 20.0]])
    expected = torch.tensor([[0.0, 5.0, 10.0, 15.0, 20.0, 20.0]])  # no half-pixel offset, the last pixel repeated
    assert torch.equal(resize_legacy_bilinear(row, (1, 6)), expected)
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    frames = torch.randint(0, 256, (2, 3, 36, 64), generator=torch.Generator().manual_seed(0)).float()
    for size in ((224, 224), (20, 30)):
        theirs = interpolate_bilinear_2d_like_tensorflow1x(frames, size=size, align_corners=False)
        torch.testing.assert_close(resize_legacy_bilinear(frames, size), theirs, rtol=0, atol=1e-3)


# With the published weights -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kinetics(metric_weights: Path) -> InceptionI3D:
    network = InceptionI3D()
    load_i3d_state(network, from_kinetics_names(load_metric_weights("i3d_kinetics400", metric_weights)[0]), "I3D")
    return network.fuse()


def _recognised(network: InceptionI3D, frames: Tensor) -> tuple[int, float]:
    """Most probable class and its probability, of float frames ``[T, 3, H, W]`` in [0, 255]."""
    clip = resize_legacy_bilinear(frames, (224, 224)) / 127.5 - 1
    with torch.inference_mode():
        best = network(clip.transpose(0, 1)[None]).softmax(dim=1)[0].max(dim=0)
    return int(best.indices), float(best.values)


@pytest.mark.weights
def test_it_sees_a_flower_in_the_sample_photo(kinetics: InceptionI3D) -> None:
    photo = torch.from_numpy(read_image(SAMPLE)).permute(2, 0, 1).float()
    small = F.interpolate(photo[None], (224, 224), mode="area")
    label, probability = _recognised(kinetics, small.expand(16, -1, -1, -1))
    assert label == ARRANGING_FLOWERS
    assert probability > 0.3


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "first", "label", "least"),
    [
        ("loops/flower_0_loop.mp4", 16, ARRANGING_FLOWERS, 0.9),
        ("real/candle_red.mp4", 16, 27, 0.15),  # blowing out candles
    ],
)
def test_it_recognises_what_real_clips_show(
    kinetics: InceptionI3D, metric_weights: Path, name: str, first: int, label: int, least: float
) -> None:
    path = metric_weights.parent / "data" / name
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the weights")
    frames = torch.from_numpy(read_video(path, max_frames=first + 16)[0][first:]).permute(0, 3, 1, 2).float()
    height, width = frames.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    found, probability = _recognised(kinetics, frames[..., top : top + side, left : left + side])
    assert found == label
    assert probability > least
