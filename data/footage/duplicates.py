"""Finding copies among videos: re-encoded, rescaled or slightly trimmed versions of the same recording.

Each video gets a fingerprint with two parts: 64-bit perceptual hashes of a few frames, and the brightness of each cell
of a coarse grid over the first seconds, its course. The hashes tell scenes apart. They cannot tell a copy from a second
take of the same scene, whose frames look alike; the course can, because the second take moves differently. Nothing here
reads files.
"""

from __future__ import annotations

import base64
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

HASH_BITS = 64
MAX_DISTANCE = 10  # bits; copies differ by 0 to 8, pictures of different scenes by 20 to 40
MAX_HASHES = 16  # hashes kept of a video
GRID = 8  # rows and columns of cells
COURSE_RATE = 10.0  # samples of the course a second
COURSE_SAMPLES = 80  # samples of a course, at most
LEVELS = 16  # brightness is stored in sixteenths of a gray level
MIN_OVERLAP = 10  # samples; with fewer in common, two courses are not compared
SLACK = 1  # samples by which the shorter of two courses may stick out of the longer one
LIVELY = 4  # number of cells that are compared: those in which most happens
CODEC_NOISE = 0.75  # variance, in gray levels squared, that strong compression adds to a cell's course
SAME_COURSE = 0.92  # least correlation of a copy's course, where the motion is far above that noise


@dataclass(frozen=True)
class Fingerprint:
    """What copies of a video have in common, as plain values that fit into JSON."""

    hashes: tuple[int, ...]  # perceptual_hash() of frames spread over the video
    course: str  # base64 of little-endian int16 [samples, GRID * GRID]: mean of each cell in 1/16 gray levels


class FingerprintCollector:
    """Makes the fingerprint of a video from its frames, given one by one; memory does not grow with its length."""

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._course: list[np.ndarray] = []
        self._last: tuple[float, np.ndarray] | None = None  # time of the frame before, and its cells
        self._sum: np.ndarray = np.zeros(GRID * GRID)  # brightness times seconds since the last sample
        self._next_hash = 0.0
        self._hash_interval = 0.5  # seconds; doubles whenever there are too many

    def add(self, frame: np.ndarray, seconds: float) -> None:
        """Take the next frame.

        Args:
            frame: uint8 ``[H, W, 3]``, BGR as OpenCV decodes it.
            seconds: its time, 0 for the first.
        """
        import cv2

        if len(self._course) == COURSE_SAMPLES and seconds < self._next_hash:
            return
        whole = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
        gray = np.asarray(cv2.resize(whole, (32, 32), interpolation=cv2.INTER_AREA))
        self._sample(gray.reshape(GRID, 32 // GRID, GRID, 32 // GRID).mean(axis=(1, 3)).ravel(), seconds)
        if seconds >= self._next_hash:
            self._hashes.append(perceptual_hash(gray))
            self._next_hash = seconds + self._hash_interval
            if len(self._hashes) > MAX_HASHES:
                self._hashes = self._hashes[::2]
                self._hash_interval *= 2

    def _sample(self, light: np.ndarray, seconds: float) -> None:
        """Continue the course up to this frame. A sample is the mean over a span of time, whatever the frame rate."""
        position, earlier = self._last or (seconds, light)
        while position < seconds and len(self._course) < COURSE_SAMPLES:
            end = (len(self._course) + 1) / COURSE_RATE
            self._sum = self._sum + earlier * (min(end, seconds) - position)
            position = min(end, seconds)
            if position == end:
                self._course.append(np.rint(self._sum * (COURSE_RATE * LEVELS)).astype("<i2"))
                self._sum = np.zeros(GRID * GRID)
        self._last = seconds, light

    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the frames so far."""
        course = np.stack(self._course) if self._course else np.empty((0, GRID * GRID), "<i2")
        return Fingerprint(tuple(self._hashes), base64.b64encode(course.tobytes()).decode("ascii"))


def perceptual_hash(gray: np.ndarray) -> int:
    """Perceptual hash of a gray picture ``[32, 32]``: which of its 8x8 lowest DCT coefficients exceed their median.

    The first coefficient is the brightness. Its bit is always 0, so that brighter and darker copies agree.
    """
    import cv2

    lowest = np.asarray(cv2.dct(gray.astype(np.float32)), np.float32)[:8, :8].ravel()
    bits = lowest > np.median(lowest[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """How many bits the hashes of two videos differ by; `HASH_BITS` where one of them has no hashes.

    Each hash of the video with fewer is compared with the nearest of the other, and the median of these distances is
    taken. So a part of a long video is as near to it as a copy of the whole.
    """
    if not first or not second:
        return HASH_BITS
    few, many = sorted((list(first), list(second)), key=len)
    bits = np.bitwise_count(np.array(few, np.uint64)[:, None] ^ np.array(many, np.uint64)[None])
    return int(statistics.median(bits.min(axis=1).tolist()))


def same_course(first: str, second: str) -> bool:
    """Whether the shorter of two courses (see `Fingerprint`) is a part of the longer one.

    The two are compared at each offset in time: mean and trend of the liveliest cells are removed, and these cells
    correlated together. Compression adds noise, so the weaker the motion, the less correlation is asked for; videos in
    which next to nothing moves cannot be told apart. True where the two are too short to be compared.
    """
    longer, shorter = sorted((_course(first), _course(second)), key=len, reverse=True)
    if len(shorter) < MIN_OVERLAP:
        return True
    # A course of full length was cut off: the other one may go on beyond its end, or begin before it.
    beyond, ahead = (len(shorter) // 2 if len(course) == COURSE_SAMPLES else SLACK for course in (longer, shorter))
    # A copy may begin between two samples.
    return any(
        _go_together(later[max(offset, 0) :], shorter[max(-offset, 0) :])
        for offset in range(-ahead, len(longer) - len(shorter) + beyond + 1)
        for later in (longer, (longer[1:] + longer[:-1]) / 2)
    )


def _go_together(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two courses ``[samples, cells]`` that begin together are those of copies."""
    length = min(len(first), len(second))
    one, other = _detrended(first[:length]), _detrended(second[:length])
    powers = (one**2).mean(axis=0), (other**2).mean(axis=0)
    lively = np.argsort(-np.minimum(*powers), kind="stable")[:LIVELY]
    weaker, stronger = sorted(float(power[lively].mean()) for power in powers)
    wanted = min(SAME_COURSE, np.sqrt(weaker / (weaker + CODEC_NOISE)))
    return float((one * other)[:, lively].mean()) >= wanted * np.sqrt(weaker * stronger)


def _course(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, GRID * GRID).astype(np.float64) / LEVELS


def _detrended(values: np.ndarray) -> np.ndarray:
    """Values ``[samples, cells]`` without each cell's mean and linear trend."""
    times = np.arange(len(values)) - (len(values) - 1) / 2
    centred = values - values.mean(axis=0)
    return centred - np.outer(times, times @ centred / (times @ times))


def near_duplicates(fingerprints: Iterable[Fingerprint | None]) -> dict[int, tuple[int, int]]:
    """Which videos are copies of earlier ones: number -> (number of the video it copies, differing bits).

    The first of several copies is kept. A copy names the nearest of the videos that are kept. Videos without a
    fingerprint are left out of the comparison.
    """
    kept: list[tuple[int, Fingerprint]] = []
    owners: np.ndarray = np.empty(0, np.int64)  # for each hash of a kept video, the video's place in `kept`
    hashes: np.ndarray = np.empty(0, np.uint64)
    copies: dict[int, tuple[int, int]] = {}
    for number, fingerprint in enumerate(fingerprints):
        if fingerprint is None or not fingerprint.hashes:
            continue
        mine = np.array(fingerprint.hashes, np.uint64)
        # The median over frames lies within the limit only if some frame does.
        close = (np.bitwise_count(mine[:, None] ^ hashes[None]) <= MAX_DISTANCE).any(axis=0)
        candidates = [
            (hash_distance(fingerprint.hashes, kept[place][1].hashes), place) for place in np.unique(owners[close])
        ]
        for distance, place in sorted(candidates):
            if distance <= MAX_DISTANCE and same_course(fingerprint.course, kept[place][1].course):
                copies[number] = kept[place][0], distance
                break
        else:
            owners = np.append(owners, np.full(len(mine), len(kept)))
            hashes = np.append(hashes, mine)
            kept.append((number, fingerprint))
    return copies
