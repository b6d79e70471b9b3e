"""What the commands that make a dataset folder share on their command lines: options, their types, and errors."""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from data.command_line import add_common_options, parse_size, run_script
from data.parallel import WorkerDiedError
from data.splits import SPLITS
from data.video import MAX_FPS, MIN_SIDE

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FREE_SPACE = "free some space and run the same command again, what is finished is kept"


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text in front of an error."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see --help)\n")


def add_dataset_options(parser: argparse.ArgumentParser, things: str, full_note: str = "") -> None:
    """Options about splits and about the folder itself; ``things`` are what is split, "videos"."""
    add = parser.add_argument
    add("--full", nargs="+", choices=(*SPLITS, "none"), default=["test"], metavar="SPLIT",
        help="splits that keep all frames and flows, as evaluation wants them, not just --stored-frames: train "
        f"validation test, or none (default: test){full_note}")  # fmt: skip
    add("--split", type=split_shares, default=(0.9, 0.05, 0.05), metavar="TRAIN,VALIDATION,TEST",
        help=f"shares of the {things}")  # fmt: skip
    add("--validation", nargs="+", default=[], metavar="GLOB", help="file names that go to the validation split")
    add("--test", nargs="+", default=[], metavar="GLOB", help="file names that go to the test split")
    add("--overwrite", action="store_true", help="delete a dataset made with other options and start anew")
    add_common_options(parser)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Who does the work."""
    add = parser.add_argument
    add("--workers", type=count, default=available_cores(), metavar="N", help="processes (default: one a core)")
    add("--dask", metavar="SCHEDULER", help="work on a Dask cluster: address or scheduler file; all machines share "
        "the folders, under the same paths")  # fmt: skip


def available_cores() -> int:
    """Cores that this process may use, which on clusters are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_dataset_script(script: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """As :func:`data.command_line.run_script`, for scripts that fill a dataset folder; returns the exit status.

    Where the machine fails, not the input, the status is 1 and the same command goes on later.
    """

    def checked(arguments: argparse.Namespace) -> None:
        if "none" in getattr(arguments, "full", ()) and len(arguments.full) > 1:
            raise ValueError("--full none can't be combined with splits; name the splits, or none alone")
        try:
            script(arguments)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise DiskFullError(f"{_full_folder(error, arguments.output)}: {error.strerror}; {FREE_SPACE}") from error

    try:
        return run_script(checked, arguments)
    except (DiskFullError, WorkerDiedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


class DiskFullError(Exception):
    """One line that names the folder."""


def _full_folder(error: OSError, output: Path) -> Path:
    """The dataset folder, or where else the file is that could not be written."""
    parent = Path(os.fsdecode(error.filename)).parent if error.filename else output
    return output if output.absolute() in (parent.absolute(), *parent.absolute().parents) else parent


# Argument types -------------------------------------------------------------------------------------------------------


def frame_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), large enough for the models."""
    size = parse_size(text)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is too small, each side needs {MIN_SIDE} pixels or more")
    return size


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def frame_count(text: str) -> int:
    """A whole number above 1: one frame has no motion."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 1")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def frame_rate(text: str) -> float:
    """Frames a second, up to the `MAX_FPS` that videos may have."""
    value = positive(text)
    if value > MAX_FPS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MAX_FPS} frames a second")
    return value


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def split_shares(text: str) -> tuple[float, ...]:
    """Shares of train, validation and test that add up to 1."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares that add up to 1, such as 0.9,0.05,0.05")
    return shares
