"""Options of `data.prepare` that say which footage is good enough and what is made of its pictures."""

from __future__ import annotations

import argparse
from typing import Any

from data.dataset_command import not_negative
from data.sequence_frames import WHOLE, Crop

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
    """Their part of :class:`data.sequences.SequenceOptions`.

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
