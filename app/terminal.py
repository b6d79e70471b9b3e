"""What generate.py tells on a terminal: progress bars, warnings, and what was made."""

from __future__ import annotations

import sys
from typing import Any, TextIO

UNITS = {"motion": "step", "frames": "frame", "photos": "photo"}  # what has no unit gets no bar
VISIBLE_SEAM = 1.5  # of the last step to the first frame over the usual step between frames
LEAST_MOTION = 0.1  # pixels; below it the steps between frames are those of rounding


class Bars:
    """A bar for each step of a photo, one after the other, below one for all photos; none where stderr is no terminal.

    Each bar says how much time is left.
    """

    def __init__(self, photos: int = 1) -> None:
        """For so many photos."""
        self._several = photos > 1
        self._bars: dict[str, Any] = {}
        if self._several:
            self("photos", 0, photos)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that so many steps of something are done."""
        if what not in UNITS:
            return
        if what not in self._bars:
            from tqdm import tqdm

            leave = what == "photos" or not self._several
            self._bars[what] = tqdm(total=total, desc=what, unit=UNITS[what], leave=leave, disable=None)
        bar = self._bars[what]
        bar.update(done - bar.n)
        if what == "photos":  # whatever an unmade photo has left
            for step in self._bars.keys() - {what}:
                self._bars.pop(step).close()
        if done >= total:
            self._bars.pop(what).close()


def warn(message: str) -> None:
    """Print a warning on stderr."""
    _say(f"warning: {message}", sys.stderr)


def describe(result: dict) -> None:
    """Print what was made, from the report of a :class:`app.make.MadeLoop`."""
    size = "{}x{}".format(*result["size"])
    frames = f"{result['num_frames']} frames of {size}, {result['duration']:.3g} s"
    there = (result["file"] or {}).get("num_frames", result["num_frames"])
    frames += "" if there == result["num_frames"] else f" ({there} in the file)"
    _say(f"{result['outputs'][0]}: {frames}, motion at {result['speed']:.2g} times its natural speed")
    for path in result["outputs"][1:]:
        _say(path)
    if "largest_motion_pixels" in result:
        _say(f"poked: the largest motion is {result['largest_motion_pixels']:.1f} pixels")
        return
    _say(f"{_seam(result)}, mean motion {result['mean_motion_pixels']:.2f} pixels")


def _seam(result: dict) -> str:
    """How the loop closes, in words, with the figures behind them."""
    ratio, motion = result["seam_ratio"], result["motion_seam_ratio"]
    written = (result["file"] or {}).get("seam_ratio")
    if ratio is None or (written is None and result["mean_motion_pixels"] < LEAST_MOTION):
        return "hardly anything moves, so no seam can be seen"
    shown = f"seam ratio {ratio:.2f}, of the motion {'none' if motion is None else f'{motion:.2f}'}"
    shown += "" if written is None else f", of the file {written:.2f}"
    if (ratio if written is None else written) <= VISIBLE_SEAM:
        return f"the loop starts again without a visible jump ({shown})"
    return f"there may be a jump where the loop starts again ({shown})"


def _say(line: str, file: TextIO | None = None) -> None:
    """Print a line above the bars."""
    from tqdm import tqdm

    tqdm.write(line, file=file or sys.stdout)
