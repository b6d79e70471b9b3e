"""Which split a video belongs to: a function of its content and the seed, whatever other videos there are."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from common.hashing import text_sha256
from data.dataset.options import SplitOptions
from data.footage.sources import Source

SPLITS = ("train", "validation", "test")


def assign_splits(sources: Iterable[Source], options: SplitOptions, *, fill_empty: bool = True) -> dict[str, str]:
    """Split by sha256 of each usable video: pinned by file name, the rest by shares.

    A video's number u in [0, 1) (:func:`split_position`) is compared with the cumulated shares, so that a video stays
    where it is when others come or go, and runs that see only a part of the videos agree. The shares are therefore
    reached only on average.

    Args:
        fill_empty: a split with a share that no video fell into gets the free one whose u lies nearest to its part of
            [0, 1), as long as there are enough: train before validation before test.
    """
    shares = options.split
    splits: dict[str, str] = {}
    positions: dict[str, float] = {}
    for source in sources:
        if source.problem:
            continue
        matching = [split for split, globs in options.pinned.items() if any(_matches(source, glob) for glob in globs)]
        if matching:
            splits[source.sha256] = matching[0]
        else:
            positions[source.sha256] = split_position(source.sha256, options.seed)
    ends = list(itertools.accumulate(shares))
    last = max(index for index, share in enumerate(shares) if share)  # the sum may be a little less than 1
    for digest, position in positions.items():
        splits[digest] = SPLITS[next((index for index, end in enumerate(ends) if position < end), last)]
    if fill_empty:
        _fill_empty_splits(splits, positions, shares)
    return splits


def unmatched_patterns(sources: Iterable[Source], options: SplitOptions) -> list[str]:
    """Globs that no usable video matches, each with its option: ``--validation 'rose*'``."""
    usable = [source for source in sources if not source.problem]
    return [
        f"--{split} {glob!r}"
        for split, globs in options.pinned.items()
        for glob in globs
        if not any(_matches(source, glob) for source in usable)
    ]


def _matches(source: Source, glob: str) -> bool:
    return any(fnmatch.fnmatch(name, glob) for name in (source.name, PurePosixPath(source.name).name))


def split_position(digest: str, seed: int) -> float:
    """The video's number u in [0, 1): the first 52 bits of sha256(``"seed digest"``) as a fraction."""
    return int(text_sha256(f"{seed} {digest}")[:13], 16) / 2**52


def _fill_empty_splits(splits: dict[str, str], positions: Mapping[str, float], shares: tuple[float, ...]) -> None:
    for index, share in enumerate(shares):
        here = list(splits.values())
        if not share or SPLITS[index] in here:
            continue
        # Nothing may be taken from a split that would be empty then, but train comes first.
        free = [digest for digest in positions if index == 0 or here.count(splits[digest]) > 1]
        low = sum(shares[:index])
        outside = {digest: max(low - positions[digest], positions[digest] - low - share, 0.0) for digest in free}
        if free:
            splits[min(free, key=lambda digest: (outside[digest], digest))] = SPLITS[index]
