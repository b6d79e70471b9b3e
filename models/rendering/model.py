"""The renderer: a photograph and its motion become frames (paper section 5, "image-based rendering").

A feature pyramid of the source is splatted level by level with the flow resized *and rescaled* to that level, and a
GridNet turns the splatted levels into the frame. The source is encoded once; each frame costs splatting and the grid:

    pyramid = model.encode(image)
    frames = model.render(pyramid, flows, importance)

With ``output="residual"`` (all presets but ``reference``) the network does not paint the frame. It starts from the
softmax-splatted image, may take the image resampled along the inverted flow in its place (sharp where splatting
blurs, without gaps where a region grows) and adds a residual. Its finest detail then gives way to that of the resampled
image, which motion does not wear down, but in gaps. All corrections fade to nothing where nothing moves, so still
regions stay the photograph to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.checkpoint import build_fitting, load_checkpoint, save_checkpoint
from common.plain import from_plain
from models.precision import has_fast_bfloat16
from models.rendering.config import FrameSynthesisConfig
from models.rendering.grid_net import FLOW_UNIT, FeaturePyramid, GridNet, ImportanceNet
from models.rendering.warping import (
    fill_holes,
    finer,
    high_band,
    magnitude,
    refine_inverse,
    resample_finely,
    solid,
    trust_in,
)
from models.spectral_volume import resize_motion
from models.splatting import SplatPlan, plan_splat

KIND = "frame_synthesis"
STILL_PIXELS = 0.25  # displacement in pixels below which corrections fade out; splatting blurs little there


class Moved(NamedTuple):
    """What splatting says of the frames."""

    splatted: Tensor  # [N, 3, H, W] the image
    inverse_flow: Tensor  # [N, 2, H, W] in pixels, at the target, refined
    coverage: Tensor  # [N, 1, H, W] what landed on each pixel
    certain: Tensor  # [N, 1, H, W] that bounded to [0, 1], with a margin around gaps


class FrameSynthesisModel(nn.Module):
    """Renders frames from one photograph and the displacement of its pixels.

    Images are ``[B, 3, H, W]`` in [-1, 1], flows ``[N, 2, H, W]`` in pixels from the photograph to the frame (x right,
    y down). Any H and W will do: sizes are padded inside to what the pyramid needs.

    With ``mix="resampled"`` the network decides for each pixel between the splatted and the resampled image; with
    ``mix="all"`` the photograph itself may come in as well, and the network says how much of the finest detail is to be
    exchanged, all of it before training. With ``finest=2`` the grid works at half size, on squares of four pixels.

    Attributes:
        precision: ``auto`` runs convolutions in bfloat16 where the hardware does so faster, ``float32`` never does.
            Splatting and the sum that makes the frame are float32 always.
    """

    def __init__(self, config: FrameSynthesisConfig) -> None:
        super().__init__()
        self.config = config
        self.precision = "auto"
        self.encoder = FeaturePyramid(config.channels, config.activation, finest=config.finest)
        # What each grid row sees: splatted features and coverage; the first row, in residual mode, also the splatted,
        # the resampled and the unmoved image and the inverse flow. Where that row is smaller than the frame, its
        # channels hold all pixels of the frame, and the full-size coverage too.
        folded = config.finest**2
        inputs = [channels + 1 for channels in config.channels]
        if config.output == "residual":
            inputs[0] += 11 if folded == 1 else 12 * folded
        self.grid = GridNet(inputs, config.channels, config.columns, config.activation)
        # A pixel's color or residual, and what it is mixed of: the resampled image, the photo, the share of detail.
        outputs = 3 + (0 if config.output == "direct" else 1 if config.mix == "resampled" else 3)
        self.head = nn.Conv2d(config.channels[0], folded * outputs, 3, padding=1)
        if config.output == "residual":
            for parameter in self.head.parameters():
                nn.init.zeros_(parameter)
        if config.importance == "learned":
            self.importance_net = ImportanceNet(config.channels, config.activation)
        else:
            self.importance_scale = nn.Parameter(torch.ones(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, image: Tensor) -> list[Tensor]:
        """``[B, 3, H, W]`` -> padded image, the same made finer, and each level's features; to render from, often."""
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(f"expected an image [B, 3, H, W], got shape {tuple(image.shape)}")
        image = self._pad(image).contiguous(memory_format=torch.channels_last)
        with self._autocast(image.device):
            features = self.encoder(image)
        fine = finer(image) if self.config.output == "residual" else image
        return [image, fine, *(level.to(image.dtype) for level in features)]

    def render(self, pyramid: Sequence[Tensor], flow: Tensor, importance: Tensor | None = None) -> Tensor:
        """Frames of an encoded photograph.

        Args:
            pyramid: what :meth:`encode` returned for one image, or for N images that go with the N flows.
            flow: ``[N, 2, H, W]`` of the image's size.
            importance: ``[1 | N, 1, H, W]``, mean over time of the displacement's magnitude in pixels; without it the
                magnitude of ``flow`` itself stands in. A model with learned importance ignores it.

        Returns:
            ``[N, 3, H, W]`` in [-1, 1] (not clamped while training).
        """
        height, width = flow.shape[-2:]
        image, fine, *features = pyramid
        flow = self._pad(flow)
        if flow.shape[2:] != image.shape[2:]:
            raise ValueError(f"a flow of {width}x{height} doesn't fit the encoded image")
        importance = self._importance(features[0], flow, importance)
        plan = plan_splat(flow, importance)
        splatted, levels = self._splat(plan, image, features, flow, importance)
        if self.config.output == "direct":
            frame = self._network([], levels, plan.coverage).to(image.dtype)
        else:
            certain = solid(plan.coverage)
            inverse_flow = refine_inverse(flow, fill_holes(plan(flow), plan.coverage), certain)
            moved = Moved(splatted, inverse_flow, plan.coverage, certain)
            frame = self._correct(image, fine, levels, moved)
        frame = frame if self.training else frame.clamp(-1, 1)
        return frame[:, :, :height, :width]

    def forward(self, source: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
        """Encode and render in one go: the training step's form."""
        return self.render(self.encode(source), flow, importance)

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: dict | None = None) -> FrameSynthesisModel:
        """Load a checkpoint folder strictly, ready for rendering; ``config`` if it is read already."""
        config, tensors = load_checkpoint(folder, KIND, config)
        configured = from_plain(FrameSynthesisConfig, config["model"], f"{Path(folder) / 'config.json'}", key="model")
        return build_fitting(lambda: cls(configured), tensors, folder).eval()

    def save_pretrained(
        self, folder: str | Path, training: dict | None = None, dtype: torch.dtype | None = None
    ) -> None:
        """Write a checkpoint folder; ``dtype=torch.float16`` halves its size."""
        save_checkpoint(
            Path(folder),
            KIND,
            model_config=asdict(self.config),
            tensors=self.state_dict(),
            training=training or {},
            dtype=dtype,
        )

    def _splat(
        self, plan: SplatPlan, image: Tensor, features: list[Tensor], flow: Tensor, importance: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The splatted image; each level's splatted features and coverage. ``plan`` is that of the full size."""
        whole = features[:1] if self.config.finest == 1 else []  # of the frame's own size
        splatted, *moved = plan(torch.cat([image, *whole], dim=1)).split([3, *(f.shape[1] for f in whole)], dim=1)
        levels = [_with_coverage(values, plan) for values in moved]
        for values in features[len(whole) :]:
            size = (values.shape[2], values.shape[3])
            smaller = plan_splat(resize_motion(flow, size), F.interpolate(importance, size=size, mode="area"))
            levels.append(_with_coverage(smaller(values), smaller))
        return splatted, levels

    def _correct(self, image: Tensor, fine: Tensor, levels: list[Tensor], moved: Moved) -> Tensor:
        """The splatted image, mixed with others as the network says, its residual, and detail."""
        trust = trust_in(moved.coverage)
        resampled = resample_finely(fine, moved.inverse_flow)
        splatted = torch.where(trust == 1, moved.splatted, torch.lerp(resampled, moved.splatted, trust))
        source = image.expand(len(splatted), -1, -1, -1)
        context = [splatted, resampled, source, moved.inverse_flow / FLOW_UNIT]
        correction = self._network(context, levels, moved.coverage).to(image.dtype)
        frame = splatted + correction[:, 3:4] * (resampled - splatted) + correction[:, :3]
        detail = moved.certain
        if self.config.mix == "all":
            frame = frame + correction[:, 4:5] * (source - splatted)
            detail = detail * (1 + correction[:, 5:6])
        detailed = frame + detail * high_band(resampled - frame)
        still = 1 - (magnitude(moved.inverse_flow) / STILL_PIXELS).clamp_max(1)
        return torch.lerp(detailed, splatted, trust * still)

    def _network(self, context: list[Tensor], levels: list[Tensor], coverage: Tensor) -> Tensor:
        """What the head says of each pixel, ``[N, 3 | 4 | 6, H, W]``, from full-size images and levels of features."""
        with self._autocast(coverage.device):
            if self.config.finest > 1:
                context = [F.pixel_unshuffle(torch.cat([*context, _bounded(coverage)], dim=1), self.config.finest)]
            first = torch.cat([levels[0], *context], dim=1)
            return F.pixel_shuffle(self.head(self.grid([first, *levels[1:]])), self.config.finest)

    def _importance(self, features: Tensor, flow: Tensor, importance: Tensor | None) -> Tensor:
        if self.config.importance == "learned":
            with self._autocast(flow.device):
                return self.importance_net(features, flow).float()
        return self.importance_scale * (magnitude(flow) if importance is None else self._pad(importance))

    def _pad(self, tensor: Tensor) -> Tensor:
        """Repeat the last row and column until both sides are a multiple of what the pyramid divides by."""
        multiple = self.config.finest * 2 ** (len(self.config.channels) - 1)
        height, width = tensor.shape[-2:]
        down, right = -height % multiple, -width % multiple
        return F.pad(tensor, (0, right, 0, down), mode="replicate") if down or right else tensor

    def _autocast(self, device: torch.device) -> torch.autocast:
        enabled = self.precision == "auto" and has_fast_bfloat16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _with_coverage(values: Tensor, plan: SplatPlan) -> Tensor:
    """Splatted features ``[N, C, H, W]`` with the coverage that tells how far they can be trusted."""
    return torch.cat([values, _bounded(plan.coverage)], dim=1)


def _bounded(coverage: Tensor) -> Tensor:
    return coverage.clamp_max(2.0)
