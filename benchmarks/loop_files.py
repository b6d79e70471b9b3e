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
from pathlib import Path

from app.written import show_frames
from benchmarks.timing import benchmark_parser
from common.command_line import PartFailure, one_line, run_script, write_report

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
    import torch

    from models.dynamics.seam import SeamMeter

    meter = SeamMeter()
    show_frames(path, lambda frame: meter.add(torch.from_numpy(frame.astype(np.float32))))
    steps = meter.steps()
    if len(steps) < 3:
        raise ValueError(f"{path}: fewer than three frames; a loop of three or more is needed")
    *inner, last = steps
    return {
        "frames": len(steps),
        "median": meter.usual_step,
        "90 %": float(np.quantile(inner, 0.9)),
        "largest": max(inner),
        "last": last,
        "last/median": meter.ratio(),
        "kB": path.stat().st_size / 1000,
    }


if __name__ == "__main__":
    sys.exit(main())
