"""Feature networks: inputs, batches, missing weights; with the published ones the values of lpips and torchmetrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from evaluation.networks.feature_networks import (
    FEATURE_NETWORKS,
    build_fid_inception,
    dti3d_input,
    load_feature_network,
    load_lpips,
    load_vgg16_features,
)
from evaluation.networks.i3d import InceptionI3D
from evaluation.networks.weights import MissingWeightsError, load_metric_weights


def _clips(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_without_weights_every_network_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    labels = dict(zip(FEATURE_NETWORKS, ("FID Inception", "I3D", "DTI3D", "DTI3D"), strict=True))
    for name, label in labels.items():
        with pytest.raises(MissingWeightsError, match=rf"^no {label} weights \(see docs/evaluation\.md\)$"):
            load_feature_network(name)
    for load, label in ((lambda: load_lpips("alex"), "LPIPS AlexNet"), (lambda: load_lpips("vgg"), "LPIPS VGG16")):
        with pytest.raises(MissingWeightsError, match=f"^no {label} weights"):
            load()
    with pytest.raises(MissingWeightsError, match=r"^no LPIPS VGG16 weights"):
        load_vgg16_features()
    with pytest.raises(ValueError, match="clip: no such feature network; there are inception"):
        load_feature_network("clip")
    with pytest.raises(ValueError, match="squeeze: no such LPIPS network"):
        load_lpips("squeeze")


@pytest.fixture(scope="module")
def dti3d_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a DTI3D of random weights, as a user's --weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    state = InceptionI3D(18).state_dict()
    for name in ("dti3d_16", "dti3d_32"):
        save_file(
            {key: tensor for key, tensor in state.items() if "num_batches" not in key}, folder / f"{name}.safetensors"
        )
    return folder


@pytest.mark.slow
def test_dti3d_features_do_not_depend_on_the_batch_and_short_clips_repeat(dti3d_folder: Path) -> None:
    network = load_feature_network("dti3d_16", dti3d_folder)
    assert (network.name, network.dimension) == ("dti3d_16", 1024)
    assert network.sha256 == load_metric_weights("dti3d_16", dti3d_folder)[1]
    clips = _clips((2, 17, 3, 16, 24))
    features = network(clips)
    assert features.shape == (2, 1024)
    assert features.dtype == torch.float32
    scale = float(features.abs().max())
    assert float((network(clips[1:]) - features[1:]).abs().max()) < 1e-5 * scale
    assert float((features[0] - features[1]).abs().max()) > 1e-3 * scale
    short = clips[:1, :6]
    assert torch.equal(network(short), network(short.repeat(1, 3, 1, 1, 1)[:, :16]))
    assert network(clips[:0]).shape == (0, 1024)


@pytest.mark.parametrize("frames", [16, 32])
def test_dti3d_input_has_aligned_corners_and_the_right_range(frames: int) -> None:
    ramp = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 32, 3, 2, 2)
    seen = dti3d_input(ramp, frames)
    assert seen.shape == (1, 3, frames, 224, 224)
    torch.testing.assert_close(seen[0, 2, 5, 100], torch.linspace(-1, 1, 224), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (torch.zeros(1, 16, 3, 8, 8), r"dti3d_16: expected uint8 clips \[N, T, 3, H, W\], got torch.float32"),
        (_clips((16, 3, 8, 8)), r"expected uint8 clips .* got torch.uint8 \[16, 3, 8, 8\]"),
        (_clips((1, 3, 16, 8, 8)), r"expected uint8 clips"),
        (_clips((1, 5, 3, 8, 8)), r"clips of 5 frames are too short for a DTI3D of 16"),
    ],
)
def test_wrong_clips_are_refused(dti3d_folder: Path, clips: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_feature_network("dti3d_16", dti3d_folder)(clips)


# With the published weights -------------------------------------------------------------------------------------------


def _known_pairs() -> tuple[Tensor, Tensor]:
    """A smooth picture beside itself with noise, shifted, and beside noise: ``[3, 3, 96, 128]`` twice."""
    random = np.random.default_rng(20240607)
    y, x = np.mgrid[0:96, 0:128] / 16.0
    picture = np.stack([np.sin(x + c) * np.cos(y * 1.3 - c) for c in range(3)]) * 0.8
    others = [picture + 0.1 * random.standard_normal(picture.shape), np.roll(picture, 3, axis=2)]
    others.append(random.uniform(-1, 1, picture.shape))
    stacks = (np.stack([picture] * 3), np.stack(others))
    first, second = (torch.from_numpy(stack.clip(-1, 1)).float() for stack in stacks)
    return first, second


@pytest.mark.weights
@pytest.mark.parametrize(
    ("net", "expected"),
    [("alex", (0.253541, 0.045572, 1.569638)), ("vgg", (0.507374, 0.141327, 1.073294))],
)
def test_lpips_equals_the_lpips_package(metric_weights: Path, net: str, expected: tuple[float, ...]) -> None:
    """Values of lpips 0.1.4 for these pairs, computed once with its own heads."""
    distance = load_lpips(net, metric_weights)
    first, second = _known_pairs()
    found = distance(first, second)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-4)
    torch.testing.assert_close(distance(first[1:2], second[1:2]), found[1:2], rtol=1e-4, atol=1e-6)
    assert distance(first, first).abs().max() == 0
    torch.testing.assert_close(distance(first, second[:1])[:1], found[:1], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="LPIPS needs frames of one shape"):
        distance(first, second[:2])


@pytest.mark.weights
def test_vgg16_features_are_those_of_its_layers(metric_weights: Path) -> None:
    frames = _clips((1, 3, 224, 224))
    found = load_vgg16_features(metric_weights)(frames)
    assert [tuple(t.shape[1:]) for t in found] == [
        (64, 224, 224),
        (128, 112, 112),
        (256, 56, 56),
        (512, 28, 28),
        (512, 14, 14),
    ]
    tensors, _ = load_metric_weights("lpips_vgg16", metric_weights)
    x = (frames / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    for tap, layers in zip(found, ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), strict=True):
        x = x if layers[0] == 0 else F.max_pool2d(x, 2)
        for layer in layers:
            x = F.conv2d(x, tensors[f"features.{layer}.weight"], tensors[f"features.{layer}.bias"], padding=1).relu()
        torch.testing.assert_close(tap, x, rtol=1e-3, atol=1e-3)


@pytest.mark.weights
def test_i3d_logits_do_not_depend_on_the_batch(metric_weights: Path) -> None:
    network = load_feature_network("i3d", metric_weights)
    clips = _clips((5, 9, 3, 32, 48))
    logits = network(clips)
    assert logits.shape == (5, 400)
    alone = torch.cat([network(clip[None]) for clip in clips[[0, 4]]])
    assert float((alone - logits[[0, 4]]).abs().max() / logits.abs().max()) < 1e-5
    with pytest.raises(ValueError, match="i3d: clips of 8 frames, it needs at least 9"):
        network(clips[:, :8])


@pytest.fixture(scope="module")
def inception_tensors() -> dict[str, Tensor]:
    try:
        return load_metric_weights("fid_inception")[0]
    except MissingWeightsError:
        pytest.skip("no FID Inception weights here: python -m evaluation.networks fetch gets them")


@pytest.mark.weights
def test_fid_equals_the_example_in_torchmetrics_documentation(inception_tensors: dict[str, Tensor]) -> None:
    """`FrechetInceptionDistance(feature=64)` with seed 42 gives 12.6388 there: the network is built after seeding."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    torch.manual_seed(42)
    network = build_fid_inception(inception_tensors, "64")
    network.num_features = 64
    fid = FrechetInceptionDistance(feature=network)
    first = torch.randint(0, 200, (100, 3, 299, 299), dtype=torch.uint8)
    second = torch.randint(100, 255, (100, 3, 299, 299), dtype=torch.uint8)
    with torch.inference_mode():
        for start in range(0, 100, 10):
            fid.update(first[start : start + 10], real=True)
            fid.update(second[start : start + 10], real=False)
    assert float(fid.compute()) == pytest.approx(12.6388, abs=2e-4)


@pytest.mark.weights
def test_inception_features_are_torchmetrics_and_do_not_depend_on_the_batch(
    inception_tensors: dict[str, Tensor],
) -> None:
    network = load_feature_network("inception")
    assert network.dimension == 2048
    images = _clips((3, 3, 40, 60))
    features = network(images)
    expected = build_fid_inception(inception_tensors)(images)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(network(images[2:]), features[2:], rtol=0, atol=1e-4)
