"""A trained LFDM: from one photo to a clip, from a photo and a clip to the photo moving alike, and reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from baselines.lfdm.config import LATENT_STRIDE, AutoencoderConfig, DiffusionConfig
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.networks.geometry import identity_grid, resize
from baselines.lfdm.networks.motion import LatentFlow
from common.checkpoint import build_fitting, load_checkpoint, save_checkpoint
from common.hashing import content_hash
from common.plain import from_plain

AUTOENCODER, DIFFUSION = "lfdm_autoencoder", "lfdm_diffusion"  # kinds of checkpoint
FRAMES_AT_ONCE = 16  # that are decoded together


@dataclass(frozen=True)
class Sampling:
    """How clips are sampled; what is None is as the model was trained."""

    steps: int | None = None
    sampler: str | None = None
    eta: float | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Animation:
    """Frames, and how the content at each pixel has been displaced since the first of them."""

    frames: Tensor  # [N, 3, H, W] in [0, 1]
    warped: Tensor  # [N, 3, H, W]: the photo under the flow, before anything is drawn
    displacement: Tensor  # [N, 2, H / 4, W / 4] in pixels of the frames, x right and y down
    occlusion: Tensor  # [N, 1, H / 4, W / 4] in [0, 1], 1 where the warped photo is trusted


class LFDM:
    """Both stages, or the first alone. Photos and frames have the size of the model and are in [0, 1]."""

    def __init__(self, autoencoder: FlowAutoencoder, diffusion: LatentFlowDiffusion | None = None) -> None:
        self.autoencoder = autoencoder.eval()
        self.diffusion = None if diffusion is None else diffusion.eval()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: torch.device | str = "cpu", *, sampling: bool = True) -> LFDM:
        """A run folder with ``autoencoder`` and, unless ``sampling`` is False, ``diffusion``.

        Raises:
            ValueError: in one line; a diffusion that was trained on another autoencoder among others.
        """
        autoencoder = load_autoencoder(Path(folder) / "autoencoder").to(device)
        if not sampling:
            return cls(autoencoder)
        return cls(autoencoder, load_diffusion(Path(folder) / "diffusion", autoencoder=autoencoder).to(device))

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of photos and frames."""
        return self.autoencoder.config.size

    @torch.no_grad()
    def animate(
        self,
        photo: Tensor,
        frames: int,
        *,
        generator: torch.Generator,
        condition: str | None = None,
        sampling: Sampling = Sampling(),
    ) -> Animation:
        """A clip of ``photo [1, 3, H, W]``, which is its first frame.

        A volume holds as many frames as the model was trained with. Longer clips go on from the last frame of the
        volume before, which is not in the paper.
        """
        if self.diffusion is None:
            raise ValueError("this LFDM has no diffusion stage to sample with")
        first = Animation(photo, photo, *self._rest(photo))
        parts, reference, base = [first], photo, first.displacement
        while sum(len(part.frames) for part in parts) < frames:
            features = self.autoencoder.encode(reference)
            flow = self.diffusion.sample(
                features.latent,
                generators=[generator],
                conditions=[condition],
                count=sampling.steps,
                sampler=sampling.sampler,
                eta=sampling.eta,
                guidance=sampling.guidance,
            )
            part = self._draw(reference, LatentFlow(flow.grid[1:], flow.occlusion[1:]))
            part = replace(part, displacement=part.displacement + base)
            parts.append(part)
            reference, base = part.frames[-1:], part.displacement[-1:]
        return _join(parts, frames)

    @torch.no_grad()
    def transfer(self, photo: Tensor, driving: Tensor, *, relative: bool = True) -> Animation:
        """The photo ``[1, 3, H, W]`` moving as a clip ``driving [T, 3, H, W]`` does.

        Args:
            relative: as of :meth:`FlowAutoencoder.transfer`.
        """
        parts = [
            self._draw(photo, self.autoencoder.transfer(photo, start=driving[:1], driving=frames, relative=relative))
            for frames in driving.split(FRAMES_AT_ONCE)
        ]
        return _join(parts, len(driving))

    @torch.no_grad()
    def reconstruct(self, frames: Tensor) -> Animation:
        """A clip ``[T, 3, H, W]`` drawn again from its first frame and the flow to each of them."""
        parts, regions = [], self.autoencoder.regions(frames[:1])
        for some in frames.split(FRAMES_AT_ONCE):
            flow = self.autoencoder.estimate(frames[:1].expand_as(some), some, source_regions=regions)
            parts.append(self._draw(frames[:1], flow))
        return _join(parts, len(frames))

    def _draw(self, photo: Tensor, flow: LatentFlow) -> Animation:
        features, drawn = self.autoencoder.encode(photo), []
        for grid, occlusion in zip(flow.grid.split(FRAMES_AT_ONCE), flow.occlusion.split(FRAMES_AT_ONCE), strict=True):
            drawn.append(self.autoencoder.decode(photo, features, LatentFlow(grid, occlusion)))
        frames, warped = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return Animation(frames, warped, displacement(flow.grid, self.size), flow.occlusion)

    def _rest(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        height, width = photo.shape[2] // LATENT_STRIDE, photo.shape[3] // LATENT_STRIDE
        return photo.new_zeros(1, 2, height, width), photo.new_ones(1, 1, height, width)


def _join(parts: Sequence[Animation], count: int) -> Animation:
    names = ("frames", "warped", "displacement", "occlusion")
    return Animation(*(torch.cat([getattr(part, name) for part in parts])[:count] for name in names))


def displacement(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels of a frame of ``size`` (W, H) by which the content at each pixel came here: ``[B, 2, h, w]``.

    A backward flow says where content comes from; to first order the forward motion of that content is its negative.
    """
    offsets = identity_grid(grid.shape[1], grid.shape[2], grid) - grid
    scale = grid.new_tensor([(size[0] - 1) / 2, (size[1] - 1) / 2])
    return (offsets * scale).permute(0, 3, 1, 2)


def full_size(displacement: Tensor, size: tuple[int, int]) -> Tensor:
    """Displacements at every pixel of frames of ``size`` (W, H), whose pixels they are in."""
    return resize(displacement, (size[1], size[0]))


# Checkpoints ----------------------------------------------------------------------------------------------------------


def save_autoencoder(folder: Path, model: FlowAutoencoder, training: Mapping[str, object]) -> None:
    """Write the first stage."""
    save_checkpoint(
        folder, AUTOENCODER, model_config=asdict(model.config), tensors=model.state_dict(), training=dict(training)
    )


def load_autoencoder(folder: Path) -> FlowAutoencoder:
    """The first stage of a folder, in evaluation mode."""
    config, tensors = load_checkpoint(folder, AUTOENCODER)
    configured = from_plain(AutoencoderConfig, config["model"], str(Path(folder) / "config.json"), key="model")
    return build_fitting(lambda: FlowAutoencoder(configured), tensors, folder).eval()


def save_diffusion(
    folder: Path, model: LatentFlowDiffusion, training: Mapping[str, object], *, autoencoder: FlowAutoencoder
) -> None:
    """Write the second stage, with the hash of the first stage that it belongs to."""
    described = {"diffusion": asdict(model.config), "autoencoder": content_hash(autoencoder.state_dict())}
    save_checkpoint(folder, DIFFUSION, model_config=described, tensors=model.state_dict(), training=dict(training))


def load_diffusion(folder: Path, *, autoencoder: FlowAutoencoder) -> LatentFlowDiffusion:
    """The second stage of a folder, in evaluation mode.

    Raises:
        ValueError: it was trained on another autoencoder.
    """
    config, tensors = load_checkpoint(folder, DIFFUSION)
    where = str(Path(folder) / "config.json")
    described = from_plain(_Described, config["model"], where, key="model")
    if described.autoencoder != content_hash(autoencoder.state_dict()):
        raise ValueError(f"{folder}: was trained on another autoencoder than the one beside it; train it again")
    channels = latent_channels(autoencoder.config)
    return build_fitting(lambda: LatentFlowDiffusion(described.diffusion, channels), tensors, folder).eval()


@dataclass(frozen=True)
class _Described:
    """What the second stage's ``config.json`` says of the model."""

    diffusion: DiffusionConfig
    autoencoder: str  # hash of the first stage's weights


def latent_channels(config: AutoencoderConfig) -> int:
    """Channels of the features that the diffusion is given."""
    return 4 * config.generator_channels  # doubled by each of two halvings
