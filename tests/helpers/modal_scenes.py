"""Motion for tests of modal dynamics: something soft in the middle of a picture sways, its border stands still."""

import torch
from torch import Tensor

from models.dynamics.motion_file import MotionFile


def swaying_volume(num_frequencies: int = 5, size: tuple[int, int] = (32, 24), seed: int = 0) -> Tensor:
    """Spectral volume ``[1, K, 4, H, W]``: two bells that move in every mode by random amounts and phases."""
    random = torch.Generator().manual_seed(seed)
    width, height = size
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    bells = torch.stack([torch.exp(-8 * ((x - at) ** 2 + y**2)) for at in (-0.3, 0.35)])
    strengths = (
        torch.randn(num_frequencies, 4, 2, generator=random) / (1 + torch.arange(num_frequencies))[:, None, None]
    )
    volume = torch.einsum("kcb,bhw->kchw", strengths, bells)[None]
    volume[:, 0] *= 3  # the mean must not matter
    return volume * (bells.sum(0) > 1e-3)


def swaying_motion(photo_size: tuple[int, int] = (64, 48), num_frames: int = 60, fps: float = 30.0) -> MotionFile:
    """The same as a motion file, with a period of two seconds."""
    return MotionFile(swaying_volume()[0], num_frames, fps, photo_size, "0" * 64)
