"""Raw footage as cameras and the web deliver it: awkward and broken files, shots, copies, crop and stabilisation."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.clips.footage_files import HEIGHT, WIDTH, encode, run, scene_frames, transcode
from helpers.clips.small_clips import QUICK, contents, rows_of
from helpers.slow import slow

from data.dataset.command_line import crop_shares
from data.dataset.full import load_full_sequence
from data.dataset.manifest import load_manifest
from data.dataset.sequence_file import read_metadata, read_sequence, sequence_path
from data.footage.interlacing import CombingDetector
from data.footage.scan import scan_footage
from data.media.read_video import VideoInfo, read_frames, scan_video
from data.prepare import main

H264 = ("-c:v", "libx264", "-crf", "12", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def interlaced_frames(seed: int, num_frames: int, size: tuple[int, int] = (WIDTH, HEIGHT), bottom_first: bool = False):
    """Frames woven of fields: of twice as many moments, even lines from one and odd lines from the next."""
    moments = scene_frames(seed, 2 * num_frames, size, speed=0.5)
    woven = []
    for first, second in zip(moments[::2], moments[1::2], strict=True):
        frame = first.copy()
        frame[(0 if bottom_first else 1) :: 2] = second[(0 if bottom_first else 1) :: 2]
        woven.append(frame)
    return woven


def prepared(videos: Path, dataset: Path, *options: str) -> dict[str, list[dict[str, str]]]:
    """Rows of the manifest by video."""
    assert main([str(videos), "--output", str(dataset), *QUICK, *options]) == 0
    rows: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(dataset):
        rows.setdefault(row["source"], []).append(row)
    return rows


# Awkward and broken files ---------------------------------------------------------------------------------------------


def test_every_kind_of_file_is_used_or_named_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    plain = encode(videos / "plain.mp4", scene_frames(0, 40))
    encode(videos / "odd.mkv", scene_frames(1, 40, (67, 51)), "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    encode(videos / "ten bits.mkv", scene_frames(2, 40), "-c:v", "ffv1", "-pix_fmt", "yuv420p10le")
    upright = encode(tmp_path / "upright.mp4", scene_frames(3, 40))
    transcode(upright, videos / "turned.mp4", "-c", "copy", before=("-display_rotation", "90"))
    encode(videos / "woven.mkv", interlaced_frames(4, 40, (64, 96)), "-c:v", "ffv1")
    encode(videos / "woven low.mkv", interlaced_frames(5, 40), "-c:v", "ffv1")
    varying = encode(tmp_path / "varying.mp4", scene_frames(6, 60))
    transcode(varying, videos / "varying.mp4", *H264, "-vf", "select='not(between(mod(n,7),2,3))'", "-fps_mode", "vfr")
    run("-f", "lavfi", "-i", "sine=duration=1", str(videos / "sound.mp4"))
    (videos / "nothing.mp4").touch()
    whole = transcode(plain, tmp_path / "whole.mp4", *H264, "-vf", "hflip", "-movflags", "+faststart")
    content = whole.read_bytes()
    (videos / "cut off.mp4").write_bytes(content[: len(content) * 6 // 10])
    rows = prepared(videos, tmp_path / "dataset")
    reasons = {name: found[0]["reason"] for name, found in rows.items() if found[0]["status"] == "dropped"}
    assert set(reasons) == {"woven low.mkv", "sound.mp4", "nothing.mp4", "cut off.mp4"}
    assert reasons["nothing.mp4"] == "the file is empty"
    assert reasons["sound.mp4"] == "not a video that can be decoded"
    assert reasons["cut off.mp4"].startswith("damaged, only ")
    assert reasons["woven low.mkv"].startswith("interlaced: a field has 24 lines, 48 are needed; deinterlace it (")
    assert str(tmp_path) not in (tmp_path / "dataset" / "manifest.csv").read_text()
    for name, found in rows.items():
        if name in reasons:
            assert len(found) == 1
        else:
            assert len(found) == (4 if name == "varying.mp4" else 3), name
    assert {float(row["fps"]) for found in rows.values() for row in found if row["fps"]} == {30.0}
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]) == 4


def test_rotation_in_the_metadata_is_applied(tmp_path: Path) -> None:
    frames = scene_frames(3, 3)
    upright = encode(tmp_path / "upright.mp4", frames, "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p")
    turned = transcode(upright, tmp_path / "turned.mp4", "-c", "copy", before=("-display_rotation", "90"))
    info = scan_video(turned)
    assert (info.width, info.height) == (HEIGHT, WIDTH)
    read = read_frames(turned, [0])[0]
    assert np.abs(read.astype(int) - np.rot90(read_frames(upright, [0])[0])).mean() < 1


def test_ten_bits_are_read_as_eight(tmp_path: Path) -> None:
    frames = scene_frames(2, 3)
    path = encode(tmp_path / "ten.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "yuv444p10le")
    assert np.abs(read_frames(path, [0])[0].astype(int) - frames[0]).mean() < 3


def test_varying_frame_rates_become_constant(tmp_path: Path) -> None:
    """Frames 2 and 3 of every 7 are missing: the ones beside them are shown longer, so that nothing speeds up."""
    source = encode(tmp_path / "source.mp4", scene_frames(6, 70, speed=0.5))
    path = transcode(
        source, tmp_path / "vfr.mp4", *H264, "-vf", "select='not(between(mod(n,7),2,3))'", "-fps_mode", "vfr"
    )
    info = scan_footage(path)
    assert info.num_frames == 50
    assert info.times is not None
    indices, fps = info.resample(30)
    assert fps == 30
    assert len(indices) == 70
    there = [n for n in range(70) if not 2 <= n % 7 <= 3]
    nearest = np.array([np.argmin([abs(n - other) for other in there]) for n in range(70)])
    shown = np.array(there)[indices]
    assert np.abs(shown - np.arange(70)).max() <= 1
    assert (np.abs(np.array(there)[nearest] - np.arange(70)) == np.abs(shown - np.arange(70))).all()


# Interlaced video -----------------------------------------------------------------------------------------------------


def combing(frames: list) -> float:
    detector = CombingDetector()
    for frame in frames:
        detector.add(frame)
    return detector.combing()


def test_interlaced_video_is_told_from_progressive() -> None:
    size = (128, 96)
    assert combing(scene_frames(0, 40, size)) < 0.1
    assert combing(interlaced_frames(0, 40, size)) > 0.5
    assert combing(interlaced_frames(0, 40, size, bottom_first=True)) > 0.5
    noise = np.random.default_rng(0)
    noisy = [frame + noise.normal(0, 8, frame.shape) for frame in scene_frames(0, 40, size)]
    noisy = [frame.clip(0, 255).astype(np.uint8) for frame in noisy]
    assert combing(noisy) < 0.1
    assert combing([scene_frames(0, 1, size)[0]] * 40) == 0
    lines = [frame.copy() for frame in scene_frames(1, 40, size)]
    for frame in lines:
        frame[1::2] = frame[1::2] // 2  # a striped wall
    assert combing(lines) < 0.2
    uneven = [frame for t, frame in enumerate(scene_frames(2, 60, size)) if not 2 <= t % 7 <= 3]
    assert combing(uneven) < 0.2
    cut = [frame for seed in range(8) for frame in scene_frames(seed, 5, size, speed=0)]
    assert combing(cut) < 0.1


def test_of_interlaced_video_one_field_is_used(tmp_path: Path) -> None:
    size = (64, 96)
    videos = tmp_path / "videos"
    videos.mkdir()
    frames = interlaced_frames(4, 40, size)
    path = encode(videos / "woven.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    assert scan_footage(path).interlaced
    row = prepared(videos, tmp_path / "dataset", "--full", "none", "--split", "1,0,0")["woven.mkv"][0]
    first = read_sequence(sequence_path(tmp_path / "dataset", row["id"]))["first_frame"].numpy().transpose(1, 2, 0)
    moments = scene_frames(4, 80, size, speed=0.5)
    assert read_metadata(sequence_path(tmp_path / "dataset", row["id"]))["interlaced"] == "true"
    # The even lines of one moment, cropped to 64x48, without traces of the next moment.
    again = load_full_sequence(tmp_path / "dataset", row | {"num_frames": 20}, flows=False)
    assert (again.frames[0].numpy().transpose(1, 2, 0) == first).all()
    for t in (0, 3, 5, 19):
        shown, moment = again.frames[t].numpy().transpose(1, 2, 0).astype(int), moments[2 * t][24:72].astype(int)
        assert np.abs(shown[::2] - moment[::2]).mean() < 2.5  # YUV
        assert np.abs(shown[1:-1:2] - (moment[:-2:2] + moment[2::2]) / 2).mean() < 2.5


# Shots ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sequences_lie_within_a_shot(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    lengths = (25, 8, 41)
    frames = [frame for seed, length in enumerate(lengths) for frame in scene_frames(seed, length)]
    path = encode(videos / "cut.mp4", frames)
    assert scan_footage(path).shots == (0, 25, 33)
    rows = prepared(videos, tmp_path / "dataset")["cut.mp4"]
    assert [(row["shot"], row["start"], row["status"], row["reason"]) for row in rows] == [
        ("1", "", "dropped", "too short a shot: 8 frames, 20 are needed"),
        ("0", "0", "kept", ""),
        ("2", "33", "kept", ""),
        ("2", "43", "kept", ""),
        ("2", "53", "kept", ""),
    ]
    decoded = read_frames(path, range(sum(lengths)))
    for row in rows[1:]:
        stored = read_sequence(sequence_path(tmp_path / "dataset", row["id"]))
        assert (stored["first_frame"].numpy().transpose(1, 2, 0) == decoded[int(row["start"])]).all()
    again = load_full_sequence(tmp_path / "dataset", load_manifest(tmp_path / "dataset")[2], flows=False)
    assert (again.frames.numpy().transpose(0, 2, 3, 1) == decoded[33:53]).all()
    # Without looking for cuts, and with loops, there is one shot.
    one = prepared(videos, tmp_path / "one", "--one-shot")["cut.mp4"]
    assert [row["start"] for row in one] == ["0", "10", "20", "30", "40", "50"]
    loop = prepared(videos, tmp_path / "loop", "--wrap")["cut.mp4"]
    assert [row["start"] for row in loop] == [str(start) for start in range(0, 74, 10)]
    assert {row["shot"] for row in loop} == {"0"}


def test_too_short_shots_alone_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    frames = [frame for seed in range(4) for frame in scene_frames(seed, 10 + seed)]
    path = encode(tmp_path / "trailer.mp4", frames)
    assert main([str(path), "--output", str(tmp_path / "dataset"), *QUICK]) == 2
    wanted = "error: trailer.mp4: too short: the longest of 4 shots has 13 frames, 20 are needed\n"
    assert capsys.readouterr().err.endswith(wanted)


def test_each_shot_is_resampled_for_itself() -> None:
    constant = VideoInfo(90, 60.0, 64, 48, None, shots=(0, 31, 60))
    parts = [constant.resample(30, shot)[0] for shot in range(3)]
    assert [len(part) for part in parts] == [16, 14, 15]
    assert [(part[0], part[-1]) for part in parts] == [(0, 30), (31, 57), (60, 88)]
    near = VideoInfo(90, 29.0, 64, 48, None, shots=(0, 31, 60))
    assert (np.concatenate([near.resample(30, shot)[0] for shot in range(3)]) == np.arange(90)).all()
    times = np.cumsum(np.where(np.arange(90) % 3, 1 / 30, 2 / 30))
    varying = VideoInfo(90, 30.0, 64, 48, tuple(times - times[0]), shots=(0, 30))
    for shot, (start, end) in enumerate(((0, 30), (30, 90))):
        indices, _ = varying.resample(30, shot)
        assert indices.min() == start
        assert indices.max() == end - 1
        wanted = times[start] + np.arange(len(indices)) / 30
        assert np.abs(times[indices] - wanted).max() <= 1 / 30 + 1e-9


# Copies ---------------------------------------------------------------------------------------------------------------


def test_copies_are_dropped_and_other_takes_kept(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    size = (128, 96)
    sway = np.random.default_rng(0).normal(size=90).cumsum() / 4
    still = scene_frames(0, 1, size)[0]

    def take(values: np.ndarray) -> list:
        moved = [cv2.warpAffine(still, np.float32([[1, 0, value], [0, 1, 0]]), size) for value in values]
        return [np.hstack([still[:, :40], frame[:, 40:]]) for frame in moved]

    first = encode(videos / "a first.mp4", take(sway))
    transcode(first, videos / "b small.mp4", *H264[:2], "-crf", "26", "-vf", "scale=96:72")
    transcode(first, videos / "c trimmed.mp4", *H264[:2], "-crf", "22", before=("-ss", "0.3"))
    transcode(first, videos / "d copied.mkv", "-c:v", "mpeg4", "-q:v", "4")
    encode(videos / "e other take.mp4", take(sway[::-1]))
    encode(videos / "f other scene.mp4", scene_frames(7, 60, size))
    rows = prepared(videos, tmp_path / "dataset", "--keep-all", "--max-sequences-per-video", "1")
    reasons = {name: found[0]["reason"] for name, found in rows.items() if found[0]["reason"]}
    assert set(reasons) == {"b small.mp4", "c trimmed.mp4", "d copied.mkv"}
    for reason in reasons.values():
        assert reason.startswith("near-duplicate of a first.mp4 (distance ")
        assert reason.endswith(" of 64 bits)")
    kept = prepared(videos, tmp_path / "all", "--keep-all", "--keep-duplicates", "--max-sequences-per-video", "1")
    assert all(row["status"] == "kept" for found in kept.values() for row in found)


# Crop and stabilisation -----------------------------------------------------------------------------------------------


def test_crop_shares() -> None:
    assert crop_shares("0,0,0,12%") == (0, 0, 0, 0.12)
    assert crop_shares("0.1,5%,0,0") == (0.1, 0.05, 0, 0)
    assert crop_shares("10%") == (0.1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--crop", "1,2,3"],
        ["--crop", "50%,0,45%,0"],
        ["--crop", "a"],
        ["--min-consistency", "1.5"],
        ["--min-median-motion", "-1"],
        ["--consistency-frames", "x"],
    ],
)
def test_bad_values_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_request:
        main([str(tmp_path), "--output", str(tmp_path / "dataset"), *arguments])
    assert exit_request.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert arguments[1] in error


@pytest.mark.parametrize(
    "arguments", [["--stabilize", "--wrap"], ["--min-consistency", "0.5", "--consistency-frames", "0"]]
)
def test_contradictions_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str]) -> None:
    path = encode(tmp_path / "clip.mp4", scene_frames(0, 5))
    assert main([str(path), "--output", str(tmp_path / "dataset"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert arguments[0] in error
    assert not (tmp_path / "dataset" / "parameters.json").exists()


def test_what_is_too_small_after_the_crop_is_named(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    encode(videos / "large.mkv", scene_frames(0, 24), "-c:v", "ffv1")
    encode(videos / "small.mkv", scene_frames(1, 24, (20, 16)), "-c:v", "ffv1")
    for crop, reason in (("36%,0,36%,0", "too small: 6x16 pixels after --crop"), ("0,10%,0,0", "too small: 20x14")):
        rows = prepared(videos, tmp_path / crop, "--crop", crop, "--size", "24x16", "--keep-all")
        assert rows["small.mkv"][0]["reason"].startswith(reason)
    assert rows["large.mkv"][0]["status"] == "kept"


def test_a_watermark_is_cut_off(tmp_path: Path) -> None:
    frames = scene_frames(0, 24, (80, 60))
    marked = [frame.copy() for frame in frames]
    for frame in marked:
        frame[48:] = 255
        frame[:, 64:] = 255
    path = encode(tmp_path / "marked.mkv", marked, "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    dataset = tmp_path / "dataset"
    assert main([str(path), "--output", str(dataset), *QUICK, "--crop", "0,0,20%,20%"]) == 0
    assert json.loads((dataset / "parameters.json").read_text())["crop"] == [0, 0, 0.2, 0.2]
    row = load_manifest(dataset)[0]
    first = read_sequence(sequence_path(dataset, row["id"]))["first_frame"].numpy().transpose(1, 2, 0)
    assert first.shape == (48, 64, 3)
    assert np.abs(first.astype(int) - frames[0][:48, :64]).mean() < 3
    assert main([str(path), "--output", str(dataset), *QUICK]) == 2  # other pixels need another folder


def drifting(path: Path, num_frames: int = 40) -> Path:
    wide = scene_frames(0, num_frames, (160, 120))
    steps = [np.float32([[1, 0, -16 - 0.25 * t], [0, 1, -12 - 0.1 * t]]) for t in range(num_frames)]
    moved = [cv2.warpAffine(frame, step, (128, 96)) for frame, step in zip(wide, steps, strict=True)]
    return encode(path, moved, "-c:v", "ffv1", "-pix_fmt", "yuv444p")


@pytest.mark.parametrize(
    "options", [slow(["--stabilize"]), slow(["--crop", "10%,0,0,10%"]), ["--stabilize", "--crop", "5%"]]
)
def test_changed_pictures_are_decoded_again_bit_by_bit(tmp_path: Path, options: list[str]) -> None:
    path = drifting(tmp_path / "drift.mkv", 30)
    for name, full in (("sample", "none"), ("full", "test")):
        command = ["--output", str(tmp_path / name), "--keep-all", "--split", "0,0,1", "--full", full]
        assert main([str(path), *command, *QUICK, *options]) == 0
    for row, whole in zip(
        load_manifest(tmp_path / "sample", "test"), load_manifest(tmp_path / "full", "test"), strict=True
    ):
        assert (row["stored_frames"], whole["stored_frames"]) == (4, 19)
        again, stored = load_full_sequence(tmp_path / "sample", row), load_full_sequence(tmp_path / "full", whole)
        assert (again.frames == stored.frames).all()
        assert (again.flows == stored.flows).all()


@pytest.mark.slow
def test_stabilised_clips_are_no_camera_motion(tmp_path: Path) -> None:
    path = drifting(tmp_path / "drift.mkv")
    for name, options in (("plain", []), ("steady", ["--stabilize"])):
        assert main([str(path), "--output", str(tmp_path / name), *QUICK, "--keep-all", *options]) == 0
    plain, steady = (
        load_full_sequence(tmp_path / name, load_manifest(tmp_path / name)[0]).flows.numpy()
        for name in ("plain", "steady")
    )
    # The upper edge, where only the camera moves, and the centre, where things sway too.
    assert np.median(np.hypot(*plain[-1, :, :6, 4:-4])) > 2
    assert np.median(np.hypot(*steady[-1, :, :6, 4:-4])) < 0.4
    assert np.hypot(*(steady - steady.mean(axis=0))[:, :, 20:28, 26:38].transpose(1, 0, 2, 3)).mean() > 1


# Filters --------------------------------------------------------------------------------------------------------------


def test_filters_need_no_computing_and_say_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path, dataset = encode(tmp_path / "clip.mp4", scene_frames(0, 40)), tmp_path / "dataset"
    command = [str(path), "--output", str(dataset), *QUICK]
    assert main(command) == 0
    rows = load_manifest(dataset)
    assert all(0.5 < row["consistency"] <= 1 for row in rows)
    files = {file: file.read_bytes() for file in (dataset / "sequences").iterdir()}
    for options, reason in (
        (["--min-consistency", "0.9999"], "inconsistent flow: it agrees in "),
        (["--min-median-motion", "9"], "little motion: "),
        (["--max-median-motion", "0.001"], "much motion: "),
    ):
        capsys.readouterr()
        assert main([*command, *options]) == 2
        assert all(row["reason"].startswith(reason) and row["consistency"] for row in load_manifest(dataset))
        assert {file: file.read_bytes() for file in (dataset / "sequences").iterdir()} == files
        assert not (dataset / "stats.json").exists()  # they would be those of other sequences than the manifest has
    assert main(command) == 0
    assert load_manifest(dataset) == rows
    assert main([*command, "--consistency-frames", "0"]) == 2
    other = tmp_path / "unmeasured"
    assert main([str(path), "--output", str(other), *QUICK, "--consistency-frames", "0"]) == 0
    assert [row["consistency"] for row in load_manifest(other)] == [None] * 3


def test_the_same_folder_twice(tmp_path: Path) -> None:
    path = drifting(tmp_path / "drift.mkv", 24)
    for name in ("one", "two"):
        assert main([str(path), "--output", str(tmp_path / name), *QUICK, "--keep-all", "--stabilize"]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
