"""What the benchmarks share: their command line, and calls that are timed in turn."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

from common.command_line import OneLineParser, add_common_options
from common.option_types import count


def benchmark_parser(name: str, description: str | None, *, threads: int) -> OneLineParser:
    """The parser of ``python -m benchmarks.NAME``, with the common options and ``--threads``.

    The description ends with examples.
    """
    parser = OneLineParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = f"threads that may compute (default: {threads})"
    parser.add_argument("--threads", type=count, default=threads, metavar="N", help=text)
    add_common_options(parser)
    return parser


def require_cpu(device: str) -> None:
    """Refuse a ``--device`` other than the CPU.

    Raises:
        ValueError: the device was named and is not the CPU.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(f"--device {device}: this measures the CPU; use auto or cpu")


def time_in_turn(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each way in each round, after a round that warms up and does not count.

    All ways are called once before any is called again, so that what else the machine does meets all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            start = clock()
            call()
            if number:
                seconds[name].append(clock() - start)
    return seconds
