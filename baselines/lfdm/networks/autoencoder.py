"""The latent flow autoencoder: one frame drawn from another frame's features, warped by the flow between them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from baselines.lfdm.config import AutoencoderConfig
from baselines.lfdm.networks.blocks import ConvBlock, DownBlock, ResidualBlock, UpBlock
from baselines.lfdm.networks.geometry import resize, warp
from baselines.lfdm.networks.motion import (
    BackgroundPredictor,
    DenseFlowPredictor,
    FlowPredictor,
    LatentFlow,
    RegionPredictor,
    Regions,
    moved_regions,
    set_to_zero,
)


@dataclass(frozen=True)
class Features:
    """What the encoder keeps of a frame: ``levels[i]`` is ``[B, C << i, H >> i, W >> i]``, the last one the latent."""

    levels: tuple[Tensor, Tensor, Tensor]

    @property
    def latent(self) -> Tensor:
        """``[B, 4 C, H / 4, W / 4]``: what the diffusion sees of the photo."""
        return self.levels[-1]

    def expand(self, count: int) -> Features:
        """Features of one frame for ``count`` frames."""
        first, second, third = (level.expand(count, -1, -1, -1) for level in self.levels)
        return Features((first, second, third))


class Encoder(nn.Module):
    """Frame ``[B, 3, H, W]`` -> its features."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        channels = config.generator_channels
        self.first = ConvBlock(3, channels, kernel=7)
        self.down1, self.down2 = DownBlock(channels, 2 * channels), DownBlock(2 * channels, 4 * channels)

    def forward(self, frames: Tensor) -> Features:
        first = self.first(frames)
        second = self.down1(first)
        return Features((first, second, self.down2(second)))


class Decoder(nn.Module):
    """Features of the source under a flow -> the frame. Where the flow is not trusted, it is drawn anew."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        channels = config.generator_channels
        self.padding, self.corrects = config.padding, config.start == "source"
        self.residual = nn.Sequential(*(ResidualBlock(4 * channels) for _ in range(config.residual_blocks)))
        self.up1, self.up2 = UpBlock(4 * channels, 2 * channels), UpBlock(2 * channels, channels)
        self.final = nn.Conv2d(channels, 3, 7, padding=3)
        if self.corrects:
            set_to_zero(self.final)

    def forward(self, source: Tensor, features: Features, flow: LatentFlow) -> tuple[Tensor, Tensor]:
        """Source ``[B, 3, H, W]``, its features, flow -> the frame and the source under the flow, ``[B, 3, H, W]``."""
        first, second, latent = (warp(level, flow.grid, padding=self.padding) for level in features.levels)
        x = self.residual(_trust(flow, latent) * latent)
        x = self.up1(_blend(flow, latent, x))
        x = self.up2(_blend(flow, second, x))
        painted = self.final(_blend(flow, first, x))
        warped = warp(source, flow.grid, padding=self.padding)
        if not self.corrects:
            return _blend(flow, warped, painted.sigmoid()), warped
        drawn = _blend(flow, warped, warped + painted)
        # In training the sum is left as it is: cut off, what is too bright or too dark would have no gradient.
        return (drawn if self.training else drawn.clamp(0, 1)), warped


def _trust(flow: LatentFlow, like: Tensor) -> Tensor:
    return resize(flow.occlusion, (like.shape[2], like.shape[3])).to(like.dtype)


def _blend(flow: LatentFlow, warped: Tensor, drawn: Tensor) -> Tensor:
    trust = _trust(flow, warped)
    return trust * warped + (1 - trust) * drawn


class FlowAutoencoder(nn.Module):
    """The networks of the first stage. Frames are float ``[B, 3, H, W]`` in [0, 1].

    With ``config.motion`` of ``dense`` there are no regions, and flow is a function of the two frames alone.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        if config.motion == "regions":
            self.region_predictor = RegionPredictor(config)
            self.background_predictor = BackgroundPredictor(config)
            self.flow_predictor = FlowPredictor(config)
        else:
            self.dense_predictor = DenseFlowPredictor(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self._fixed: tuple[nn.Module, ...] = ()

    def fix_all_but_decoder(self) -> None:
        """Adapt to other pictures by the decoder alone: what finds and encodes motion stays, its statistics too."""
        self._fixed = tuple(part for part in self.children() if part is not self.decoder)
        for part in self._fixed:
            part.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FlowAutoencoder:
        """Training mode, but for parts that are fixed."""
        super().train(mode)
        for part in self._fixed:
            part.eval()
        return self

    def regions(self, frames: Tensor) -> Regions | None:
        """Regions of frames ``[B, 3, H, W]``, where the model has regions."""
        return self.region_predictor(frames) if self.config.motion == "regions" else None

    def estimate(
        self,
        source: Tensor,
        driving: Tensor,
        *,
        source_regions: Regions | None = None,
        driving_regions: Regions | None = None,
    ) -> LatentFlow:
        """The flow from ``source`` to ``driving``, ``[B, 3, H, W]`` each; regions are found unless they are given.

        Regions of fewer sources each serve the same number of frames in turn.
        """
        if self.config.motion == "dense":
            return self.dense_predictor(source, driving)
        source_regions = source_regions or self.region_predictor(source)
        source_regions = source_regions.repeat(len(source) // len(source_regions.mean))
        driving_regions = driving_regions or self.region_predictor(driving)
        background = self.background_predictor(source, driving)
        return self.flow_predictor(source, source_regions, driving_regions=driving_regions, background=background)

    def transfer(self, photo: Tensor, *, start: Tensor, driving: Tensor, relative: bool) -> LatentFlow:
        """The flow that moves a photo as a clip does.

        Args:
            photo, start: ``[1, 3, H, W]``, the latter the clip's first frame.
            driving: ``[B, 3, H, W]``, later frames of it.
            relative: take over how things move since the first frame; else the regions come to where they are in
                the clip, and dense flow leads from the photo to the frames themselves.
        """
        photos, starts = photo.expand_as(driving), start.expand_as(driving)
        source, regions = self.regions(photo), self.regions(driving)
        if source is None or regions is None:
            return self.estimate(starts if relative else photos, driving)
        if relative:
            regions = moved_regions(source, start=self.region_predictor(start), now=regions)
        background = self.background_predictor(starts if relative else photos, driving)
        source = source.repeat(len(driving))
        return self.flow_predictor(photos, source, driving_regions=regions, background=background)

    def encode(self, frames: Tensor) -> Features:
        """Features of frames ``[B, 3, H, W]``."""
        return self.encoder(frames)

    def decode(self, source: Tensor, features: Features, flow: LatentFlow) -> tuple[Tensor, Tensor]:
        """Frames, and the source merely warped, ``[B, 3, H, W]``; a source of one frame serves all flows."""
        count = len(flow.grid)
        if len(source) == 1 and count > 1:
            source, features = source.expand(count, -1, -1, -1), features.expand(count)
        return self.decoder(source, features, flow)
