"""Writing video and animated pictures: what is written can be read again, as a whole or not at all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.clips.rolling_clip import nearest
from helpers.places import ROOT
from PIL import Image

from common.command_line import MachineFailure
from common.files import DISK_FULL
from data.media.read_video import read_video
from data.media.write_video import OUTPUT_SUFFIXES, write_video


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".gif"])
def test_video_round_trip(tmp_path: Path, clip: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, iter(clip), 25)
    frames, fps = read_video(path)
    assert frames.shape == clip.shape
    assert fps == pytest.approx(25)
    assert nearest(frames, clip) == list(range(40))
    assert np.abs(frames.astype(int) - clip).mean() < (12 if suffix == ".gif" else 8)  # a GIF has 256 colours
    # A colour cast (a wrong matrix) would shift the mean of a channel.
    assert frames.mean(axis=(0, 1, 2)) == pytest.approx(clip.mean(axis=(0, 1, 2)), abs=2)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".apng"])
@pytest.mark.parametrize("fps", [30, 25, 60])
def test_animations_repeat_forever_and_last_as_long_as_they_should(
    tmp_path: Path, clip: np.ndarray, suffix: str, fps: float
) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, clip, fps)
    shown, durations = [], []
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        for index in range(image.n_frames):
            image.seek(index)
            shown.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
    assert sum(durations) == pytest.approx(40 / fps * 1000, abs=10)
    if suffix == ".gif":
        assert min(durations) >= 20  # browsers take less for 100
    if suffix != ".gif" or fps <= 50:
        assert nearest(np.stack(shown), clip) == list(range(40))
    if suffix in (".png", ".apng"):
        assert (np.stack(shown) == clip).all()


def test_odd_sizes(tmp_path: Path, clip: np.ndarray) -> None:
    odd = clip[:, :47, :63]
    for suffix in OUTPUT_SUFFIXES:
        write_video(tmp_path / f"a{suffix}", odd, 30)
    frames, _ = read_video(tmp_path / "a.mp4")
    assert frames.shape == (40, 48, 64, 3)
    assert np.abs(frames[:, :47, :63].astype(int) - odd).mean() < 8
    assert np.abs(frames[:, 47].astype(int) - frames[:, 46]).mean() < 8  # repeated, not black


def test_one_frame(tmp_path: Path, clip: np.ndarray) -> None:
    for suffix in OUTPUT_SUFFIXES:
        write_video(tmp_path / f"a{suffix}", clip[:1], 30)
        assert (tmp_path / f"a{suffix}").stat().st_size > 0
    assert len(read_video(tmp_path / "a.mp4")[0]) == 1


def test_mp4_frames_are_written_as_they_come(tmp_path: Path, clip: np.ndarray) -> None:
    produced = []

    def produce():
        for index in range(40):
            produced.append(index)
            yield clip[index]
            # The file is growing beside its final name while frames are still to come.
            assert not (tmp_path / "a.mp4").exists()

    write_video(tmp_path / "a.mp4", produce(), 30)
    assert len(produced) == 40


def test_failing_frames_leave_nothing_behind(tmp_path: Path, clip: np.ndarray) -> None:
    def produce():
        yield clip[0]
        raise RuntimeError("no more")

    for suffix in OUTPUT_SUFFIXES:
        with pytest.raises(RuntimeError, match="no more"):
            write_video(tmp_path / f"a{suffix}", produce(), 30)
    assert not list(tmp_path.iterdir())


def test_writing_errors(tmp_path: Path, clip: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\.mp4 \.mov \.webm \.gif \.webp"):
        write_video(tmp_path / "a.xyz", clip, 30)
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], 30)
    with pytest.raises(ValueError, match="one size"):
        write_video(tmp_path / "a.mp4", [clip[0], clip[0, :30]], 30)
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "a.gif", [clip[0] / 255], 30)
    with pytest.raises(ValueError, match="does not exist"):
        write_video(tmp_path / "nowhere" / "a.mp4", clip, 30)
    with pytest.raises(ValueError, match="frame rate"):
        write_video(tmp_path / "a.mp4", clip, 0)
    assert not list(tmp_path.iterdir())


def test_unwritable_folder(tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    # A rename that fails stands for all failures of the disk; root may write to any folder, so modes cannot.
    monkeypatch.setattr("common.files.os.replace", refuse)
    for suffix in OUTPUT_SUFFIXES:
        with pytest.raises(PermissionError):
            write_video(tmp_path / f"a{suffix}", clip[:2], 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["12:30.gif", "a:b.mp4", "file:x.mp4", "%d.mp4", "-y.mp4", "n" * 250 + ".mp4"])
def test_any_name_is_a_files(tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(name, clip[:3], 30)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize("count", [1, 3, 60])
def test_a_gif_of_any_rate_has_frames(tmp_path: Path, clip: np.ndarray, count: int) -> None:
    write_video(tmp_path / "a.gif", clip[:count], 1000)
    assert len(read_video(tmp_path / "a.gif")[0]) >= 1


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    """The system's limit on the size of files stands for a full disk, which it takes a superuser to make."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"an older file")
    code = (
        "import resource, sys, numpy as np\n"
        "from data.media.write_video import write_video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\n"
        "frames = np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)\n"
        "try:\n    write_video(sys.argv[1], frames, 30)\n"
        "except OSError as error:\n    print(error.errno, error.filename)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert run.stderr == ""
    number, name = run.stdout.split()
    assert int(number) in DISK_FULL
    assert name == str(path)
    assert path.read_bytes() == b"an older file"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_what_ffmpeg_says_is_told(tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\necho 'no such codec' >&2\nexit 3\n")
    (tmp_path / "program").chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "program"))
    with pytest.raises(MachineFailure, match=r"a\.mp4: ffmpeg could not write the video \(no such codec\)"):
        write_video(tmp_path / "a.mp4", clip, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_that_stands_still_lasts_as_long_as_it_should(tmp_path: Path, suffix: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    write_video(tmp_path / f"still{suffix}", [frame] * 5, 2)
    with Image.open(tmp_path / f"still{suffix}") as animation:
        milliseconds = 0
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            milliseconds += animation.info["duration"]
            assert np.abs(np.asarray(animation.convert("RGB")).astype(int) - frame).max() <= 1
    assert milliseconds == 2500


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("loop_frames", [None, 40])
def test_colours_are_said_in_the_file(tmp_path: Path, clip: np.ndarray, suffix: str, loop_frames: int | None) -> None:
    """The box ``colr``: BT.709 primaries (1) and transfer (1), BT.601 matrix (6)."""
    write_video(tmp_path / f"a{suffix}", clip, 30, loop_frames=loop_frames)
    content = (tmp_path / f"a{suffix}").read_bytes()
    box = content.index(b"colr")
    assert content[box + 4 : box + 8] in (b"nclx", b"nclc")
    assert [int.from_bytes(content[box + at : box + at + 2], "big") for at in (8, 10, 12)] == [1, 1, 6]


def test_a_mov_is_what_quicktime_plays(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mov", clip, 30)
    content = (tmp_path / "a.mov").read_bytes()
    assert content[4:12] == b"ftypqt  "
    assert b"avc1" in content
    assert content.index(b"moov") < content.index(b"mdat")  # plays while it comes
