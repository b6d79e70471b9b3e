"""Reading video: frames in any order, frame rates, and every way a file can be wrong."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from helpers.clips.decoding import watch_decoder
from helpers.clips.footage_files import decoded_by_ffmpeg, encode, scene_frames, transcode
from helpers.clips.rolling_clip import nearest

from data.media.read_video import FrameReader, VideoInfo, read_frames, read_video, scan_video
from data.media.write_video import write_video


def test_frames_in_any_order_and_size(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 30)
    frames = read_frames(tmp_path / "a.mp4", [39, 0, 5, 5])
    assert nearest(frames, clip) == [39, 0, 5, 5]
    assert read_frames(tmp_path / "a.mp4", [3], size=(32, 16)).shape == (1, 16, 32, 3)
    with pytest.raises(ValueError, match="has 40 frames"):
        read_frames(tmp_path / "a.mp4", [40])
    assert len(read_video(tmp_path / "a.mp4", max_frames=7)[0]) == 7


def test_names_that_are_not_utf8_are_read(tmp_path: Path, clip: np.ndarray) -> None:
    """As old archives and disks have them; OpenCV by itself ends the process."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        write_video(path, clip[:8], 30)
    except OSError:
        pytest.skip("this file system has no such names")
    assert scan_video(path).num_frames == 8
    assert nearest(read_frames(path, [5]), clip) == [5]


def test_a_reader_decodes_overlapping_stretches_once(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.mp4", clip, 30)
    stretches = ([0, 2, 9], [9, 4], [30])
    expected = {tuple(wanted): read_frames(tmp_path / "a.mp4", wanted, size=(32, 16)) for wanted in stretches}
    events = watch_decoder(monkeypatch)
    reader = FrameReader(tmp_path / "a.mp4", size=(32, 16))
    for wanted in ([0, 2, 9], [2, 9], [9, 12, 9], [30], [9, 4]):  # the last goes back
        found = reader.read(wanted)
        if tuple(wanted) in expected:
            np.testing.assert_array_equal(found, expected[tuple(wanted)])
    assert events == ["opened", *range(31), "closed", "opened", *range(10)]
    with pytest.raises(ValueError, match="has 40 frames, frame 40"):
        reader.read([40])
    np.testing.assert_array_equal(reader.read([30]), expected[(30,)])  # an error leaves nothing behind
    reader.close()


@pytest.mark.slow
def test_resampling_takes_the_nearest_frame(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 20)
    frames, fps = read_video(tmp_path / "a.mp4", fps=30)
    assert fps == 30
    assert len(frames) == 60
    shown = np.array(nearest(frames, clip))
    assert np.abs(shown / 20 - np.arange(60) / 30)[:-1].max() <= 0.5 / 20 + 1e-9
    halved, _ = read_video(tmp_path / "a.mp4", fps=10)
    assert nearest(halved, clip) == list(range(0, 40, 2))


def test_a_rate_within_ten_percent_is_kept(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 29)
    frames, fps = read_video(tmp_path / "a.mp4", fps=30)
    assert fps == pytest.approx(29)
    assert len(frames) == 40


def test_varying_frame_rate_is_made_constant() -> None:
    info = VideoInfo(num_frames=4, fps=10, width=64, height=48, times=(0.0, 0.1, 0.5, 0.6))
    indices, fps = info.resample(10)
    assert fps == 10
    assert indices.tolist() == [0, 1, 1, 2, 2, 2, 3] or indices.tolist() == [0, 1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("problem", ["empty", "text", "missing", "folder", "truncated"])
def test_bad_videos_are_named_in_one_line(
    tmp_path: Path, clip: np.ndarray, problem: str, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "clip.mp4"
    if problem == "empty":
        path.touch()
    elif problem == "text":
        path.write_text("not a video\n" * 100)
    elif problem == "folder":
        path.mkdir()
    elif problem == "truncated":
        write_video(path, clip, 30)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"empty|not a video|no such|folder|damaged") as error:
        scan_video(path)
    assert "clip.mp4" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""  # the decoder's own complaints stay out of the way


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("start", [1, 100_000])
def test_clips_whose_time_starts_late_are_whole(tmp_path: Path, clip: np.ndarray, suffix: str, start: int) -> None:
    write_video(tmp_path / "a.mp4", clip, 30)
    late = tmp_path / f"late.{suffix}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "a.mp4", "-c", "copy"]
    subprocess.run([*command, "-output_ts_offset", str(start), late], check=True)
    assert scan_video(late).num_frames == len(clip)


SEEN_OTHERWISE = {  # options of the input, options of the output, suffix
    "turned": (("-display_rotation", "90"), ("-c", "copy"), ".mp4"),
    "mirrored": (("-display_hflip",), ("-c", "copy"), ".mp4"),
    "upside down": (("-display_vflip",), ("-c", "copy"), ".mov"),
    "turned and mirrored": (("-display_rotation", "90", "-display_hflip"), ("-c", "copy"), ".mp4"),
    "turned back and mirrored": (("-display_rotation", "270", "-display_hflip"), ("-c", "copy"), ".mp4"),
    "cut without encoding": (("-ss", "0.7"), ("-c", "copy"), ".mp4"),
    "cut at both ends": (("-ss", "0.7"), ("-t", "0.8", "-c", "copy"), ".mov"),
    "ten bits": ((), ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-crf", "10"), ".mp4"),
    "varying rate": ((), ("-vf", "select='not(between(n,5,9))'", "-fps_mode", "vfr", "-crf", "10"), ".mp4"),
    "cropped": ((), ("-c:v", "libx264", "-vf", "crop=50:38", "-crf", "10"), ".mp4"),
}


@pytest.mark.parametrize("kind", SEEN_OTHERWISE)
def test_frames_are_those_that_players_show(tmp_path: Path, kind: str) -> None:
    before, options, suffix = SEEN_OTHERWISE[kind]
    source = encode(tmp_path / "source.mp4", scene_frames(3, 60), "-c:v", "libx264", "-crf", "10", "-g", "60")
    path = transcode(source, tmp_path / f"seen{suffix}", *options, before=before)
    info = scan_video(path)
    shown = decoded_by_ffmpeg(path, (info.height, info.width))
    assert info.num_frames == len(shown)
    frames = read_frames(path, range(info.num_frames))
    assert np.abs(frames.astype(int) - shown).mean() < 1.5  # both convert from YUV with roundings of their own
