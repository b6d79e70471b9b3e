"""Options that the commands which make a dataset folder share, and the types of their values."""

from __future__ import annotations

import argparse
import re
from typing import Any

from common.command_line import add_common_options
from common.option_types import (
    count,
    frame_count,
    frame_rate,
    frame_size,
    not_negative,
    process_count,
    share,
    whole,
    whole_number,
)
from data.dataset.options import PrepareOptions, SplitOptions
from data.dataset.shards import Shard
from data.dataset.splits import SPLITS
from data.footage.frames import Crop
from data.workers import available_cores

SMALLEST_CROP = 0.1  # share of a side that must be left


def add_split_options(
    parser: argparse.ArgumentParser, *, things: str, full: tuple[str, ...] = SplitOptions.full, full_note: str = ""
) -> None:
    """Add the options about splits and the folder itself.

    Args:
        things: what is split, "videos".
        full: the default of ``--full``, and ``full_note`` what it costs.
    """
    add = parser.add_argument
    add(
        "--full",
        nargs="+",
        choices=(*SPLITS, "none"),
        default=full,
        metavar="SPLIT",
        help="splits whose sequences keep all frames and flows, as evaluation wants them, not just --stored-frames: "
        f"train validation test, or none (default: {' '.join(full)}){full_note}",
    )
    add(
        "--split",
        type=split_shares,
        default=SplitOptions.split,
        metavar="TRAIN,VALIDATION,TEST",
        help=f"shares of the {things} (default: 0.9,0.05,0.05)",
    )
    add("--validation", nargs="+", default=[], metavar="GLOB", help="file names that go to the validation split")
    add("--test", nargs="+", default=[], metavar="GLOB", help="file names that go to the test split")
    add("--overwrite", action="store_true", help="delete a dataset made with other options and start again")
    add_common_options(parser)


def add_sequence_options(
    parser: argparse.ArgumentParser, default: Any, *, rate: str, stored: str, fewest_stored: int = 1
) -> None:
    """Add the options about the size and length of sequences and what is kept of them.

    Args:
        default: the options of the command, from which the defaults are taken.
        rate: what the frame rate is; stored: what the later frames are kept for, or cost.
        fewest_stored: the least number of later frames that may be asked for.
    """
    add = parser.add_argument
    width, height = default.size
    add(
        "--size",
        type=frame_size,
        default=default.size,
        metavar="WxH",
        help=f"size of the frames (default: {width}x{height})",
    )
    add("--fps", type=frame_rate, default=default.fps, help=f"{rate} (default: {default.fps:g})")
    for option, value, kind, metavar, what in (
        ("--num-frames", default.num_frames, frame_count, "T", "frames in a sequence"),
        ("--num-frequencies", default.num_frequencies, count, "K", "frequencies to keep"),
        ("--stored-frames", default.stored_frames, whole_number(low=fewest_stored), "M", f"later frames to {stored}"),
    ):
        add(option, type=kind, default=value, metavar=metavar, help=f"{what} (default: {value})")


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about who does the work."""
    add = parser.add_argument
    add(
        "--workers",
        type=process_count,
        default=available_cores(),
        metavar="N",
        help="processes (default: one per core)",
    )
    add(
        "--dask",
        metavar="SCHEDULER",
        help="work on a Dask cluster, given by its address or scheduler file; all machines share the folders, under "
        "the same paths",
    )


def add_footage_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about raw footage: crops, cuts, copies, a moving camera, and filters."""
    add = parser.add_argument_group("footage").add_argument
    add(
        "--crop",
        type=crop_shares,
        default=PrepareOptions.crop,
        metavar="L,T,R,B",
        help="cut these shares off the left, top, right and bottom of each frame, for example to remove a watermark: "
        "0,0,0,12%% or 0,0,0,0.12; a single number applies to all four sides",
    )
    add("--stabilize", action="store_true", help="remove slow camera drift and crop the border")
    add("--one-shot", action="store_true", help="the videos have no cuts: don't look for any (implied by --wrap)")
    add("--keep-duplicates", action="store_true", help="keep re-encoded, rescaled or trimmed copies of other videos")
    add(
        "--min-median-motion",
        type=not_negative,
        default=PrepareOptions.min_median_motion,
        metavar="PX",
        help="drop sequences with a smaller median magnitude (default: 0)",
    )
    add(
        "--max-median-motion",
        type=not_negative,
        default=PrepareOptions.max_median_motion,
        metavar="PX",
        help="drop sequences with a larger median magnitude, as the reference implementation does at 0.5 (default: 0, "
        "off)",
    )
    add(
        "--min-consistency",
        type=share,
        default=PrepareOptions.min_consistency,
        metavar="SHARE",
        help="drop sequences whose forward and backward flow agree in a smaller share of pixels (default: 0)",
    )
    add(
        "--consistency-frames",
        type=whole,
        default=PrepareOptions.consistency_frames,
        metavar="N",
        help="frames per sequence in which that share is measured; each costs one more flow (default: 15; 0 switches "
        "it off)",
    )


# Argument types -------------------------------------------------------------------------------------------------------


def parse_shard(text: str) -> Shard:
    """``2/8`` -> the second of eight parts."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 1/8: a number from 1 to N, a slash and N")
    return Shard(int(match[1]), int(match[2]))


def split_shares(text: str) -> tuple[float, ...]:
    """Shares of train, validation and test that add up to 1."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares that add up to 1, such as 0.9,0.05,0.05")
    return shares


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
