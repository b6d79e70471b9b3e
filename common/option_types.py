"""Types of the command line's values: whole numbers and numbers within limits, sizes, seeds and shares.

Each takes the text and gives the value, or an `argparse.ArgumentTypeError` of one line that says what is expected.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

LARGEST_SEED = 2**32 - 1
MAX_FPS = 1000  # a file that says more, or less than 1, is not believed
MIN_SIDE = 16  # pixels; below it there is nothing that could move, and the models' strides do not fit
MAX_SIDE = 8192  # pixels of frames: what memory can hold and encoders take
MOST = 10**9  # of anything that is counted
SHOWN = 40  # characters of a wrong value


def whole_number(low: int = 0, high: int = MOST) -> Callable[[str], int]:
    """The type of a whole number within limits, both included."""

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number {_limits(low, high)}")
        return value

    return parse


def number(low: float = 0.0, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """The type of a finite number within limits, both included, or with ``above`` larger than ``low``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high) or (above and value == low):
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a number {_limits(low, high, above=above)}")
        return value

    return parse


def _limits(low: float, high: float, *, above: bool = False) -> str:
    if high in (MOST, math.inf):
        counted = isinstance(low, int) and low > 0
        return f"above {low - 1:g}" if counted else f"above {low:g}" if above else f"of {low:g} or more"
    return f"above {low:g}, up to {high:g}" if above else f"from {low:g} to {high:g}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


count = whole_number(1)
whole = whole_number()
few = whole_number(1, 65_536)  # samples of a batch, parts, threads: what a machine has to hold at once
frame_count = whole_number(2, 1_000_000)  # one frame has no motion
not_negative = number()
positive = number(1e-12, above=True)
share = number(0.0, 1.0)
frame_rate = number(0.001, MAX_FPS)
step_count = whole_number(1, 1000)  # of sampling
guidance = number(-1, 100)  # weight of classifier-free guidance
process_count = whole_number(1, 1024)


def parse_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), width first as on every command line here."""
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text, re.IGNORECASE)
    if not match or min(int(match[1]), int(match[2])) < 1:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not WIDTHxHEIGHT, such as 256x160")
    return int(match[1]), int(match[2])


def frame_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), large enough for the models and small enough for a machine."""
    size = parse_size(text)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is too small, each side needs {MIN_SIDE} pixels or more")
    if max(size) > MAX_SIDE:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is too large, each side may have {MAX_SIDE} pixels")
    return size


def parse_seed(text: str) -> int:
    """A whole number below 2^32: of larger ones PyTorch's generator takes the lowest 32 bits alone."""
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def numbers(kind: Callable[[str], float], example: str, *, distinct: bool = False) -> Callable[[str], tuple]:
    """The type of a list of numbers of one type, separated by commas; ``distinct``: each of them once."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = [kind(part) for part in text.split(",")]
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; a list such as {example} is expected") from None
        return tuple(dict.fromkeys(values) if distinct else values)

    return parse
