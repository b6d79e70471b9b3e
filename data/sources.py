"""The input videos of `data.prepare`: finding them, looking at each once, and dealing them out to the splits."""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.video import VideoInfo, scan_video

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """One input video: what decoding it showed, or why it cannot be used."""

    path: str
    name: str  # relative to the input it was found in
    sha256: str
    info: VideoInfo | None
    problem: str | None


def find_sources(inputs: list[Path], suffixes: tuple[str, ...], thing: str) -> list[tuple[Path, str]]:
    """(path, name relative to its input) of every input file, sorted by name; folders are searched for ``suffixes``.

    Args:
        thing: what they are called in an error, "video".
    """
    found: dict[Path, str] = {}
    for given in inputs:
        if given.is_dir():
            paths = sorted(path for path in given.rglob("*") if path.suffix.lower() in suffixes)
            if not paths:
                raise ValueError(f"{given}: no {thing}s in this folder (known: {' '.join(suffixes)})")
            found |= {path.resolve(): path.relative_to(given).as_posix() for path in paths}
        elif given.exists():
            found[given.resolve()] = given.name
        else:
            raise ValueError(f"{given}: no such {thing} or folder")
    return sorted(found.items(), key=lambda item: (item[1], item[0]))


def scan_sources(names: list[tuple[Path, str]], fps: float, fewest_frames: int, workers: int) -> list[Source]:
    """Decode and hash every video once; problems become part of the source.

    Args:
        names: what :func:`find_sources` returned.
        fps: frame rate at which ``fewest_frames`` frames are needed.
    """
    from tqdm import tqdm

    # Threads are enough: decoding and hashing run outside Python's lock.
    with ThreadPoolExecutor(workers) as pool:
        scans = pool.map(_scan, names)
        sources = list(tqdm(scans, total=len(names), unit=" videos", dynamic_ncols=True, leave=False, disable=None))
    first_of: dict[str, str] = {}
    checked = []
    for source in sources:
        problem = source.problem or _shortness(source, fps, fewest_frames)
        if problem is None and source.sha256 in first_of:
            problem = f"the same file as {first_of[source.sha256]}"
        first_of.setdefault(source.sha256, source.name)
        checked.append(Source(source.path, source.name, source.sha256, source.info, problem))
    return checked


def file_sha256(path: str | Path) -> str:
    """Hash of a file's content, by which a video is recognised wherever it is."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _scan(item: tuple[Path, str]) -> Source:
    path, name = item
    sha256 = ""
    try:
        sha256 = file_sha256(path)
        return Source(str(path), name, sha256, scan_video(path), None)
    except (ValueError, OSError) as error:
        # The manifest names the video already, and no absolute path belongs into it.
        return Source(str(path), name, sha256, None, str(error).removeprefix(f"{path}: "))


def _shortness(source: Source, fps: float, fewest_frames: int) -> str | None:
    assert source.info is not None
    frames = len(source.info.resample(fps)[0])
    return f"too short: {frames} frames, {fewest_frames} are needed" if frames < fewest_frames else None


def assign_splits(
    sources: list[Source], shares: tuple[float, ...], pinned: Mapping[str, list[str]], seed: int
) -> dict[str, str]:
    """Split by sha256 of each usable video: pinned by file name, the rest by shares.

    The order in which videos are dealt out comes from their content and the seed, not from names or folders. Each
    split with a share gets a video as long as there are enough.

    Args:
        shares: of train, validation and test.
        pinned: split -> globs for file names.
    """
    splits: dict[str, str] = {}
    free = []
    for source in sources:
        if source.problem:
            continue
        names = {source.name, Path(source.name).name}
        matching = [
            split
            for split, globs in pinned.items()
            if any(fnmatch.fnmatch(name, glob) for glob in globs for name in names)
        ]
        if matching:
            splits[source.sha256] = matching[0]
        else:
            free.append(source.sha256)
    free.sort(key=lambda digest: hashlib.sha256(f"{seed} {digest}".encode()).hexdigest())
    for split, count in zip(SPLITS, split_counts(len(free), shares), strict=True):
        splits.update(dict.fromkeys(free[:count], split))
        free = free[count:]
    return splits


def split_counts(total: int, shares: tuple[float, ...]) -> list[int]:
    """Whole numbers that add up to ``total`` in these shares; a share above zero gets at least one if possible."""
    counts = [math.floor(total * share + 1e-9) for share in shares]
    while sum(counts) < total:
        remainders = [
            total * share - count if share else -math.inf for share, count in zip(shares, counts, strict=True)
        ]
        counts[int(np.argmax(remainders))] += 1
    for index, share in enumerate(shares):
        largest = int(np.argmax(counts))
        if share and not counts[index] and counts[largest] > 1:
            counts[index], counts[largest] = 1, counts[largest] - 1
    return counts
