"""How loops look as decoded: the steps between frames in their files, the last of which is the one over the seam.

A step is the mean absolute difference of two neighbouring frames, in gray levels of 255. A coder that is coarse makes
steps of its own: at key frames within the loop, or where the end meets the start.

Examples:
  python generate.py data/samples/dandelion.jpg --size 256x160 -o loop.mp4 --preview webp
  python -m benchmarks.loop_files loop.mp4 loop_preview.webp
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from app.written import show_frames
from benchmarks.timing import benchmark_parser
from common.command_line import PartFailure, one_line, run_script, write_report

if TYPE_CHECKING:
    import numpy as np

COLUMNS = ("frames", "median", "90 %", "largest", "last", "last/median", "kB")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("loop_files", __doc__, threads=1)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="loops: videos, GIF, WebP, APNG")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    width = max(len(str(path)) for path in arguments.files)
    print(f"{'':<{width}}" + "".join(f"{name:>13}" for name in COLUMNS))
    results, failed = {}, []
    for path in arguments.files:
        try:
            results[str(path)] = found = measure(path)
        except (OSError, ValueError) as error:
            failed.append(one_line(error))
            continue
        whole = ("frames", "kB")
        print(f"{path!s:<{width}}" + "".join(f"{found[name]:>13.{0 if name in whole else 2}f}" for name in COLUMNS))
    write_report(arguments.report, "benchmarks.loop_files", arguments, {"results": results})
    if failed:
        raise PartFailure(failed)


def measure(path: Path) -> dict[str, float]:
    """The steps of a file, by column.

    Raises:
        OSError, ValueError: it can't be decoded, or has fewer than three frames.
    """
    import numpy as np

    frames: list[np.ndarray] = []
    show_frames(path, lambda frame: frames.append(frame.astype(np.int16)))
    if len(frames) < 3:
        raise ValueError(f"{path}: {len(frames)} frames; a loop of three or more is needed")
    steps = [float(np.abs(later - earlier).mean()) for earlier, later in pairwise(frames)]
    last = float(np.abs(frames[0] - frames[-1]).mean())
    median = float(np.median(steps))
    return {
        "frames": len(frames),
        "median": median,
        "90 %": float(np.quantile(steps, 0.9)),
        "largest": max(steps),
        "last": last,
        "last/median": last / median if median else (1.0 if last == 0 else float("inf")),
        "kB": path.stat().st_size / 1000,
    }


if __name__ == "__main__":
    sys.exit(main())
