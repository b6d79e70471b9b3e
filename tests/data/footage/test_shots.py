"""Cuts between shots: hard ones are found to the frame; light, swaying things and short flashes are none."""

import pickle

import cv2
import numpy as np
import pytest

from data.footage.shots import WINDOW, ShotDetector, small_picture


def scene(seed: int) -> np.ndarray:
    """uint8 [48, 64, 3] of coarse texture."""
    coarse = np.random.default_rng(seed).integers(20, 230, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)


def swaying(seed: int, num_frames: int, amplitude: float = 3.0) -> list[np.ndarray]:
    """Frames of a scene whose every pixel sways, with a wave that runs through it and noise."""
    random = np.random.default_rng(seed)
    ys, xs = np.mgrid[:48, :64].astype(np.float32)
    frames = []
    for t in range(num_frames):
        shift = amplitude * np.sin(2 * np.pi * t / 12 + xs / 20 + seed)
        moved = cv2.remap(scene(seed), xs + shift, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        frames.append((moved + random.normal(0, 3, moved.shape)).clip(0, 255).astype(np.uint8))
    return frames


def shots(frames: list[np.ndarray]) -> tuple[int, ...]:
    detector = ShotDetector()
    for frame in frames:
        detector.add(small_picture(frame))
    return detector.shots()


@pytest.mark.parametrize("lengths", [(20, 20), (1, 30), (30, 1), (10, 2, 10), (15, 3, 9, 20), (1,), (40,)])
def test_cuts_are_found_to_the_frame(lengths: tuple[int, ...]) -> None:
    frames = [frame for seed, length in enumerate(lengths) for frame in swaying(seed, length)]
    assert shots(frames) == tuple(np.cumsum([0, *lengths[:-1]]).tolist())


@pytest.mark.parametrize("seed", range(12))
def test_any_two_scenes_are_told_apart(seed: int) -> None:
    assert shots([*swaying(seed, 12), *swaying(seed + 100, 12)]) == (0, 12)


def test_a_cut_between_dark_shots_is_found() -> None:
    frames = [(frame * 0.25).astype(np.uint8) for frame in [*swaying(1, 12), *swaying(2, 12)]]
    assert shots(frames) == (0, 12)


@pytest.mark.parametrize("length", range(1, WINDOW))
@pytest.mark.parametrize("start", [0, 1, 14, 29])
def test_a_flash_is_no_cut(length: int, start: int) -> None:
    frames = swaying(3, 30)
    for frame in frames[start : start + length]:
        frame[:] = np.minimum(frame.astype(int) * 2 + 60, 255)
    # A first or last frame that looks like nothing else may be cut off.
    assert len(shots(frames)) == 1 or start in (0, 29) or start + length >= 30
    if start == 14:
        white = swaying(3, 30)
        for frame in white[start : start + length]:
            frame[:] = 255
        assert shots(white) == (0,)


def test_flicker_is_no_cut() -> None:
    random = np.random.default_rng(5)
    glow = np.exp(-(((np.mgrid[:48, :64] - np.array([[[24]], [[32]]])) / 12) ** 2).sum(axis=0))[..., None]
    frames = []
    for frame in swaying(4, 60):
        light = random.uniform(0.1, 1.0)
        frames.append((frame * (0.1 + 0.9 * glow * light)).clip(0, 255).astype(np.uint8))
    assert shots(frames) == (0,)


def test_a_lamp_that_is_switched_on_and_a_fade_are_no_cuts() -> None:
    frames = [(frame * (0.35 if t < 15 else 1.0)).astype(np.uint8) for t, frame in enumerate(swaying(6, 30))]
    assert shots(frames) == (0,)
    faded = [(frame * min(t / 15, 1)).astype(np.uint8) for t, frame in enumerate(swaying(7, 30))]
    assert shots(faded) == (0,)


@pytest.mark.parametrize("amplitude", [4.0, 5.0, 6.0])
def test_strong_swaying_and_doubled_frames_are_no_cuts(amplitude: float) -> None:
    frames = swaying(8, 40, amplitude)
    assert shots(frames) == (0,)
    assert shots([frame for frame in frames for _ in range(2)]) == (0,)


def test_a_pan_is_no_cut() -> None:
    wide = cv2.resize(np.random.default_rng(9).integers(0, 255, (6, 60, 3), dtype=np.uint8), (960, 48))
    assert shots([wide[:, 12 * t : 12 * t + 64].copy() for t in range(60)]) == (0,)


def test_memory_does_not_grow() -> None:
    detector = ShotDetector()
    picture = small_picture(scene(0))
    sizes = []
    for _ in range(500):
        detector.add(picture.copy())
        sizes.append(len(pickle.dumps(detector)))
    assert sizes[-1] <= sizes[2 * WINDOW] + 100  # counts take a few bytes more
