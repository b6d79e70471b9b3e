"""A moving thing of a photo: its region, its kind, and where it is held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data.synthetic.motion import Hinge

SMALLEST = 40  # working pixels that are seen of a thing
BLEND = 1.5  # working pixels over which a head goes over into its stem


@dataclass(frozen=True)
class Thing:
    """A region that moves as one object; masks and positions are those of the photo, later of a crop of it."""

    kind: str  # a key of data.synthetic.measured.KINDS
    mask: np.ndarray  # bool [H, W]
    hinge: Hinge
    depth: float  # larger is nearer
    head: np.ndarray | None = None  # bool [H, W], the part that turns as one piece

    def moved(self, crop: CropOfPhoto) -> Thing | None:
        """The thing within a crop, None where it isn't seen there."""
        mask = crop.of_mask(self.mask)
        if mask.sum() < SMALLEST:
            return None
        x, y = crop.of_point(self.hinge.x, self.hinge.y)
        axis = (-self.hinge.axis[0] if crop.mirrored else self.hinge.axis[0], self.hinge.axis[1])
        hinge = replace(self.hinge, x=x, y=y, axis=axis, length=self.hinge.length / crop.step)
        head = None if self.head is None else crop.of_mask(self.head)
        return replace(self, mask=mask, hinge=hinge, head=head)

    def rigid_part(self, shape: tuple[int, ...], top: int, left: int) -> np.ndarray:
        """How much of each pixel of a box belongs to the head: float32 [h, w], 0 without a head."""
        import cv2

        if self.head is None:
            return np.zeros(shape, np.float32)
        part = self.head[top : top + shape[0], left : left + shape[1]].astype(np.float32)
        wider: np.ndarray = cv2.dilate(part, np.ones((9, 9), np.uint8))
        return cv2.GaussianBlur(wider, (0, 0), BLEND)


@dataclass(frozen=True)
class CropOfPhoto:
    """Where a canvas was cut out of its photo."""

    left: int  # photo pixels
    top: int
    width: int
    height: int
    size: tuple[int, int]  # canvas pixels, (width, height)
    mirrored: bool

    @property
    def step(self) -> float:
        """Photo pixels a canvas pixel."""
        return self.width / self.size[0]

    def of_point(self, x: float, y: float) -> tuple[float, float]:
        """The place in the canvas of a place in the photo, which may lie beyond it."""
        u, v = (x - self.left) * self.size[0] / self.width, (y - self.top) * self.size[1] / self.height
        return (self.size[0] - 1 - u if self.mirrored else u), v

    def of_mask(self, mask: np.ndarray) -> np.ndarray:
        """The part of a mask that the canvas shows: bool [H, W] of the photo -> bool [H', W'] of the canvas."""
        import cv2

        part = mask[self.top : self.top + self.height, self.left : self.left + self.width].astype(np.float32)
        resized = cv2.resize(part, self.size, interpolation=cv2.INTER_AREA if self.step > 1 else cv2.INTER_LINEAR)
        return np.ascontiguousarray(resized[:, ::-1] if self.mirrored else resized) > 0.5
