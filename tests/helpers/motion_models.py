"""What several test files share: small models with random weights, and photographs for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from models.motion.model import PRESETS, MotionModel
from models.pipeline import ImageDynamicsPipeline
from models.rendering.config import PRESETS as RENDERER_PRESETS
from models.rendering.model import FrameSynthesisModel
from models.spectral_volume import SpectralNormalizer


def tiny_model(seed: int = 0, randomise: bool = True, joint: bool = False) -> MotionModel:
    """The preset ``tiny``; layers that start at zero would hide whatever lies behind them, so they do not here."""
    torch.manual_seed(seed)
    config = replace(PRESETS["tiny"], joint=joint)
    scales = tuple(float(4 - k) for k in range(config.num_frequencies))
    model = MotionModel(config, SpectralNormalizer("adaptive", scales)).eval()
    if randomise:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def photographs(count: int = 1, size: tuple[int, int] = (32, 64)) -> torch.Tensor:
    """Noise ``[count, 3, *size]`` in [-1, 1], always the same."""
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def tiny_renderer() -> FrameSynthesisModel:
    """The preset ``tiny``, untrained: softmax splatting."""
    torch.manual_seed(0)
    return FrameSynthesisModel(RENDERER_PRESETS["tiny"]).eval()


def tiny_pipeline() -> ImageDynamicsPipeline:
    """Both models at the preset ``tiny``, untrained; the motion is gentle."""
    torch.manual_seed(0)
    config = PRESETS["tiny"]
    motion = MotionModel(config, SpectralNormalizer("adaptive", (1.0,) * config.num_frequencies)).eval()
    return ImageDynamicsPipeline(motion, tiny_renderer())
