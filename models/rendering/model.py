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
from models.splatting import plan_splat

KIND = "frame_synthesis"
STILL_PIXELS = 0.25  # displacement in pixels below which corrections fade out; splatting blurs little there


class FrameSynthesisModel(nn.Module):
    """Renders frames from one photograph and the displacement of its pixels.

    Images are ``[B, 3, H, W]`` in [-1, 1], flows ``[N, 2, H, W]`` in pixels from the photograph to the frame (x right,
    y down). Any H and W will do: sizes are padded inside to what the pyramid needs.

    Attributes:
        precision: ``auto`` runs convolutions in bfloat16 where the hardware does so faster, ``float32`` never does.
            Splatting and the sum that makes the frame are float32 always.
    """

    def __init__(self, config: FrameSynthesisConfig) -> None:
        super().__init__()
        self.config = config
        self.precision = "auto"
        self.encoder = FeaturePyramid(config.channels, config.activation)
        # What each grid row sees: splatted features and coverage; the full-size row, in residual mode, also the
        # splatted, the resampled and the unmoved image and the inverse flow.
        inputs = [channels + 1 for channels in config.channels]
        inputs[0] += 11 if config.output == "residual" else 0
        self.grid = GridNet(inputs, config.channels, config.columns, config.activation)
        self.head = nn.Conv2d(config.channels[0], 4 if config.output == "residual" else 3, 3, padding=1)
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
        levels, splatted, inverse_flow = self._splat_levels(image, features, flow, importance)
        if self.config.output == "direct":
            with self._autocast(flow.device):
                frame = self.head(self.grid(levels)).to(image.dtype)
        else:
            frame = self._correct(image, fine, levels, splatted=splatted, inverse_flow=inverse_flow)
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

    def _splat_levels(
        self, image: Tensor, features: list[Tensor], flow: Tensor, importance: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Each level's splatted features and coverage; the splatted image, filled; the inverse flow, filled."""
        levels, splatted, inverse_flow = [], image, flow
        for level, values in enumerate(features):
            size = values.shape[2:]
            level_importance = importance if level == 0 else F.interpolate(importance, size=size, mode="area")
            plan = plan_splat(resize_motion(flow, (size[0], size[1])), level_importance)
            if level == 0:
                splatted, moved = plan(torch.cat([image, values], dim=1)).split([3, values.shape[1]], dim=1)
                inverse_flow = fill_holes(plan(flow), plan.coverage)
                if self.config.output == "residual":
                    inverse_flow = refine_inverse(flow, inverse_flow, solid(plan.coverage))
            else:
                moved = plan(values)
            levels.append(torch.cat([moved, plan.coverage.clamp_max(2.0)], dim=1))
        return levels, splatted, inverse_flow

    def _correct(
        self, image: Tensor, fine: Tensor, levels: list[Tensor], *, splatted: Tensor, inverse_flow: Tensor
    ) -> Tensor:
        """The splatted image with the network's choice between it and the resampled one, its residual, and detail."""
        coverage = levels[0][:, -1:]
        trust = trust_in(coverage)
        resampled = resample_finely(fine, inverse_flow)
        splatted = torch.where(trust == 1, splatted, torch.lerp(resampled, splatted, trust))
        source = image.expand(len(inverse_flow), -1, -1, -1)
        context = [levels[0], splatted, resampled, source, inverse_flow / FLOW_UNIT]
        with self._autocast(image.device):
            correction = self.head(self.grid([torch.cat(context, dim=1), *levels[1:]]))
        residual, choice = correction.to(image.dtype).split([3, 1], dim=1)
        frame = splatted + choice * (resampled - splatted) + residual
        detailed = frame + solid(coverage) * high_band(resampled - frame)
        still = 1 - (magnitude(inverse_flow) / STILL_PIXELS).clamp_max(1)
        return torch.lerp(detailed, splatted, trust * still)

    def _importance(self, features: Tensor, flow: Tensor, importance: Tensor | None) -> Tensor:
        if self.config.importance == "learned":
            with self._autocast(flow.device):
                return self.importance_net(features, flow).float()
        return self.importance_scale * (magnitude(flow) if importance is None else self._pad(importance))

    def _pad(self, tensor: Tensor) -> Tensor:
        """Repeat the last row and column until both sides are a multiple of what the pyramid divides by."""
        multiple = 2 ** (len(self.config.channels) - 1)
        height, width = tensor.shape[-2:]
        down, right = -height % multiple, -width % multiple
        return F.pad(tensor, (0, right, 0, down), mode="replicate") if down or right else tensor

    def _autocast(self, device: torch.device) -> torch.autocast:
        enabled = self.precision == "auto" and has_fast_bfloat16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
