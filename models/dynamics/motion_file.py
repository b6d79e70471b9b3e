"""Motion files: a spectral volume on disk, to render one sampled motion again at another amplitude, speed or size.

A safetensors file with ``spectral_volume``, float16 ``[K, 4, H, W]``, and the metadata ``format_version``,
``num_frames`` and ``fps`` (of the motion's period), ``photo_size`` (WIDTHxHEIGHT) and ``photo_sha256``.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from common.plain import FrameRate, Frames, Range, from_plain
from common.tensor_files import read_tensors, save_tensors

PhotoSide = Annotated[int, Range(1, 1_000_000)]  # pixels

FORMAT_VERSION = 1
TENSOR_NAME = "spectral_volume"


@dataclass(frozen=True)
class _Facts:
    """What a motion file's metadata say, as numbers."""

    num_frames: Frames
    fps: FrameRate
    photo_size: tuple[PhotoSide, PhotoSide]
    photo_sha256: str


def _number(text: str) -> int | float | str:
    """The number that a text is, where it is one."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


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
        tensors, metadata = read_tensors(path, advice="not a motion file, or a damaged one")
        if TENSOR_NAME not in tensors:
            raise ValueError(f"{path}: not a motion file, it holds no {TENSOR_NAME}")
        volume = tensors[TENSOR_NAME]
        if metadata.get("format_version") != str(FORMAT_VERSION):
            found = metadata.get("format_version", "missing")
            raise ValueError(f"{path}: format version {found[:20]}, this code reads {FORMAT_VERSION}")
        if volume.ndim != 4 or volume.shape[1] != 4 or 0 in volume.shape:
            raise ValueError(f"{path}: expected finite {TENSOR_NAME} [K, 4, H, W], got shape {tuple(volume.shape)}")
        if not volume.is_floating_point() or not volume.abs().max() <= torch.finfo(torch.float16).max:
            raise ValueError(f"{path}: expected finite floating-point values that float16 can hold, in pixels")
        told: dict[str, Any] = {name: _number(metadata.get(name, "")) for name in ("num_frames", "fps")}
        told |= {"photo_size": [_number(side) for side in metadata.get("photo_size", "").split("x")]}
        facts = from_plain(_Facts, told | {"photo_sha256": metadata.get("photo_sha256")}, str(path))
        if 2 * (len(volume) - 1) > facts.num_frames:
            raise ValueError(f"{path}: {len(volume)} frequencies need more than num_frames {facts.num_frames}")
        return cls(volume.float(), facts.num_frames, facts.fps, facts.photo_size, facts.photo_sha256)

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
