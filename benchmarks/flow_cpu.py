"""Processor time of the coarse-to-fine flow, and how close it is to the same algorithm in float64.

Examples:
  python -m benchmarks.flow_cpu rose_loop.mp4
  python -m benchmarks.flow_cpu rose_loop.mp4 --precision 0 20 --report flow.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.option_types import frame_count, frame_size

REFERENCE = Path(__file__).parents[1] / "tests" / "helpers" / "flow" / "reference_coarse2fine.py"


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("flow_cpu", __doc__, threads=1)
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video whose frames are matched")
    parser.add_argument("--size", type=frame_size, default=(256, 160), metavar="WxH", help="frames (default: 256x160)")
    parser.add_argument("--frames", type=frame_count, default=150, metavar="N", help="frames to read (default: 150)")
    text = "compare the flow between these two frames with the float64 reference instead, about a minute at 256x160"
    parser.add_argument("--precision", type=int, nargs=2, metavar=("FIRST", "SECOND"), help=text)
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    from data.media.read_video import read_frames

    require_cpu(arguments.device)
    if arguments.precision:
        first, second = read_frames(arguments.video, arguments.precision, size=arguments.size) / 255.0
        difference = reference_difference(first, second)
        print(f"mean endpoint difference to the float64 reference: {difference:.1e} px")
        results: dict[str, Any] = {"mean_endpoint_difference": difference}
    else:
        frames = read_frames(arguments.video, range(arguments.frames), size=arguments.size) / 255.0
        results = {"cpu_milliseconds_a_pair": measure(frames, num_threads=arguments.threads)}
        for name, milliseconds in results["cpu_milliseconds_a_pair"].items():
            print(f"{name:<38}{milliseconds:>8.1f} ms a pair")
    write_report(arguments.report, "benchmarks.flow_cpu", arguments, {"results": results})


def measure(frames: NDArray[np.floating], *, num_threads: int) -> dict[str, float]:
    """Processor time in ms a pair, by what the pairs share.

    Args:
        frames: ``[T, H, W, 3]`` in [0, 1], two or more.
        num_threads: threads of the flow.
    """
    from data.flow.coarse2fine.cpu import coarse2fine_flow_batch, coarse2fine_flow_pairs

    others = len(frames) - 1
    first, later = frames[0], frames[1:]
    ways = {
        f"{others} targets of one source": (
            others,
            lambda: coarse2fine_flow_batch(first, later, num_threads=num_threads),
        ),
        f"{others} pairs of neighbouring frames": (
            others,
            lambda: coarse2fine_flow_pairs(frames[:-1], later, num_threads=num_threads),
        ),
        "a lone pair": (1, lambda: coarse2fine_flow_batch(first, later[:1])),
    }
    milliseconds = {}
    for name, (pairs, estimate) in ways.items():
        estimate()  # compiles the kernels, or reads them from the cache
        start = time.process_time()
        estimate()
        milliseconds[name] = 1000 * (time.process_time() - start) / pairs
    return milliseconds


def reference_difference(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Mean endpoint difference in pixels between the flow and that of the tests' float64 reference."""
    import importlib.util

    from data.flow.coarse2fine.cpu import coarse2fine_flow_batch

    spec = importlib.util.spec_from_file_location(REFERENCE.stem, REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    return float(
        np.linalg.norm(
            coarse2fine_flow_batch(first, second[None])[0] - reference.reference_flow(first, second), axis=-1
        ).mean()
    )


if __name__ == "__main__":
    sys.exit(main())
