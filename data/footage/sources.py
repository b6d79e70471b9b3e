"""The input videos of `data.prepare`: what looking at each once shows."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

from common.hashing import file_sha256
from common.option_types import MIN_SIDE
from data.footage.duplicates import HASH_BITS, Fingerprint, near_duplicates
from data.footage.frames import WHOLE, Crop, crop_box
from data.footage.scan import look_at
from data.media.read_video import VideoInfo
from data.workers import Workers, expect_visible


@dataclass(frozen=True)
class Source:
    """One input video: what decoding it showed, or why it cannot be used."""

    path: str
    name: str  # relative to the input it was found in
    sha256: str
    info: VideoInfo | None
    problem: str | None
    short_shots: tuple[tuple[int, str], ...] = ()  # those that give no sequence: number, and why


def scan_sources(names: list[tuple[Path, str]], workers: Workers) -> list[Source]:
    """Decode and hash every video once; what can't be read becomes part of the source.

    Args:
        names: what :func:`data.footage.find.find_sources` returned.
    """
    scan = functools.partial(_scan, shared=workers.remote)
    scanned = dict(workers.map(scan, names, total=len(names), unit="videos", brief=True))
    return [scanned[item] for item in names]


@dataclass(frozen=True)
class Requirements:
    """What a video has to have."""

    fps: float  # at which frames are counted
    fewest_frames: int  # of a shot
    fewest_lines: int = 0  # of a field, where a video is interlaced
    crop: Crop = WHOLE  # see data.footage.frames.View
    one_shot: bool = False  # cuts are not believed
    keep_duplicates: bool = False


def check_sources(sources: list[Source], requirements: Requirements) -> list[Source]:
    """The sources again, with a problem where one is unfit, and the shots that are.

    Args:
        sources: all that were scanned, in the order of their names: of several copies the first one stays.
    """
    first_of: dict[str, str] = {}
    checked = []
    for source in sources:
        if source.problem is None:
            source = _fitness(source, requirements)
        if source.problem is None and source.sha256 in first_of:
            source = replace(source, problem=f"the same file as {first_of[source.sha256]}")
        first_of.setdefault(source.sha256, source.name)
        checked.append(source)
    if not requirements.keep_duplicates:
        for number, (other, distance) in near_duplicates(map(_fingerprint, checked)).items():
            problem = f"near-duplicate of {checked[other].name} (distance {distance} of {HASH_BITS} bits)"
            checked[number] = replace(checked[number], problem=problem)
    return checked


def _scan(item: tuple[Path, str], shared: bool = False) -> Source:
    path, name = item
    if shared:
        expect_visible(path)
    try:
        if path.is_dir():
            raise ValueError("this folder can't be read, change its permissions")
        if any("\udc80" <= character <= "\udcff" for character in str(path)):  # how Python keeps stray bytes
            raise ValueError("its path is not valid UTF-8, rename it")
        sha256, info = look_at(path)
        return Source(str(path), name, sha256, info, None)
    except (ValueError, OSError) as error:
        # The manifest names the video already, and no absolute path belongs into it.
        reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        return Source(str(path), name, _hash_if_readable(path), None, reason)


def _hash_if_readable(path: Path) -> str:
    try:
        return file_sha256(path)
    except (ValueError, OSError):
        return ""


def _fitness(source: Source, requirements: Requirements) -> Source:
    """A source that could be read, with a problem if it is unfit."""
    assert source.info is not None
    info = replace(source.info, shots=(0,)) if requirements.one_shot else source.info
    left, top, right, bottom = crop_box(info.width, info.height, requirements.crop)
    width, height = right - left, bottom - top
    wanted = f"{requirements.fewest_frames} are needed"
    lengths = [len(info.resample(requirements.fps, shot)[0]) for shot in range(len(info.shots))]
    short = [(shot, length) for shot, length in enumerate(lengths) if length < requirements.fewest_frames]
    problem = None
    if len(short) == len(lengths):
        shots = f"the longest of {len(lengths)} shots has {max(lengths)} frames" if len(lengths) > 1 else None
        problem = f"too short: {shots or f'{lengths[0]} frames'}, {wanted}"
    elif min(width, height) < MIN_SIDE:
        cropped = " after --crop" if requirements.crop != WHOLE else ""
        problem = f"too small: {width}x{height} pixels{cropped}, {MIN_SIDE} a side are needed"
    elif info.interlaced and info.height // 2 < requirements.fewest_lines:
        problem = (
            f"interlaced: a field has {info.height // 2} lines, {requirements.fewest_lines} are needed; "
            "deinterlace it (ffmpeg -i IN -vf bwdif OUT) or choose a smaller --size"
        )
    reasons = tuple((shot, f"too short a shot: {length} frames, {wanted}") for shot, length in short)
    return replace(source, info=info, problem=problem, short_shots=() if problem else reasons)


def _fingerprint(source: Source) -> Fingerprint | None:
    if source.problem or source.info is None:
        return None
    return Fingerprint(source.info.hashes, source.info.course)
