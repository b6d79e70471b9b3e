"""Fingerprints of videos: copies are found, other scenes and other takes of a scene are not taken for them."""

import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest

from data.flow.consistency import consistent_share, measured_frames
from data.footage.duplicates import (
    COURSE_SAMPLES,
    HASH_BITS,
    MAX_DISTANCE,
    MAX_HASHES,
    Fingerprint,
    FingerprintCollector,
    hash_distance,
    near_duplicates,
    perceptual_hash,
    same_course,
)


def take(scene: int, motion: int, num_frames: int = 90, size: tuple[int, int] = (96, 72)) -> list[np.ndarray]:
    """Frames [H, W, 3] of a scene in which a part sways at random."""
    coarse = np.random.default_rng(scene).integers(20, 230, (9, 12, 3), dtype=np.uint8)
    still = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC)
    sway = np.random.default_rng(motion).normal(size=num_frames).cumsum() / 3
    frames = []
    for shift in sway:
        frame = cv2.warpAffine(still, np.float32([[1, 0, shift], [0, 1, 0]]), (96, 72), borderMode=cv2.BORDER_REFLECT)
        frame[:, :30] = still[:, :30]
        frames.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    return frames


def fingerprint(frames: list[np.ndarray], fps: float = 30.0) -> Fingerprint:
    collector = FingerprintCollector()
    for index, frame in enumerate(frames):
        collector.add(frame, index / fps)
    return collector.fingerprint()


def compressed(frames: list[np.ndarray], quality: int) -> list[np.ndarray]:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return [cv2.imdecode(cv2.imencode(".jpg", frame, options)[1], cv2.IMREAD_COLOR) for frame in frames]


def test_the_hash_is_that_of_the_lowest_frequencies() -> None:
    random = np.random.default_rng(0)
    gray = random.uniform(0, 255, (32, 32)).astype(np.float32)
    n = np.arange(32)
    basis = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / 64)[:8]  # DCT-II, whose scale does not matter within a row
    scale = np.where(np.arange(8) == 0, np.sqrt(1 / 32), np.sqrt(2 / 32))
    lowest = (scale[:, None] * basis) @ gray @ (scale[:, None] * basis).T
    bits = (lowest > np.median(lowest.ravel()[1:])).ravel()
    bits[0] = False
    assert perceptual_hash(gray) == int("".join("01"[int(bit)] for bit in bits), 2)
    assert perceptual_hash(gray * 0.5 + 40) == perceptual_hash(gray)  # brightness and contrast do not matter


def test_copies_are_found() -> None:
    original = take(1, 1)
    copies = [
        compressed(original, 20),
        take(1, 1, size=(64, 48)),
        original[12:],
        original[:-25],
        original[::2],  # at half the rate, below
        [(frame * 0.9 + 10).astype(np.uint8) for frame in original],
    ]
    prints = [fingerprint(original), *(fingerprint(copy) for copy in copies)]
    prints[5] = fingerprint(copies[4], 15)
    found = near_duplicates(prints)
    assert {number: kept for number, (kept, _) in found.items()} == dict.fromkeys(range(1, 7), 0)
    assert max(distance for _, distance in found.values()) <= 4


@pytest.mark.parametrize("order", [1, -1])
def test_long_copies_are_found_although_courses_end(order: int) -> None:
    original = take(2, 5, 360)
    assert near_duplicates([fingerprint(frames) for frames in (original, original[40:])[::order]]) == {1: (0, 0)}


@pytest.mark.parametrize("seed", range(4))
def test_other_scenes_and_other_takes_are_none(seed: int) -> None:
    prints = [fingerprint(take(scene, motion)) for scene in (seed, seed + 50) for motion in range(3)]
    assert near_duplicates(prints) == {}
    assert hash_distance(prints[0].hashes, prints[1].hashes) <= MAX_DISTANCE  # a take: only its motion differs
    assert not same_course(prints[0].course, prints[1].course)
    assert hash_distance(prints[0].hashes, prints[3].hashes) > MAX_DISTANCE + 4


def test_the_nearest_of_those_kept_is_named() -> None:
    still = [take(0, 0, 1)[0]] * 30
    base = fingerprint(still)
    flipped = [tuple(value ^ mask for value in base.hashes) for mask in (0, 0xFFF << 8, 0x7 << 8)]
    prints = [Fingerprint(hashes, base.course) for hashes in flipped]
    # The second is 12 bits from the first and so kept; the third is 3 from the first, 9 from the second.
    assert near_duplicates([*prints, None, Fingerprint((), "")]) == {2: (0, 3)}
    assert near_duplicates([prints[1], prints[2], prints[0]]) == {1: (0, 9)}
    assert hash_distance((), base.hashes) == HASH_BITS


def test_fingerprints_are_small_whatever_the_length_and_fit_into_json() -> None:
    frame = take(0, 0, 1)[0]
    long = fingerprint([frame] * 1200, 5.0)
    assert MAX_HASHES / 2 <= len(long.hashes) <= MAX_HASHES
    assert len(long.course) == -(-COURSE_SAMPLES * 64 * 2 // 3) * 4
    values = json.loads(json.dumps(asdict(long)))
    assert Fingerprint(tuple(values["hashes"]), values["course"]) == long
    assert near_duplicates([long, fingerprint([frame] * 30)]) == {1: (0, 0)}  # nothing moves: the picture decides


def test_consistency_is_the_share_of_pixels_that_come_back() -> None:
    height, width = 12, 20
    forward = np.zeros((2, height, width, 2), np.float32)
    forward[..., 0] = 3.0
    backward = -forward
    assert consistent_share(forward, backward) == 1.0
    wrong = backward.copy()
    wrong[1, :, 10:] = 0
    # Pixels 7 to 16 of the second pair arrive where the way back is unknown; 17 to 19 leave the picture.
    assert consistent_share(forward, wrong) == pytest.approx((1 + 7 / 17) / 2)
    # 0.01 (3^2 + 3^2 + e^2) + 0.5 squared pixels are allowed, e = 0.829 is just as much.
    for error, share in ((0.82, 1.0), (0.84, 0.0)):
        back = backward.copy()
        back[..., 1] = error
        assert consistent_share(forward[:1], back[:1]) == share
    assert consistent_share(np.full_like(forward, 50), backward) == 0.0


def test_measured_frames_are_spread_evenly() -> None:
    assert measured_frames(150, 15).tolist()[::7] == [10, 79, 149]
    assert measured_frames(4, 15).tolist() == [1, 2, 3]
    assert len(measured_frames(150, 0)) == 0
