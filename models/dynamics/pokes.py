"""Pokes of a photo as the command line gives them: ``X,Y,DX,DY`` or ``X,Y,DX,DY@SECONDS``, in pixels of the photo.

These are the pixels that an image viewer shows: of the photo as given and upright, X from the left, Y from the top.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the option is checked before anything heavy is imported
    from models.dynamics.basis import ModalBasis, Point
    from models.dynamics.events import Drag
    from models.dynamics.rig import ModalMotion

LATEST = 600.0  # seconds
SETTLED = 0.02  # of the largest motion: so little is rest
LONGEST = 20.0  # seconds after the last poke at most
LEAST_REACH, GOOD_REACH = 0.5, 0.8  # share of a pull that a point has to follow, and that of one worth naming


@dataclass(frozen=True)
class Poke:
    """A point is pulled by ``pull``, starting at ``time``, and let go."""

    text: str
    point: tuple[float, float]  # pixels of the photo
    pull: tuple[float, float]
    time: float  # seconds

    @classmethod
    def parse(cls, text: str) -> Poke:
        """Read ``X,Y,DX,DY[@SECONDS]``."""
        number = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*"
        match = re.fullmatch(",".join([number] * 4) + f"(?:@{number})?", text, re.IGNORECASE | re.ASCII)
        if match is None:
            raise ValueError(f"--poke {text}: expected X,Y,DX,DY or X,Y,DX,DY@SECONDS in pixels of the photo")
        x, y, dx, dy, time = (float(group or 0) for group in match.groups())
        if not 0 <= time <= LATEST:
            raise ValueError(f"--poke {text}: expected a time of 0 to {LATEST:g} seconds")
        if not 0 < math.hypot(dx, dy) < math.inf:
            raise ValueError(f"--poke {text}: a pull by {dx:g},{dy:g} pixels moves nothing; give DX or DY")
        return cls(text, (x, y), (dx, dy), time)

    def check(self, photo_size: tuple[int, int], seconds: float | None) -> None:
        """One-line error unless the point is in a photo of (W, H) and the time in a video of so many seconds."""
        (x, y), (width, height) = self.point, photo_size
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            limits = f"X goes from 0 to {width - 1} and Y from 0 to {height - 1}"
            raise ValueError(f"--poke {self.text}: the point is outside the photo, where {limits}")
        if seconds is not None and self.time >= seconds:
            raise ValueError(f"--poke {self.text}: the video ends at {seconds:.3g} s; give more --num-frames")

    def to_drag(self, basis: ModalBasis, photo_size: tuple[int, int]) -> Drag:
        """The event in pixels of the motion.

        Raises:
            ValueError: where the point can't follow; it names one near by that can.
        """
        from models.dynamics.events import Drag

        scale = (basis.size[0] / photo_size[0], basis.size[1] / photo_size[1])
        # The centre of the first pixel is 0 in both; clamped, as enlarged motion is at its border.
        x, y = (
            min(max((at + 0.5) * factor - 0.5, 0.0), side - 1.0)
            for at, factor, side in zip(self.point, scale, basis.size, strict=True)
        )
        pull = self.pull[0] * scale[0], self.pull[1] * scale[1]
        reach = basis.reach(pull)
        share = float(reach[round(y), round(x)])
        if share < LEAST_REACH:
            raise ValueError(f"--poke {self.text}: {self._advice(share, nearest(reach >= GOOD_REACH, (x, y)), scale)}")
        return Drag.pull((x, y), pull, self.time)

    def _advice(self, share: float, instead: Point | None, scale: tuple[float, float]) -> str:
        what = f"this point follows only {100 * share:.0f} % of a pull that way, it hardly moves in this motion"
        if instead is None:
            return f"{what}, and no other does better; pull in another direction"
        x, y = ((at + 0.5) / factor - 0.5 for at, factor in zip(instead, scale, strict=True))
        return f"{what}; the nearest that follows well is {x:.0f},{y:.0f}"


def nearest(mask, point: Point) -> Point | None:
    """Pixel of a bool map ``[H, W]`` that is nearest to a point, as (x, y)."""
    rows, columns = mask.nonzero(as_tuple=True)
    if not len(rows):
        return None
    best = int(((columns - point[0]).square() + (rows - point[1]).square()).argmin())
    return float(columns[best]), float(rows[best])


def settling_frames(basis: ModalBasis, drags: Sequence[Drag], fps: float) -> int:
    """Frames until the last poke has rung down to :data:`SETTLED` of the largest motion, at most :data:`LONGEST`."""
    import numpy as np

    from models.dynamics.rig import modal_coordinates

    end = max(drag.end for drag in drags)
    count = math.ceil((end + LONGEST) * fps) + 1
    coordinates = modal_coordinates(basis, drags, [index / fps for index in range(count)])
    strengths = basis.modes.square().mean(dim=(0, 3, 4)).sum(1).sqrt().double().numpy()  # of each mode's shape
    motion = np.linalg.norm(coordinates * strengths, axis=1)
    return int(np.flatnonzero(motion > SETTLED * motion.max())[-1]) + 2


def poked_motion(
    basis: ModalBasis,
    pokes: Sequence[Poke],
    photo_size: tuple[int, int],
    *,
    fps: float,
    num_frames: int | None = None,  # until it has come to rest
    magnify: float = 1.0,
) -> tuple[ModalMotion, list[str]]:
    """Motion of a poked photo, and warnings where a pull is shorter than asked for."""
    from models.dynamics.events import shortened
    from models.dynamics.rig import ModalMotion

    drags = [poke.to_drag(basis, photo_size) for poke in pokes]
    warnings = []
    for poke, drag in zip(pokes, drags, strict=True):
        share = shortened(basis, drag)[1]
        if share < 1:
            warnings.append(
                f"--poke {poke.text}: pulled only {100 * share:.0f} % as far, beyond that the photo would tear"
            )
    count = num_frames or settling_frames(basis, drags, fps)
    return ModalMotion.simulate(basis, drags, num_frames=count, fps=fps, magnify=magnify), warnings
