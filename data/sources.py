"""The input videos of `data.prepare`: what looking at each once shows."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from data.parallel import Workers, expect_visible
from data.video import VideoInfo, scan_video


@dataclass(frozen=True)
class Source:
    """One input video: what decoding it showed, or why it cannot be used."""

    path: str
    name: str  # relative to the input it was found in
    sha256: str
    info: VideoInfo | None
    problem: str | None


def scan_sources(names: list[tuple[Path, str]], workers: Workers) -> list[Source]:
    """Decode and hash every video once; what can't be read becomes part of the source.

    Args:
        names: what :func:`data.source_files.find_sources` returned.
    """
    scan = functools.partial(_scan, shared=workers.remote)
    scanned = dict(workers.map(scan, names, len(names), "videos", brief=True))
    return [scanned[item] for item in names]


def check_sources(sources: list[Source], fps: float, fewest_frames: int) -> list[Source]:
    """The sources again, with a problem where one is too short or repeats an earlier one.

    Args:
        sources: all that were scanned, in the order of their names.
        fps: frame rate at which ``fewest_frames`` frames are needed.
    """
    first_of: dict[str, str] = {}
    checked = []
    for source in sources:
        problem = source.problem or _shortness(source, fps, fewest_frames)
        if problem is None and source.sha256 in first_of:
            problem = f"the same file as {first_of[source.sha256]}"
        first_of.setdefault(source.sha256, source.name)
        checked.append(replace(source, problem=problem))
    return checked


def file_sha256(path: str | Path) -> str:
    """Hash of a file's content, by which a video is recognised wherever it is."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _scan(item: tuple[Path, str], shared: bool = False) -> Source:
    path, name = item
    sha256 = ""
    if shared:
        expect_visible(path)
    try:
        if path.is_dir():
            raise ValueError("this folder can't be read, change its permissions")
        if any("\udc80" <= character <= "\udcff" for character in str(path)):  # how Python keeps stray bytes
            raise ValueError("its path is not valid UTF-8, rename it")
        sha256 = file_sha256(path)
        return Source(str(path), name, sha256, scan_video(path), None)
    except (ValueError, OSError) as error:
        # The manifest names the video already, and no absolute path belongs into it.
        reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        return Source(str(path), name, sha256, None, reason)


def _shortness(source: Source, fps: float, fewest_frames: int) -> str | None:
    assert source.info is not None
    frames = len(source.info.resample(fps)[0])
    return f"too short: {frames} frames, {fewest_frames} are needed" if frames < fewest_frames else None
