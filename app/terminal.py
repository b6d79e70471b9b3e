"""What generate.py tells on a terminal: progress bars, warnings, and what was made."""

from __future__ import annotations

import sys
from typing import Any

UNITS = {"motion": "step", "frames": "frame"}  # what has no unit gets no bar


class Bars:
    """One bar after the other, each from its first step to its last; none where stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that so many steps of something are done."""
        if what not in UNITS:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, unit=UNITS[what], disable=None)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar = None


def warn(message: str) -> None:
    """Print a warning on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def describe(result: dict) -> None:
    """Print what was made, from the report of a :class:`app.make.MadeLoop`."""
    size = "{}x{}".format(*result["size"])
    frames = f"{result['num_frames']} frames of {size}, {result['duration']:.3g} s"
    print(f"{result['outputs'][0]}: {frames}, motion at {result['speed']:.2g} times its natural speed")
    for path in result["outputs"][1:]:
        print(path)
    if "largest_motion_pixels" in result:
        print(f"poked: the largest motion is {result['largest_motion_pixels']:.1f} pixels")
        return
    seams = [f"{result[key]:.2f}" if result[key] is not None else "none" for key in ("seam_ratio", "motion_seam_ratio")]
    print(f"seam ratio {seams[0]} (motion {seams[1]}), mean motion {result['mean_motion_pixels']:.2f} pixels")
