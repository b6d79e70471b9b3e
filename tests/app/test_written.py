"""What is measured of a loop's file, and what its coding promises."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.clips.rolling_clip import smooth_picture
from PIL import Image, ImageSequence

from app.written import measure_written
from data.media import write_video as write_video_module
from data.media.write_video import OUTPUT_SUFFIXES, write_video


def swaying(num_frames: int = 48, width: int = 96) -> np.ndarray:
    """A loop, uint8 ``[T, H, W, 3]``: smooth noise that goes round in a circle by parts of a pixel a frame."""
    generator = np.random.default_rng(0)
    spectrum = np.fft.rfft2(generator.normal(size=(64, width, 3)), axes=(0, 1))
    y, x = np.fft.fftfreq(64)[:, None, None], np.fft.rfftfreq(width)[None, :, None]
    spectrum *= np.exp(-((x**2 + y**2) / 0.15**2))
    frames = []
    for time in range(num_frames):
        angle = 2 * np.pi * time / num_frames
        moved = spectrum * np.exp(-2j * np.pi * 1.7 * (x * np.sin(angle) + y * np.cos(angle)))
        frames.append(np.fft.irfft2(moved, s=(64, width), axes=(0, 1)))
    stack = np.stack(frames)
    return (128 + 40 * stack / stack.std()).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def loop() -> np.ndarray:
    return swaying()


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_a_loops_file_has_its_frames_and_no_seam(tmp_path: Path, loop: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, loop, 30, loop_frames=len(loop))
    written = measure_written(path)
    assert (written.size, written.num_frames) == ((96, 64), 48)
    assert written.num_bytes == path.stat().st_size
    assert written.seam == pytest.approx(1, abs=0.5)
    assert written.sharpness == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_the_last_frames_of_a_loop_come_to_meet_the_first_one(tmp_path: Path, loop: np.ndarray, suffix: str) -> None:
    """The noise of coding, which jumps at the seam of a video that is not coded as a loop."""
    jumps = []
    for loop_frames in (None, len(loop)):
        write_video(tmp_path / f"a{suffix}", loop, 30, loop_frames=loop_frames)
        jumps.append(measure_written(tmp_path / f"a{suffix}").seam)
    assert jumps[1] < jumps[0]


def test_a_webp_of_gentle_motion_does_not_flicker(
    tmp_path: Path, loop: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key frames that Pillow puts in by default every fifth step or so is several times the others."""
    largest = []
    for options in (write_video_module.WEBP, {"quality": 85, "method": 4}):
        monkeypatch.setattr(write_video_module, "WEBP", options)
        write_video(tmp_path / "a.webp", (128 + 0.05 * (loop - 128.0)).astype(np.uint8), 30, loop_frames=len(loop))
        with Image.open(tmp_path / "a.webp") as image:
            frames = [np.asarray(frame.convert("RGB"), float) for frame in ImageSequence.Iterator(image)]
        largest.append(max(np.abs(after - before).mean() for before, after in pairwise(frames)))
    assert largest[0] < 0.6 * largest[1]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_odd_sides_are_told_as_they_are_written(tmp_path: Path, loop: np.ndarray, suffix: str) -> None:
    write_video(tmp_path / f"a{suffix}", loop[:5, :47, :63], 30, loop_frames=5)
    assert measure_written(tmp_path / f"a{suffix}").size == (64, 48)


def test_what_stands_still_has_no_seam_to_speak_of(tmp_path: Path) -> None:
    write_video(tmp_path / "a.apng", [np.full((48, 64, 3), 90, np.uint8)] * 6, 30, loop_frames=6)
    written = measure_written(tmp_path / "a.apng")
    assert (written.seam, written.sharpness) == (None, None)
    write_video(tmp_path / "b.mp4", [smooth_picture()], 30, loop_frames=1)
    assert measure_written(tmp_path / "b.mp4").seam is None


def test_a_motion_weaker_than_the_noise_of_coding_has_no_seam_to_speak_of(tmp_path: Path) -> None:
    """A dot on a standing picture: hardly a step between frames, and at the seam all of the noise at once."""
    frames = [smooth_picture().copy() for _ in range(4)]
    for time, frame in enumerate(frames):
        frame[20 + time % 2, 20] = 255
    write_video(tmp_path / "a.mp4", frames, 30, loop_frames=4)
    assert measure_written(tmp_path / "a.mp4").seam is None
