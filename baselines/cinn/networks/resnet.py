"""3D residual networks of 18 layers: the video encoder and the temporal discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd, prod

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from baselines.cinn.config import DiscriminatorConfig, VideoConfig
from baselines.lucas_kanade import lucas_kanade

DIRECT = 0.3  # standard deviation of the weights that lead from flow to a code before training
NARROW = -9.0  # log-variance of such a code; noise as wide as the code would hide what it says
GROUPS = 16  # of group normalisation, fewer where they do not divide the channels

Wrap = Callable[[nn.Conv3d], nn.Module]


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """Group normalisation with as many of :data:`GROUPS` groups as divide the channels."""
    return nn.GroupNorm(gcd(GROUPS, channels), channels, affine=affine)


def convolution(before: int, after: int, stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    """3x3x3 convolution without bias that keeps the size but for its stride."""
    return nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """``relu(skip(x) + norm(conv(relu(norm(conv(x))))))``; the skip is a convolution where shape or width change."""

    def __init__(self, before: int, after: int, stride: tuple[int, int, int], wrap: Wrap) -> None:
        super().__init__()
        self.conv1, self.norm1 = wrap(convolution(before, after, stride)), group_norm(after)
        self.conv2, self.norm2 = wrap(convolution(after, after)), group_norm(after)
        self.skip: nn.Module = nn.Identity()
        if before != after or stride != (1, 1, 1):
            self.skip = nn.Sequential(wrap(convolution(before, after, stride)), group_norm(after))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(y)))


def residual_stages(
    channels: Sequence[int],
    *,
    space: Sequence[int],
    time: Sequence[int],
    wraps: tuple[Wrap, Wrap],
) -> nn.ModuleList:
    """Four stages of two blocks each.

    Args:
        channels: of the stem and of each stage.
        space: stride in space of each stage's first block.
        time: stride in time of each stage's first block.
        wraps: what is done to the convolutions of each stage's first and second block.
    """
    stages = nn.ModuleList()
    for before, after, s, t in zip(channels, channels[1:], space, time, strict=False):
        first = ResidualBlock(before, after, (t, s, s), wraps[0])
        stages.append(nn.Sequential(first, ResidualBlock(after, after, (1, 1, 1), wraps[1])))
    return stages


def fan_out(convolution: nn.Conv3d) -> nn.Module:
    """The convolution, initialised for rectifiers by its outputs."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def orthogonal(convolution: nn.Conv3d) -> nn.Module:
    """The convolution, initialised with an orthogonal matrix."""
    nn.init.orthogonal_(convolution.weight)
    return convolution


def normalised(convolution: nn.Conv3d) -> nn.Module:
    """The same with spectral normalisation."""
    return spectral_norm(orthogonal(convolution))


class VideoEncoder(nn.Module):
    """q(z | X): mean and logarithm of the variance of a clip's code (section 3.1 of the paper's supplement).

    One that sees flow (``config.encoder_sees``) is given the optical flow from the photo to each frame in place of the
    frames, and adds to the mean a linear map of the flow averaged over the cells of the base map: motion that is a
    fraction of a pixel is next to nothing in frames, and what a code says of it has to be there from the beginning for
    the decoder to learn from it.
    """

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config = config
        channels, sees_flow = config.encoder_channels, config.encoder_sees == "flow"
        inputs = 2 if sees_flow else 3
        self.stem = fan_out(nn.Conv3d(inputs, channels[0], (3, 7, 7), stride=2, padding=(1, 3, 3), bias=False))
        self.norm = group_norm(channels[0])
        self.stages = residual_stages(
            channels, space=config.encoder_space, time=config.encoder_time, wraps=(fan_out, fan_out)
        )
        self.mean = nn.Conv2d(channels[-1], config.code, config.base)
        self.log_variance = nn.Conv2d(channels[-1], config.code, config.base)
        self.direct: nn.Linear | None = None
        if sees_flow:
            self.direct = nn.Linear(2 * config.frames * prod(config.base), config.code, bias=False)
            nn.init.normal_(self.direct.weight, std=DIRECT)
            nn.init.constant_(self.log_variance.bias, NARROW)  # type: ignore[arg-type]

    def forward(self, clip: Tensor, photo: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames that follow the photo, ``[B, T, 3, H, W]`` in [-1, 1] -> mean and log-variance, ``[B, code]`` each.

        Args:
            photo: ``[B, 3, H, W]``, which an encoder that sees flow needs; one that sees frames takes no notice of it.

        Raises:
            ValueError: another number of frames or another size than the configuration's, or no photo where one is
                needed.
        """
        width, height = self.config.size
        expected = (self.config.frames, 3, height, width)
        if clip.ndim != 5 or clip.shape[1:] != expected:
            raise ValueError(f"the video encoder takes clips [B, {', '.join(map(str, expected))}], got {[*clip.shape]}")
        seen = clip if self.direct is None else self._flow(clip, photo)
        x = F.relu(self.norm(self.stem(seen.transpose(1, 2))))
        for stage in self.stages:
            x = stage(x)
        x = x.squeeze(2)  # [B, C, h, w]: one moment is left
        mean = self.mean(x).flatten(1)
        if self.direct is not None:
            cells = F.adaptive_avg_pool2d(seen.flatten(0, 1), self.config.base)
            mean = mean + self.direct(cells.view(len(clip), -1))
        return mean, self.log_variance(x).flatten(1)

    def _flow(self, clip: Tensor, photo: Tensor | None) -> Tensor:
        """Backward flow from the photo to each frame, ``[B, T, 2, H, W]``, in units of half a pixel."""
        if photo is None:
            raise ValueError("this video encoder sees flow and needs the photo beside the clip")
        photos = photo[:, None].expand_as(clip).flatten(0, 1)
        flow = lucas_kanade((photos + 1) / 2, (clip.flatten(0, 1) + 1) / 2)
        return 2 * flow.unflatten(0, clip.shape[:2])


class TemporalDiscriminator(nn.Module):
    """Judges how neighbouring frames move; its stages' outputs serve feature matching as well."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = config.temporal_channels
        # The published code normalises the first block of each stage alone, by mistake.
        wraps = (normalised, normalised if config.spectral == "all" else orthogonal)
        self.stem = wraps[1](nn.Conv3d(3, channels[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False))
        self.norm = group_norm(channels[0])
        self.pool = nn.MaxPool3d(3, stride=(1, 2, 2), padding=1)
        self.stages = residual_stages(channels, space=config.temporal_space, time=config.temporal_time, wraps=wraps)
        self.head = nn.Linear(channels[-1], 1, bias=False)

    def forward(self, clip: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``[B, T, 3, H, W]`` -> logits ``[B]`` and the outputs of the four stages, ``[B, C, t, h, w]`` each."""
        x = self.pool(F.relu(self.norm(self.stem(clip.transpose(1, 2)))))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.head(x.mean(dim=(2, 3, 4))).squeeze(1), features
