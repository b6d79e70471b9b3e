"""All measurements of this machine, one process after the other, each with a time limit of its own.

What a part finds is in OUT/results.jsonl and OUT/report.md at once; what it prints is in OUT/log.txt. A part that fails
or runs out of time leaves what it said in the report, and the next one begins.

Examples:
  python -m benchmarks.gpu.run results
  python -m benchmarks.gpu.run results --minutes 8 --dataset film.pack
  python -m benchmarks.gpu.run results --rehearse --without diffusers,cv2,numba,moviepy,imageio_ffmpeg
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.environment import findings
from benchmarks.gpu.results import TRACEBACK_LINES, Results
from benchmarks.gpu.without import LACKING
from common.command_line import OneLineParser, run_script

ROOT = Path(__file__).parents[2]
LOG = "log.txt"
GRACE = 8.0  # seconds between asking a part to end and ending it
LEAST = 5.0  # seconds that are worth beginning a part with
RATES_SECONDS = 150.0  # for all parts of the group together
PATIENCE = 5  # times as long in a rehearsal, which may run beside other programs


@dataclass(frozen=True)
class Part:
    """A process of its own."""

    module: str  # of this package
    seconds: float  # at most
    group: str = ""  # parts of a group have a limit together


# By worth: what shows whether anything is broken, then what is asked for, then what there is time for.
PARTS = (
    Part("gpu_tests", 90),
    *(Part(name, 60, "rates") for name in ("flow_rates", "splatting_rates", "rendering_rates")),
    *(Part(name, 50, "rates") for name in ("training_rates", "sampling_rates")),
    Part("training", float("inf")),
)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder for the results; what an earlier run left there is replaced")
    add("--minutes", type=float, default=9.5, help="for everything (default: 9.5)")
    add("--dataset", type=Path, metavar="FILE.pack", help="to train on; without one that part is left out")
    add("--rehearse", action="store_true", help="on the processor, with tiny sizes, kernels compiled for the processor")
    add(
        "--without",
        type=_names,
        default=[],
        metavar="NAMES",
        help=f"packages to do without, as if they were not installed; lacking: {','.join(LACKING)}",
    )
    add("--only", type=_names, default=[], metavar="PARTS", help=f"of {', '.join(part.module for part in PARTS)}")
    return parser


def _names(text: str) -> list[str]:
    return list(LACKING) if text == "lacking" else [name for name in text.split(",") if name]


def main(argv: list[str] | None = None) -> int:
    """Run all parts; 0 if all did what they should, 1 if one failed, 2 for bad input."""
    outcomes: list[str] = []
    arguments = build_parser().parse_args(argv)
    status = run_script(lambda options: outcomes.extend(run(options)), arguments)
    return status or int(any(outcome not in ("done", "left out") for outcome in outcomes))


def run(arguments: argparse.Namespace) -> list[str]:
    """Run the parts one after the other and return how each ended."""
    known = [part.module for part in PARTS]
    unknown = [name for name in arguments.only if name not in known]
    if unknown:
        raise ValueError(f"--only {unknown[0]}: no such part; there are {', '.join(known)}")
    if arguments.minutes <= 0:
        raise ValueError(f"--minutes {arguments.minutes:g}: must be positive")
    if arguments.dataset is not None and not arguments.dataset.is_file():
        raise ValueError(f"{arguments.dataset}: no such file; make it with python -m benchmarks.pack")
    results = begin(arguments.out)
    # Parts are in sessions of their own: told to end, this has to end them first.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcomes = run_parts(arguments, results)
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"{arguments.out / 'report.md'}: {', '.join(outcomes)}")
    return outcomes


def run_parts(arguments: argparse.Namespace, results: Results) -> list[str]:
    """Each part within its own limit, its group's and that of everything."""
    patience = PATIENCE if arguments.rehearse else 1
    end = time.monotonic() + 60 * arguments.minutes * patience
    left = {"rates": RATES_SECONDS * patience}
    outcomes = []
    with (arguments.out / LOG).open("ab") as log:
        for part in PARTS:
            if arguments.only and part.module not in arguments.only:
                continue
            began = time.monotonic()
            limit = min(part.seconds * patience, end - began, left.get(part.group, float("inf")))
            outcomes.append(run_one(part, arguments, results=results, log=log, limit=limit))
            if part.group:
                left[part.group] -= time.monotonic() - began
    return outcomes


def begin(out: Path) -> Results:
    """An empty set of results, and what the machine has."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("results.jsonl", "report.md", LOG):
        (out / name).unlink(missing_ok=True)
    for path in out.glob("motion.zip.*of*"):
        path.unlink()
    results = Results(out)
    found = list(findings())
    results.facts("machine", {finding.name: finding.detail for finding in found if finding.there})
    results.facts("missing here", {finding.name: finding.detail for finding in found if not finding.there})
    return results


def run_one(part: Part, arguments: argparse.Namespace, *, results: Results, log: IO[bytes], limit: float) -> str:
    """Run a part and note how it ended; what it said goes to the log, its end where it failed into the results."""
    name = part.module.replace("_", " ")
    if part.module == "training" and arguments.dataset is None and not arguments.rehearse:
        results.state(name, "left out", seconds=0, detail="no --dataset FILE.pack to train on")
        return "left out"
    if limit < LEAST:
        results.state(name, "left out", seconds=0, detail="no time is left")
        return "left out"
    print(f"{name}: at most {limit:.0f} s", flush=True)
    log.write(f"\n==== {name}\n".encode())
    log.flush()
    start, began = log.tell(), time.monotonic()
    process = subprocess.Popen(
        command(part, arguments, limit=limit),
        cwd=ROOT,
        env=environment(arguments),
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(limit)
        outcome = "failed" if status else "done"
    except subprocess.TimeoutExpired:
        outcome = "stopped"
    finally:
        end_group(process)
    said = "" if outcome == "done" else end_of_log(arguments.out / LOG, start)
    results.state(name, outcome, seconds=time.monotonic() - began, detail=said)
    log.seek(0, os.SEEK_END)
    print(f"{name}: {outcome} after {time.monotonic() - began:.0f} s", flush=True)
    return outcome


def command(part: Part, arguments: argparse.Namespace, *, limit: float) -> list[str]:
    """What a part is started with."""
    start = ["benchmarks.gpu.without", ",".join(arguments.without)] if arguments.without else []
    options = [str(arguments.out.absolute()), "--device", "cpu" if arguments.rehearse else "auto"]
    options += ["--rehearse"] if arguments.rehearse else []
    if part.module == "training":
        options += ["--seconds", f"{max(1.0, limit - 2 * GRACE):.0f}"]
        options += ["--dataset", str(arguments.dataset.absolute())] if arguments.dataset else []
    return [sys.executable, "-m", *start, f"benchmarks.gpu.{part.module}", *options]


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Of a part: the repository importable from anywhere, output at once, nothing written beside the modules."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1"}


def end_group(process: subprocess.Popen) -> None:
    """End a part that is still running, and whatever it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)  # its children may outlast it: they are ended then


def end_of_log(path: Path, start: int) -> str:
    """The last lines that a part wrote."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", "replace").replace("\r", "\n")
    return "\n".join(text.splitlines()[-TRACEBACK_LINES:])


if __name__ == "__main__":
    sys.exit(main())
