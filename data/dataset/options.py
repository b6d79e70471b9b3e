"""Options of the commands that make a dataset folder: splits, workers, footage; and their errors."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.command_line import add_common_options, count, not_negative, run_script
from data.dataset.splits import SPLITS
from data.footage.frames import WHOLE, Crop
from data.workers import WorkerDiedError, available_cores

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FREE_SPACE = "free some space and run the same command again, what is finished is kept"


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


def run_dataset_script(script: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """As :func:`common.command_line.run_script`, for scripts that fill a dataset folder; returns the exit status.

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


def split_shares(text: str) -> tuple[float, ...]:
    """Shares of train, validation and test that add up to 1."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares that add up to 1, such as 0.9,0.05,0.05")
    return shares


SMALLEST_CROP = 0.1  # share of a side that must be left


def add_footage_options(parser: argparse.ArgumentParser) -> None:
    """Add them to the command line."""
    group = parser.add_argument_group("footage")
    add = group.add_argument
    add("--crop", type=crop_shares, default=WHOLE, metavar="L,T,R,B",
        help="cut these shares off the pictures' left, top, right and bottom, to be rid of a watermark: 0,0,0,12%% or "
        "0,0,0,0.12; one number for all four sides")  # fmt: skip
    add("--stabilize", action="store_true", help="remove slow drift of the camera; the border is cropped")
    add("--one-shot", action="store_true", help="the videos have no cuts: do not look for any (implied by --wrap)")
    add("--keep-duplicates", action="store_true", help="keep re-encoded, rescaled or trimmed copies of other videos")
    add("--min-median-motion", type=not_negative, default=0.0, metavar="PX",
        help="drop sequences with a smaller median magnitude (default: 0)")  # fmt: skip
    add("--max-median-motion", type=not_negative, default=0.0, metavar="PX",
        help="drop those with a larger one, as the reference implementation does at 0.5 (default: 0, off)")  # fmt: skip
    add("--min-consistency", type=share, default=0.0, metavar="SHARE",
        help="drop those whose flow there and back agrees in a smaller share of pixels (default: 0)")  # fmt: skip
    add("--consistency-frames", type=whole_number, default=15, metavar="N",
        help="frames of a sequence in which that is measured, at one flow each (default: 15; 0: none)")  # fmt: skip


def footage_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Their part of :class:`data.dataset.sequence.SequenceOptions`.

    Raises:
        ValueError: options that contradict each other.
    """
    if arguments.stabilize and arguments.wrap:
        raise ValueError("--stabilize can't be combined with --wrap: a drift that is removed does not loop")
    if arguments.min_consistency and not arguments.consistency_frames:
        raise ValueError("--min-consistency needs --consistency-frames above 0")
    names = ("crop", "stabilize", "consistency_frames", "min_consistency", "min_median_motion", "max_median_motion")
    return {name: getattr(arguments, name) for name in names}


def recorded_footage_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What of them all sequences of a dataset folder have in common; filters may change from run to run."""
    names = ("crop", "stabilize", "consistency_frames")
    return {name: getattr(arguments, name) for name in names} | {"one_shot": arguments.one_shot or arguments.wrap}


# Argument types -------------------------------------------------------------------------------------------------------


def crop_shares(text: str) -> Crop:
    """``5%,0,5%,0.12`` -> (0.05, 0.0, 0.05, 0.12); one share for all four sides."""
    parts = text.split(",")
    try:
        shares = [float(part.removesuffix("%")) / (100 if part.endswith("%") else 1) for part in parts]
    except ValueError:
        shares = []
    shares = shares * 4 if len(shares) == 1 else shares
    if len(shares) != 4 or not all(0 <= value < 1 for value in shares):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not four shares of the picture, left, top, right, bottom, such as 0,0,0,10%"
        )
    left, top, right, bottom = shares
    if max(left + right, top + bottom) > 1 - SMALLEST_CROP:
        raise argparse.ArgumentTypeError(f"{text!r} leaves nothing of the picture")
    return left, top, right, bottom


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = not_negative(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def whole_number(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)
