"""The networks behind FID, KID, FVD, DTFVD, LPIPS and diversity, each with its own published weights and input.

No network ever stands in for another: without its weights there is a `MissingWeightsError` and no figure.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.images import from_8_bits
from evaluation.networks.conversion import DTDB_CLASSES, DTI3D_POOLED_FRAMES, inception_units
from evaluation.networks.i3d import (
    FEATURE_CHANNELS,
    INPUT_SIZE,
    InceptionI3D,
    from_kinetics_names,
    load_i3d_state,
    resize_legacy_bilinear,
)
from evaluation.networks.weights import find_weights, load_metric_weights

KINETICS_CLASSES = 400
FEATURE_NETWORKS = ("inception", "i3d", "dti3d_16", "dti3d_32")
IMAGES_AT_ONCE = 16
CLIP_FRAMES_AT_ONCE = 64  # four clips of 16 frames; about 0.6 GB of activations
PAIRS_AT_ONCE = 8
_WEIGHTS_OF = {"inception": "fid_inception", "i3d": "i3d_kinetics400"}
_LPIPS_WEIGHTS = {"alex": "lpips_alexnet", "vgg": "lpips_vgg16"}


@dataclass(frozen=True)
class FeatureNetwork:
    """Features of images or clips, computed in batches of bounded size; they don't depend on how inputs are grouped.

    Called with uint8 images ``[N, 3, H, W]`` (inception) or clips ``[N, T, 3, H, W]`` (the I3Ds), on any device; gives
    float32 ``[N, dimension]`` on the CPU.
    """

    name: str
    dimension: int
    sha256: str  # content hash of the weights
    least_frames: int  # of a clip; 1 for images
    device: torch.device
    compute: Callable[[Tensor], Tensor]  # a batch on the device -> features there

    def __call__(self, inputs: Tensor) -> Tensor:
        axes = 4 if self.name == "inception" else 5
        expected = "images [N, 3, H, W]" if axes == 4 else "clips [N, T, 3, H, W]"
        if inputs.ndim != axes or inputs.shape[-3] != 3 or inputs.dtype != torch.uint8:
            raise ValueError(f"{self.name}: expected uint8 {expected}, got {inputs.dtype} {list(inputs.shape)}")
        if axes == 5 and inputs.shape[1] < self.least_frames:
            raise ValueError(f"{self.name}: clips of {inputs.shape[1]} frames, it needs at least {self.least_frames}")
        size = IMAGES_AT_ONCE if axes == 4 else max(1, CLIP_FRAMES_AT_ONCE // inputs.shape[1])
        with torch.no_grad(), full_precision():
            batches = [self.compute(batch.to(self.device)).float().cpu() for batch in inputs.split(size) if len(batch)]
        return torch.cat(batches) if batches else torch.empty(0, self.dimension)


def load_feature_network(name: str, folder: Path | None = None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """A network by name: ``inception`` (FID, KID), ``i3d`` (FVD), ``dti3d_16`` or ``dti3d_32`` (DTFVD).

    Args:
        folder: of ``--weights``, searched before the cache.

    Raises:
        MissingWeightsError: where its weights are in neither.
        ValueError: for an unknown name, or a file with other tensors.
    """
    if name not in FEATURE_NETWORKS:
        raise ValueError(f"{name}: no such feature network; there are {', '.join(FEATURE_NETWORKS)}")
    device = torch.device(device)
    tensors, sha256 = load_metric_weights(_WEIGHTS_OF.get(name, name), folder)
    if name == "inception":
        inception = build_fid_inception(tensors).to(device)
        return FeatureNetwork(name, 2048, sha256, 1, device, inception)
    if name == "i3d":
        network = InceptionI3D(KINETICS_CLASSES)
        load_i3d_state(network, from_kinetics_names(tensors), str(find_weights("i3d_kinetics400", folder)))
        network = _for_inference(network, device)
        return FeatureNetwork(
            name, KINETICS_CLASSES, sha256, network.least_frames, device, lambda x: network(_kinetics_input(x))
        )
    network = InceptionI3D(DTDB_CLASSES, DTI3D_POOLED_FRAMES[name])
    load_i3d_state(network, tensors, str(find_weights(name, folder)))
    network = _for_inference(network, device)
    length = int(name.rpartition("_")[2])
    return FeatureNetwork(name, FEATURE_CHANNELS, sha256, 1, device, lambda x: network.features(dti3d_input(x, length)))


def build_fid_inception(tensors: dict[str, Tensor], features: str = "2048") -> nn.Module:
    """torchmetrics' InceptionV3 (of torch-fidelity) with our tensors: uint8 ``[N, 3, H, W]`` -> ``[N, int(features)]``.

    Resizes to 299 as torchmetrics' metrics do by default. ``features`` is any of 64, 192, 768 and 2048.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    state = dict(tensors)
    for unit in inception_units():  # the graph's normalisation has no scale
        state[f"{unit}.bn.weight"] = torch.ones_like(tensors[f"{unit}.bn.bias"])
    # The classifier isn't reached on the way to the features.
    state |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    file = io.BytesIO()  # its constructor unpickles a file: one that was written this moment from checked tensors
    torch.save(state, file)
    file.seek(0)
    network = NoTrainInceptionV3("inception-v3-compat", [features], file, antialias=True)  # type: ignore[arg-type]
    return network.to(memory_format=torch.channels_last)


def load_lpips(
    net: str, folder: Path | None = None, device: torch.device | str = "cpu"
) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS v0.1 (Zhang et al. 2018) through torchmetrics, at the frames' own size.

    Args:
        net: backbone, ``alex`` (the rendering table's) or ``vgg``.

    Returns:
        A function of frames and targets, float ``[N, 3, H, W]`` in [-1, 1], to distances ``[N]`` on the CPU. One target
        ``[1, 3, H, W]`` serves all frames, and its features are computed once.
    """
    network = lpips_network(net, folder).to(device)

    def distances(frames: Tensor, targets: Tensor) -> Tensor:
        if frames.ndim != 4 or frames.shape[1:] != targets.shape[1:] or len(targets) not in (1, len(frames)):
            raise ValueError(f"LPIPS needs frames of one shape [N, 3, H, W], got {[*frames.shape]}, {[*targets.shape]}")
        batches = frames.split(PAIRS_AT_ONCE)
        shared = [targets] * len(batches)
        pairs = zip(batches, targets.split(PAIRS_AT_ONCE) if len(targets) > 1 else shared, strict=True)
        with torch.no_grad(), full_precision():
            found = [network(a.to(device).float(), b.to(device).float()).reshape(-1).cpu() for a, b in pairs if len(a)]
        return torch.cat(found) if found else torch.empty(0)

    return distances


def lpips_network(net: str, folder: Path | None = None) -> nn.Module:
    """The network behind :func:`load_lpips`, differentiable in its inputs: two times ``[N, 3, H, W]`` in [-1, 1]."""
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    if net not in _LPIPS_WEIGHTS:
        raise ValueError(f"{net}: no such LPIPS network; there are {', '.join(_LPIPS_WEIGHTS)}")
    tensors, _ = load_metric_weights(_LPIPS_WEIGHTS[net], folder)
    # Random until the next lines, so that nothing is downloaded.
    network = _NoTrainLpips(pretrained=False, net=net, pnet_rand=True)  # type: ignore[arg-type]
    layers = {name.rpartition(".")[0].rpartition(".")[2]: name for name in network.net.state_dict()}
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("features."):  # features.3.weight -> net.slice2.3.weight
            _, layer, kind = name.split(".")
            state[f"net.{layers[layer].split('.')[0]}.{layer}.{kind}"] = tensor
        else:  # torchmetrics has each head under two names
            state[name] = state[name.replace("lin", "lins.", 1)] = tensor
    network.load_state_dict(state)
    return network.requires_grad_(False)


def load_vgg16_features(
    folder: Path | None = None, device: torch.device | str = "cpu"
) -> Callable[[Tensor], list[Tensor]]:
    """VGG16's relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 at 224x224: what diversity compares frames by.

    Returns:
        A function of uint8 frames ``[N, 3, H, W]`` to five float32 tensors ``[N, C, h, w]`` on the CPU: 60 MB a frame
        in all, so give it few at a time.
    """
    from torchvision.models import vgg16

    tensors, _ = load_metric_weights("lpips_vgg16", folder)
    layers = vgg16(weights=None).features[:30]
    named = {name.removeprefix("features."): t for name, t in tensors.items() if name.startswith("features.")}
    layers.load_state_dict(named)
    layers = layers.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1)  # of ImageNet
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1)
    taps = (3, 8, 15, 22, 29)

    def features(frames: Tensor) -> list[Tensor]:
        if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(f"VGG16: expected uint8 frames [N, 3, H, W], got {frames.dtype} {list(frames.shape)}")
        with torch.no_grad(), full_precision():
            x = frames.to(device).float() / 255
            x = F.interpolate(x, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False, antialias=True)
            x = (x - mean) / deviation
            found = []
            for index, layer in enumerate(layers):
                x = layer(x)
                if index in taps:
                    found.append(x.cpu().contiguous().clone())  # the next layer's ReLU works in place
        return found

    return features


@contextmanager
def full_precision() -> Iterator[None]:
    """No TensorFloat-32 in convolutions: figures must not depend on the GPU's generation."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _for_inference(network: InceptionI3D, device: torch.device) -> InceptionI3D:
    return network.fuse().to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _kinetics_input(clips: Tensor) -> Tensor:
    """uint8 ``[N, T, 3, H, W]`` -> ``[N, 3, T, 224, 224]`` in [-1, 1], resized as the original FVD does."""
    resized = resize_legacy_bilinear(clips.float(), (INPUT_SIZE, INPUT_SIZE))
    return _channels_first(2 * resized / 255 - 1)


def dti3d_input(clips: Tensor, length: int) -> Tensor:
    """uint8 ``[N, T, 3, H, W]`` -> ``[N, 3, length, 224, 224]`` in [-1, 1], corners aligned.

    As DTFVD's authors do, a clip shorter than ``length`` frames is repeated three times and cut.
    """
    if clips.shape[1] < length:
        clips = clips.repeat(1, 3, 1, 1, 1)
    if clips.shape[1] < length:
        raise ValueError(f"clips of {clips.shape[1] // 3} frames are too short for a DTI3D of {length}")
    frames = from_8_bits(clips[:, :length].flatten(0, 1))
    resized = F.interpolate(frames, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=True)
    return _channels_first(resized.unflatten(0, (len(clips), length)))


def _channels_first(clips: Tensor) -> Tensor:
    return clips.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
