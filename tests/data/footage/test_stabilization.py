"""Slow drift of the camera is removed, motion in front of it stays; nothing else changes."""

import cv2
import numpy as np
import pytest

from data.footage.stabilization import SMALLEST_VIEW, camera_path, slow_part, stabilize, visible_view

WIDTH, HEIGHT, FPS = 256, 160, 30.0


def ground(seed: int = 0) -> np.ndarray:
    """Texture of 448 x 320 pixels, a few pixels coarse."""
    random = np.random.default_rng(seed)
    picture = np.zeros((320, 448, 3), np.float32)
    for cell, contrast in ((4, 12), (10, 25), (40, 25)):
        coarse = random.normal(0, contrast, (320 // cell + 1, 448 // cell + 1, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (448, 320), interpolation=cv2.INTER_CUBIC)
    return (picture + 120).clip(0, 255)


def drifting_clip(
    num_frames: int, drift: np.ndarray, sway: float, angle: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, H, W, 3] at twice the size and the swaying things' true displacement [T] in pixels of the result.

    Args:
        drift: [T, 2], of the ground in pixels of the result.
        sway: amplitude of three patches that swing at 1 Hz, in pixels of the result.
        angle: [T], rotation of the camera in degrees.
    """
    still, things = ground(0), ground(1)
    swing = sway * np.sin(2 * np.pi * np.arange(num_frames) / FPS)
    frames = []
    for t in range(num_frames):
        scene = still.copy()
        moved = cv2.warpAffine(things, np.float32([[1, 0, swing[t]], [0, 1, 0]]), (448, 320), flags=cv2.INTER_CUBIC)
        for left, top in ((150, 110), (240, 150), (180, 200)):
            scene[top : top + 30, left : left + 50] = moved[top : top + 30, left : left + 50]
        turn = cv2.getRotationMatrix2D((224, 160), 0.0 if angle is None else float(angle[t]), 1)
        # The camera's picture is 256 x 160 around the centre; the result of a drift d shows the ground moved by d.
        turn[:, 2] += drift[t] - np.array([224 - WIDTH / 2, 160 - HEIGHT / 2])
        zoom = np.array([[2, 0, 0.5], [0, 2, 0.5]]) @ np.vstack([turn, [0, 0, 1]])
        frames.append(cv2.warpAffine(scene, zoom, (2 * WIDTH, 2 * HEIGHT), flags=cv2.INTER_CUBIC))
    return np.stack(frames).clip(0, 255).astype(np.uint8), swing


def displacement(frames: np.ndarray) -> np.ndarray:
    """Flow [T, H, W, 2] from the first frame."""
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.stack([estimator.calc(grays[0], gray, None) for gray in grays])


def still_part(height: int, width: int) -> np.ndarray:
    """Pixels in the outer quarter, where only the ground is."""
    inner = np.zeros((height, width), bool)
    inner[height // 8 : -height // 8, width // 8 : -width // 8] = True
    frame = np.zeros((height, width), bool)
    frame[6:-6, 6:-6] = True
    return frame & ~inner


def path_of(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A drift of up to 15 pixels, and a turn of half a degree."""
    time = np.arange(num_frames) / num_frames
    return np.stack([12 * time + 2 * np.sin(np.pi * time), -6 * time**2], axis=1), 0.5 * time


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    return drifting_clip(48, path_of(48)[0], 3.0, path_of(48)[1])


@pytest.mark.slow
def test_drift_goes_and_sway_stays(clip: tuple[np.ndarray, np.ndarray]) -> None:
    frames, swing = clip
    plain = [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    before = displacement(np.stack(plain))
    result = stabilize(frames, FPS, (WIDTH, HEIGHT))
    assert result.shape == (48, HEIGHT, WIDTH, 3)
    assert (result == stabilize(frames, FPS, (WIDTH, HEIGHT))).all()
    after = displacement(result)
    still = still_part(HEIGHT, WIDTH)
    drift_before = np.hypot(*np.median(before[:, still], axis=1).T)
    drift_after = np.hypot(*np.median(after[:, still], axis=1).T)
    assert drift_before.max() > 10
    assert drift_after.max() < 0.3
    assert drift_after.mean() < 0.12
    # The swaying things, found where they move most, swing as they did, a little larger by the crop.
    spread = after[..., 0].std(axis=0)
    things = after[:, spread > 0.9 * np.percentile(spread, 99), 0].mean(axis=1)
    gain = things @ swing / (swing @ swing)
    assert 0.9 < gain < 1.25  # the estimator smooths a little
    assert np.corrcoef(things, swing)[0, 1] > 0.98


def test_the_path_is_that_of_the_camera(clip: tuple[np.ndarray, np.ndarray]) -> None:
    drift, angle = path_of(48)
    path = camera_path(clip[0], FPS)
    # Twice the size, so twice the shift.
    assert np.abs(path[:, 2:] / 2 - drift).max() < 0.25
    assert np.abs(np.degrees(path[:, 1]) + angle).max() < 0.1
    assert np.abs(path[:, 0]).max() < 0.003
    assert (path[0] == 0).all()


def test_a_still_camera_stays_as_it_is() -> None:
    frames, _ = drifting_clip(30, np.zeros((30, 2)), 4.0)
    plain = np.stack([cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames])
    result = stabilize(frames, FPS, (WIDTH, HEIGHT))
    assert np.abs(result.astype(int) - plain).mean() < 1.5
    after, before = displacement(result), displacement(plain)
    assert np.abs(after - before).mean() < 0.1


def test_only_what_is_slow_is_taken_out() -> None:
    times = np.arange(300) / FPS
    fast, slow = np.sin(2 * np.pi * 1.0 * times), np.sin(2 * np.pi * 0.05 * times)
    path = np.stack([times, fast, slow, 0 * times], axis=1)
    smooth = slow_part(path, FPS)
    middle = slice(60, -60)
    assert np.abs(smooth[:, 0] - times).max() < 1e-9
    assert np.abs(slow_part(path**2, FPS)[:, 0] - times**2).max() < 1e-9
    assert smooth[middle, 1].std() < 0.05
    assert np.corrcoef(smooth[middle, 2], slow[middle])[0, 1] > 0.999
    assert smooth[middle, 2].std() > 0.95 * slow[middle].std()


def test_the_view_is_what_all_frames_show() -> None:
    shifted = [np.array([[1, 0, x], [0, 1, 0.0]]) for x in (0.0, 20.0, -10.0)]
    x, y, share = visible_view(shifted, 101, 51)
    assert share == pytest.approx(0.7)
    assert x == pytest.approx(45)
    assert 17.5 - 1e-6 <= y <= 32.5 + 1e-6
    assert visible_view([*shifted, np.array([[1, 0, 500.0], [0, 1, 0]])], 101, 51)[2] == 0


def test_what_can_t_be_steadied_is_named() -> None:
    flat = np.full((5, 64, 64, 3), 100, np.uint8)
    with pytest.raises(ValueError, match="nothing to hold on to"):
        stabilize(flat, FPS, (32, 32))
    pan = np.stack([np.linspace(0, 70, 12), np.zeros(12)], axis=1)
    frames, _ = drifting_clip(12, pan, 0.0)
    with pytest.raises(ValueError, match=rf"drift leaves \d+% .* {SMALLEST_VIEW:.0%} are needed"):
        stabilize(frames[:, :, 60:360], FPS, (150, HEIGHT))
