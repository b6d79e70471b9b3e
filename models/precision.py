"""Which precision a device is made for."""

from __future__ import annotations

import torch
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """The values in float64, or in float32 on Apple's GPUs, which know no float64."""
    return values.float() if values.device.type == "mps" else values.double()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 run on hardware made for it; without that, emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        supports = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(check is not None and check() for check in supports)
    return False
