"""Where a photo may move: a mask, and discs that stay or move, as ``--mask``, ``--still`` and ``--move`` give them.

Discs are in pixels of the photo as an image viewer shows it, upright, X from the left, Y from the top.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the options are checked before anything heavy is imported
    import numpy as np
    from torch import Tensor

FEATHER = 0.3  # of a disc's radius, over which it fades
LARGEST_DIFFERENCE = 0.02  # in shape between a mask and its photo


@dataclass(frozen=True)
class Disc:
    """A disc with a soft edge."""

    x: float
    y: float
    radius: float

    @classmethod
    def parse(cls, text: str, option: str) -> Disc:
        """Read ``X,Y,R`` of an option."""
        number = r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*"
        match = re.fullmatch(",".join([number] * 3), text, re.ASCII)
        if match is None:
            raise ValueError(f"--{option} {text}: expected X,Y,R in pixels of the photo, such as 320,140,60")
        x, y, radius = map(float, match.groups())
        if not 0 < radius < math.inf:
            raise ValueError(f"--{option} {text}: expected a radius above 0")
        return cls(x, y, radius)

    def weights(self, photo_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """``[h, w]`` for motion of a size (w, h): 1 inside, 0 outside, and a smooth edge between."""
        import torch

        scales = [whole / side for whole, side in zip(photo_size, size, strict=True)]
        x, y = ((torch.arange(side) + 0.5) * scale - 0.5 for side, scale in zip(size, scales, strict=True))
        distance = ((x - self.x).square()[None, :] + (y - self.y).square()[:, None]).sqrt()
        edge = max(FEATHER * self.radius, *scales)  # no sharper than the motion can be
        return ((self.radius - distance) / edge + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class Regions:
    """Factors on the motion's amplitude: those of the mask, or of the discs that move; then discs that stay.

    White parts of a mask move, black and transparent ones stay, gray ones move in part. With discs that move and no
    mask, everything else stays.
    """

    mask: str | Path | np.ndarray | None = None  # a picture, or values in [0, 1] as [H, W], in the photo's shape
    still: Sequence[Disc] = ()
    move: Sequence[Disc] = ()

    def __bool__(self) -> bool:
        return self.mask is not None or bool(self.still) or bool(self.move)

    @property
    def file(self) -> Path | None:
        """The mask's, where it is one."""
        return Path(self.mask) if isinstance(self.mask, str | Path) else None

    def weights(self, photo_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """The factors ``[h, w]`` in [0, 1] for motion of a size (w, h).

        Args:
            photo_size: (W, H) of the photo.
            size: of the motion.

        Raises:
            ValueError: a mask that can't be read or has another shape, a disc that lies outside the photo.
        """
        import torch
        import torch.nn.functional as F

        self._check_discs(photo_size)
        weights = torch.full((size[1], size[0]), 0.0 if self.move else 1.0)
        if self.mask is not None:
            tensor = torch.from_numpy(self._mask(photo_size))[None, None]
            options: dict = {"mode": "bilinear", "align_corners": False, "antialias": True}
            weights = F.interpolate(tensor, size=(size[1], size[0]), **options)[0, 0].clamp(0, 1)
        for disc in self.move:
            weights = torch.maximum(weights, disc.weights(photo_size, size))
        for disc in self.still:
            weights = torch.minimum(weights, 1 - disc.weights(photo_size, size))
        return weights

    def check(self, photo_size: tuple[int, int]) -> None:
        """Raise what :meth:`weights` raises, without working them out."""
        self._check_discs(photo_size)
        if self.mask is not None:
            self._mask(photo_size)

    def _mask(self, photo_size: tuple[int, int]) -> np.ndarray:
        """Values of the mask, float32 ``[H, W]`` in [0, 1]."""
        import numpy as np

        from common.image_files import read_image

        named = self.file or "mask"
        values = np.asarray(self.mask) if self.file is None else read_image(self.file, ground=0).mean(axis=2) / 255
        if values.ndim != 2 or not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"{named}: a mask is [H, W] with values in [0, 1], got shape {values.shape}")
        height, width = values.shape
        if abs(math.log(width / height * photo_size[1] / photo_size[0])) > LARGEST_DIFFERENCE:
            given, photo = f"{width}x{height}", "{}x{}".format(*photo_size)
            raise ValueError(f"{named}: a mask of {given} for a photo of {photo}; draw it on the photo, in its shape")
        return np.ascontiguousarray(values, np.float32)

    def _check_discs(self, photo_size: tuple[int, int]) -> None:
        width, height = photo_size
        for disc in (*self.still, *self.move):
            nearest = min(max(disc.x, 0), width - 1), min(max(disc.y, 0), height - 1)
            if math.hypot(disc.x - nearest[0], disc.y - nearest[1]) >= disc.radius:
                given = f"{disc.x:g},{disc.y:g},{disc.radius:g}"
                raise ValueError(f"the disc {given} lies outside the photo, which is {width}x{height}")
