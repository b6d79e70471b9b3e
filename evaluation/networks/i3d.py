"""The Inception-v1 I3D (Carreira & Zisserman 2017): the network of FVD, and of DTFVD with other weights.

Kinetics-400 weights (DeepMind's `rgb_imagenet`) make the network of the original FVD (Unterthiner et al. 2018), whose
features are the 400 logits. DTI3D (Dorkenwald et al. 2021) is the same network with learned scales in its batch
normalisation and 18 classes of dynamic textures; its features are the 1024 pooled activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 224
FEATURE_CHANNELS = 1024
BATCH_NORM_EPSILON = 1e-3  # of Sonnet's BatchNorm, which the published weights were trained with

# Output channels of each block's branches: 1x1x1 | 1x1x1 -> 3x3x3 | 1x1x1 -> 3x3x3 | max pooling -> 1x1x1.
_MIXED_CHANNELS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Max pooling before a block: (window, stride), each (time, height, width).
_POOLING = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
# Names in the original checkpoint -> names in PyTorch.
_BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
    "Logits/Conv3d_0c_1x1": "logits",
}
_TENSORS = {
    "w": "conv3d.weight",
    "b": "conv3d.bias",
    "beta": "bn.bias",
    "mean": "bn.running_mean",
    "var": "bn.running_var",
}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis: zeros (before, after), the odd one after.

    ``total = max((ceil(size / stride) - 1) * stride + kernel - size, 0)``.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[Tensor, list[int]]:
    """``[B, C, T, H, W]`` with what is asymmetric of its SAME padding in place, and the padding left to the operator.

    Max pooling must not see its padding: every pooled tensor here comes out of a ReLU, so that a zero never wins.
    """
    padding = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    if all(before == after for before, after in padding):
        return x, [before for before, _ in padding]
    return F.pad(x, [amount for axis in reversed(padding) for amount in axis]), [0, 0, 0]


def _max_pool_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    x, padding = _pad_same(x, kernel, stride)
    return F.max_pool3d(x, kernel, stride, padding)


class Unit3D(nn.Module):
    """Convolution with SAME padding, batch normalisation and ReLU; the logits have a bias in place of the last two."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        logits: bool = False,  # the last layer: bias, no normalisation, no activation
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=logits)
        self.bn = None if logits else nn.BatchNorm3d(out_channels, eps=BATCH_NORM_EPSILON)
        self.activated = not logits

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        x, padding = _pad_same(x, conv.kernel_size, conv.stride)
        x = F.conv3d(x, conv.weight, conv.bias, conv.stride, padding)
        if self.bn is not None:
            x = self.bn(x)
        return F.relu(x, inplace=True) if self.activated else x

    def fuse(self) -> None:
        """Fold the normalisation into the convolution, in float64: the same function in less time."""
        if self.bn is None:
            return
        norm, conv = self.bn, self.conv3d
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()  # type: ignore[union-attr]
        bias = norm.bias.double() - norm.running_mean.double() * scale  # type: ignore[union-attr]
        conv.weight.data = (conv.weight.double() * scale.view(-1, 1, 1, 1, 1)).to(conv.weight.dtype)
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
        self.bn = None


class InceptionBlock(nn.Module):
    """Four branches side by side (paper Fig. 3, right)."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit3D(in_channels, channels[0])
        self.b1a = Unit3D(in_channels, channels[1])
        self.b1b = Unit3D(channels[1], channels[2], 3)
        self.b2a = Unit3D(in_channels, channels[3])
        self.b2b = Unit3D(channels[3], channels[4], 3)
        self.b3b = Unit3D(in_channels, channels[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = _max_pool_same(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class InceptionI3D(nn.Module):
    """I3D from clips to logits or pooled features; tensors are named as in the usual PyTorch checkpoints.

    Args:
        num_classes: 400 for Kinetics, 18 for the Dynamic Textures Database.
        pooled_frames: frames of the final average pooling's window, which is ``[pooled_frames, 7, 7]``.
    """

    def __init__(self, num_classes: int = 400, pooled_frames: int = 2) -> None:
        super().__init__()
        self.pooled_frames = pooled_frames
        self.Conv3d_1a_7x7 = Unit3D(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, 3)
        channels = 192
        for name, widths in _MIXED_CHANNELS.items():
            self.add_module(name, InceptionBlock(channels, widths))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = Unit3D(FEATURE_CHANNELS, num_classes, logits=True)
        self.eval().requires_grad_(False)

    def forward(self, clips: Tensor) -> Tensor:
        """``[B, 3, T, 224, 224]`` in [-1, 1] -> logits ``[B, num_classes]``, their mean over the remaining time."""
        return self.logits(self._pooled(clips)).mean(dim=(2, 3, 4))

    def features(self, clips: Tensor) -> Tensor:
        """``[B, 3, T, 224, 224]`` in [-1, 1] -> ``[B, 1024]``: what the logits are computed from, mean over time."""
        return self._pooled(clips).mean(dim=(2, 3, 4))

    def fuse(self) -> InceptionI3D:
        """Fold every batch normalisation into its convolution; the state dict is of no use to others afterwards."""
        for module in self.modules():
            if isinstance(module, Unit3D):
                module.fuse()
        return self

    def _pooled(self, clips: Tensor) -> Tensor:
        if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[-2:] != (INPUT_SIZE, INPUT_SIZE):
            raise ValueError(f"expected clips [B, 3, T, {INPUT_SIZE}, {INPUT_SIZE}], got {tuple(clips.shape)}")
        x = clips
        for name, module in self.named_children():
            if name == "logits":
                break
            if name in _POOLING:
                x = _max_pool_same(x, *_POOLING[name])
            x = module(x)
        if x.shape[2] < self.pooled_frames:
            raise ValueError(f"clips of {clips.shape[2]} frames are too short: this I3D needs {self.least_frames}")
        return F.avg_pool3d(x, (self.pooled_frames, 7, 7), stride=1)

    @property
    def least_frames(self) -> int:
        """Frames of the shortest clip: the network halves time three times, rounding up."""
        return 8 * (self.pooled_frames - 1) + 1


def from_kinetics_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of `InceptionI3D` from tensors by the original checkpoint's names.

    ``<unit>.w``, ``.beta``, ``.mean``, ``.var`` and, for the logits, ``.b``; ``<unit>`` is such as ``Conv3d_1a_7x7`` or
    ``Mixed_3b.Branch_1/Conv3d_0b_3x3``. That normalisation has no scale, which is a scale of one here.
    """
    state = {}
    for name, tensor in tensors.items():
        unit, _, kind = name.rpartition(".")
        block, _, branch = unit.rpartition(".")
        branch = _BRANCHES.get(branch, branch)
        target = f"{block}.{branch}" if block else branch
        state[f"{target}.{_TENSORS.get(kind, kind)}"] = tensor
        if kind == "beta":
            state[f"{target}.bn.weight"] = torch.ones_like(tensor)
    return state


def load_i3d_state(network: InceptionI3D, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict by PyTorch's names strictly; a one-line `ValueError` names ``source`` where it doesn't fit."""
    counters = "num_batches_tracked"  # of training; checkpoints may or may not have them
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(counters)}
    given = {name: tensor for name, tensor in state.items() if not name.endswith(counters)}
    for name in [*expected, *given]:
        shapes = [tuple(tensors[name].shape) if name in tensors else None for tensors in (expected, given)]
        if shapes[0] != shapes[1]:
            wanted, found = (shape if shape is not None else "no such tensor" for shape in shapes)
            raise ValueError(f"{source}: not this I3D's weights, {name} is {found} instead of {wanted}")
    network.load_state_dict(given, strict=False)


def resize_legacy_bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """TensorFlow 1's ``resize_bilinear(align_corners=False)``: pixel i of the output lies at ``i * in / out``.

    It has no half-pixel offset and no antialiasing, unlike `torch.nn.functional.interpolate`.

    Args:
        images: float ``[..., H, W]``.
        size: (height, width) of the result.
    """
    for axis, target in ((-1, size[1]), (-2, size[0])):
        length = images.shape[axis]
        position = torch.arange(target, dtype=torch.float32, device=images.device) * (length / target)
        low = position.long().clamp_max(length - 1)
        high = (low + 1).clamp_max(length - 1)
        fraction = (position - low).to(images.dtype)
        if axis == -2:
            fraction = fraction[:, None]
        first = images.index_select(axis, low)
        images = first + (images.index_select(axis, high) - first) * fraction
    return images
