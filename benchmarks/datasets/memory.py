"""Memory of `python -m data.prepare`: what its processes share with nobody, sampled while it runs (Linux).

Short sequences by DIS flow, so that the clips' number is what matters: 64x48, 20 frames, a sequence every 2 frames.

Examples:
  python -m benchmarks.datasets.memory clips/
  python -m benchmarks.datasets.memory clips/ --workers 4 --report memory.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.option_types import count

OPTIONS = [
    "--flow",
    "dis",
    "--size",
    "64x48",
    "--num-frames",
    "20",
    "--stride",
    "2",
    "--num-frequencies",
    "6",
    "--stored-frames",
    "4",
]
PROC = Path("/proc")


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("datasets.memory", __doc__, threads=1)
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="a folder of clips of 20 frames or more")
    parser.add_argument("--workers", type=count, default=2, help="processes of data.prepare (default: 2)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    require_cpu(arguments.device)
    if not (PROC / "self" / "smaps_rollup").is_file():
        raise ValueError(f"{PROC}/self/smaps_rollup: no such file; memory is measured on Linux alone")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "data.prepare", str(arguments.videos), "--output", f"{scratch}/dataset"]
        command += ["--workers", str(arguments.workers), "--seed", str(arguments.seed), *OPTIONS]
        peaks = peak_memory(command)
    for name, value in peaks.items():
        print(f"{name:<28}{value / 1e6:>8.0f} MB")
    write_report(arguments.report, "benchmarks.datasets.memory", arguments, {"results": {"peak_bytes": peaks}})


def peak_memory(command: list[str], *, interval: float = 0.1) -> dict[str, int]:
    """Peaks in bytes while a command runs: of all its processes together, of the first, and of the largest other.

    Raises:
        ValueError: the command fails.
    """
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks = {"all processes": 0, "the first process": 0, "the largest other": 0}
    while run.poll() is None:
        first, *others = (private_bytes(process) for process in [run.pid, *descendants(run.pid)])
        for name, value in zip(peaks, (first + sum(others), first, max(others, default=0)), strict=True):
            peaks[name] = max(peaks[name], value)
        time.sleep(interval)
    if run.returncode:
        raise ValueError(f"{' '.join(command)}: failed with status {run.returncode}, see above")
    return peaks


def private_bytes(process: int) -> int:
    """Memory that a process shares with no other (USS); 0 when it has ended."""
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def descendants(process: int) -> list[int]:
    """Numbers of the processes that a process started, and of theirs."""
    parents = {}
    for status in PROC.glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [process]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


if __name__ == "__main__":
    sys.exit(main())
