"""A pinhole camera with a lens: where points of the scene are in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SENSOR = 36.0  # width of the sensor in millimetres
NEAREST = 0.02  # metres; what is nearer, or behind the camera, is not projected


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where the camera is and what it looks at; metres, z is up."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    lens: float = 35.0  # focal length in millimetres, on a sensor 36 mm wide
    focus: float | None = None  # metres to what is sharp; None is the distance to the target
    fstop: float | None = None  # None: everything is sharp
    blades: int = 0  # of the aperture; 0 is round
    roll: float = 0.0  # radians

    @property
    def distance(self) -> float:
        return float(np.linalg.norm(np.subtract(self.target, self.position)))

    @property
    def axes(self) -> np.ndarray:
        """Right, up and backward, as rows [3, 3]."""
        back = np.subtract(self.position, self.target) / self.distance
        right = np.cross((0.0, 0.0, 1.0), back)
        right = right / np.linalg.norm(right)
        up = np.cross(back, right)
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return np.stack([cosine * right + sine * up, cosine * up - sine * right, back])

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] to the right of, above and in front of the camera, in metres."""
        return (points - np.asarray(self.position)) @ (self.axes * [[1], [1], [-1]]).T

    def focal(self, width: int) -> float:
        """Focal length in pixels of a picture of this width."""
        return self.lens / SENSOR * width

    def pixels(self, seen: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Positions [..., 2] in a picture of this (width, height) of points given by :meth:`seen`, x right, y down."""
        focal = self.focal(size[0])
        depth = np.maximum(seen[..., 2], NEAREST)
        return np.stack(
            [size[0] / 2 + focal * seen[..., 0] / depth, size[1] / 2 - focal * seen[..., 1] / depth], axis=-1
        )
