"""Motion files: a spectral volume on disk, to render one sampled motion again at another amplitude, speed or size.

A safetensors file with ``spectral_volume``, float16 ``[K, 4, H, W]``, and the metadata ``format_version``,
``num_frames`` and ``fps`` (of the motion's period), ``photo_size`` (WIDTHxHEIGHT) and ``photo_sha256``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from common.tensor_files import save_tensors

FORMAT_VERSION = 1
TENSOR_NAME = "spectral_volume"


@dataclass(frozen=True)
class MotionFile:
    """What a motion file holds."""

    spectral_volume: Tensor  # [K, 4, H, W] in pixels of H x W; values of float16
    num_frames: int  # frames of one period
    fps: float
    photo_size: tuple[int, int]  # (W, H) of the photo, upright
    photo_sha256: str  # of the photo's file; empty where the photo was given as pixels

    def write(self, path: str | Path) -> None:
        """Write through a temporary file."""
        metadata = {
            "format_version": str(FORMAT_VERSION),
            "num_frames": str(self.num_frames),
            "fps": f"{self.fps:g}",
            "photo_size": f"{self.photo_size[0]}x{self.photo_size[1]}",
            "photo_sha256": self.photo_sha256,
        }
        save_tensors(Path(path), {TENSOR_NAME: self.spectral_volume.half()}, metadata)

    @classmethod
    def read(cls, path: str | Path) -> MotionFile:
        """Read and check a motion file; `ValueError` in one line for whatever is wrong with it."""
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such motion file; generate.py --save-motion writes one")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                volume = file.get_tensor(TENSOR_NAME).float()
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not a motion file, or a damaged one ({error})") from None
        if metadata.get("format_version") != str(FORMAT_VERSION):
            found = metadata.get("format_version", "missing")
            raise ValueError(f"{path}: format version {found}, this code reads {FORMAT_VERSION}")
        if volume.ndim != 4 or volume.shape[1] != 4 or 0 in volume.shape or not volume.isfinite().all():
            raise ValueError(f"{path}: expected finite [K, 4, H, W], got shape {tuple(volume.shape)}")
        try:
            width, height = (int(side) for side in metadata["photo_size"].split("x"))
            num_frames, fps = int(metadata["num_frames"]), float(metadata["fps"])
            digest = metadata["photo_sha256"]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}: its metadata are incomplete or wrong ({error})") from None
        if not (min(width, height, num_frames) >= 1 and math.isfinite(fps) and fps > 0):
            raise ValueError(f"{path}: impossible metadata {metadata}")
        return cls(volume, num_frames, fps, (width, height), digest)

    @property
    def period(self) -> float:
        """Seconds after which the motion repeats."""
        return self.num_frames / self.fps

    def check_photo(self, path: str | Path, *, size: tuple[int, int], sha256: str) -> str | None:
        """Compare with the photo that is to move: a warning, or None if it is the one that the motion was made for.

        Args:
            path: the photo's file.
            size: its (W, H) as read.
            sha256: of the file.

        Raises:
            ValueError: where the aspect ratios differ, so that the motion can't belong to the picture.
        """
        try:
            self.check_shape(size)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if sha256 != self.photo_sha256:
            return f"{path}: not the file that the motion was made for; its motion may not fit"
        return None

    def check_shape(self, size: tuple[int, int]) -> None:
        """Raise ValueError unless a photo of (W, H) has the aspect ratio of the one that the motion was made for."""
        ratio = (size[0] / size[1]) / (self.photo_size[0] / self.photo_size[1])
        # Twice the rounding of the smaller photo's sides, at least 1 %: a shrunk copy of the photo must pass.
        tolerance = max(0.01, 2 / min(*size, *self.photo_size))
        if abs(math.log(ratio)) > tolerance:
            made, given = ("{}x{}".format(*s) for s in (self.photo_size, size))
            raise ValueError(f"the photo is {given}, the motion was made for one of {made} with another aspect ratio")


def as_stored(volume: Tensor) -> Tensor:
    """A volume with the values that a motion file would give back, so that both render to the same frames."""
    limit = torch.finfo(torch.float16).max
    return volume.float().clamp(-limit, limit).half().float()
