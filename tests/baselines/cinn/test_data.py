"""TFRecords without TensorFlow, the layouts of published datasets, and clips drawn from them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.cinn import config
from baselines.cinn.config import Augmentation
from baselines.cinn.data.clips import NO_AUGMENTATION, Clips, augmented
from baselines.cinn.data.layouts import LAYOUTS, load_videos
from baselines.cinn.data.tfrecord import masked_crc, read_example, record_offsets
from baselines.clips import Video
from common.images import from_8_bits
from data.media.images import write_image

PLAIN = NO_AUGMENTATION


# TFRecords, written here as the formats' descriptions say


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, message: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(message)) + message


def example(features: Mapping[str, bytes | list[float] | list[int]]) -> bytes:
    """A ``tf.train.Example``: bytes, packed floats, or packed whole numbers by name."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = field(1, field(1, value))
        elif isinstance(value[0], float):
            feature = field(2, field(1, struct.pack(f"<{len(value)}f", *value)))
        else:
            feature = field(3, field(1, b"".join(varint(number % 2**64) for number in value)))
        entries += field(1, field(1, name.encode()) + field(2, feature))
    return field(1, entries)


def record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", masked_crc(length)) + message + struct.pack("<I", masked_crc(message[:0]))


def write_bair(path: Path, records: int = 2) -> Path:
    """A file of trajectories whose frame t is of the colour t + the number of its record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number in range(records):
            features: dict = {}
            for t in range(30):
                features[f"{t}/image_aux1/encoded"] = bytes([t + number]) * (64 * 64 * 3)
                features[f"{t}/endeffector_pos"] = [float(t), 0.5, float(-number)]
            file.write(record(example(features)))
    return path


def test_the_checksum_is_the_standards() -> None:
    crc = 0xE3069283  # of CRC-32C for the digits 1 to 9
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecords"
    message = example({"a": b"\x00\xff", "b": [0.5, -2.0], "c": [1, 300, -1]})
    path.write_bytes(record(message) + record(example({"d": [7]})))
    first, second = record_offsets(path)
    found = read_example(path, *first)
    assert found["a"] == [b"\x00\xff"]
    assert np.array_equal(found["b"], np.float32([0.5, -2.0]))
    assert found["c"].tolist() == [1, 300, -1]
    assert read_example(path, *second)["d"].tolist() == [7]


def test_damaged_records_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecords"
    whole = record(example({"a": b"x"}))
    path.write_bytes(whole[:-2])
    with pytest.raises(ValueError, match="cut off"):
        record_offsets(path)
    path.write_bytes(b"\x01" + whole[1:])
    with pytest.raises(ValueError, match="not a TFRecord file, or damaged at byte 0"):
        record_offsets(path)
    path.write_bytes(record(b"\xff\xff"))
    with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
        read_example(path, *record_offsets(path)[0])


def test_bairs_splits_follow_from_its_files_names(tmp_path: Path) -> None:
    for name in ("test/traj_0_to_255", "train/traj_256_to_511", "train/traj_512_to_767"):
        write_bair(tmp_path / f"{name}.tfrecords")
    found = {split: [v.id for v in load_videos(tmp_path, split, layout="bair")] for split in config_splits()}
    assert found["test"] == ["traj_0_to_255/0", "traj_0_to_255/1"]
    assert found["validation"][0] == "traj_256_to_511/0"
    assert found["train"][0] == "traj_512_to_767/0"
    video = load_videos(tmp_path, "train", layout="bair")[1]
    assert video.read(3, 2).unique().tolist() == [4, 5]
    assert video.positions().tolist()[7] == [7.0, 0.5, -1.0]


def config_splits() -> tuple[str, ...]:
    return "train", "validation", "test"


# Layouts of pictures


def write_frames(folder: Path, names: list[str], shade: int = 0) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        write_image(folder / name, np.full((16, 24, 3), shade + number, dtype=np.uint8))


def test_bairs_pictures_and_positions(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(12)]
    for split in ("train", "eval", "test"):
        write_frames(tmp_path / split / "traj_0_to_255" / "1", names)
    table = tmp_path / "eval" / "traj_0_to_255" / "1" / "endeffector_positions.csv"
    table.write_text("".join(f"{n},0.1,0.2\n" for n in range(12)))
    (video,) = load_videos(tmp_path, "validation", layout="bair")
    assert video.read(0, 12)[:, 0, 0, 0].tolist() == list(range(12))  # 10.png follows 9.png
    assert video.positions().shape == (12, 3)
    table.write_text("1,2\n")
    with pytest.raises(ValueError, match="12 lines of x, y and z"):
        video.positions()
    assert load_videos(tmp_path, "train", layout="bair")[0].positions is None


def test_landscapes_validation_is_part_of_its_training_folder(tmp_path: Path) -> None:
    for video in range(30):
        write_frames(tmp_path / "sky_train" / f"v{video}" / "clip", ["frame2.jpg", "frame10.jpg"])
    write_frames(tmp_path / "sky_test" / "t" / "clip", ["frame0.jpg"])
    train, validation = (load_videos(tmp_path, split, layout="landscape") for split in ("train", "validation"))
    assert len(train) + len(validation) == 30
    assert 0 < len(validation) < 10
    assert [v.id for v in load_videos(tmp_path, "test", layout="landscape")] == ["t/clip"]
    (tmp_path / "validation.txt").write_text("v3/clip\n")
    assert [v.id for v in load_videos(tmp_path, "validation", layout="landscape")] == ["v3/clip"]
    (tmp_path / "validation.txt").write_text("v3/nothing\n")
    with pytest.raises(ValueError, match="no folder of pictures v3/nothing"):
        load_videos(tmp_path, "validation", layout="landscape")


def test_ipers_second_action_counts_twice_in_training(tmp_path: Path) -> None:
    for name in ("001_1_1", "001_1_2", "002_1_1"):
        write_frames(tmp_path / name, ["frame_0.png", "frame_1.png"])
    (tmp_path / "train.txt").write_text("001_1_1\n001_1_2\n")
    (tmp_path / "test.txt").write_text("002_1_1\n")
    assert {v.id: v.weight for v in load_videos(tmp_path, "train", layout="iper")} == {"001_1_1": 1, "001_1_2": 2}
    assert [v.id for v in load_videos(tmp_path, "test", layout="iper")] == ["002_1_1"]
    (tmp_path / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"list them in test\.txt"):
        load_videos(tmp_path, "test", layout="iper")


def test_textures_are_tested_on_their_validation_videos(tmp_path: Path) -> None:
    write_frames(tmp_path / "train" / "a", ["frame0.png"])
    write_frames(tmp_path / "eval" / "b", ["frame0.png"])
    for split in ("validation", "test"):
        assert [v.id for v in load_videos(tmp_path, split, layout="fire")] == ["b"]
    with pytest.raises(ValueError, match=r"no train videos in the layout landscape \(sky_"):
        load_videos(tmp_path, "train", layout="landscape")
    with pytest.raises(ValueError, match="no such folder"):
        load_videos(tmp_path / "nowhere", "train", layout="fire")


def test_layouts_are_those_of_the_command_line() -> None:
    assert tuple(LAYOUTS) == config.LAYOUTS


def test_our_own_dataset_folders_are_read_whole(small_dataset: Path) -> None:
    (video,) = {v.id[:5]: v for v in load_videos(small_dataset, "validation", layout="dataset")}.values()
    assert video.read(0, video.num_frames).shape == (32, 3, 32, 64)
    assert video.fps == 30


# Clips


def test_a_clip_follows_from_its_generator_alone(moving_squares: list[Video]) -> None:
    clips = Clips(moving_squares, (48, 32), length=17)
    options = Augmentation(color=0.3, hue=0.1)
    first, second, other = (clips.draw(torch.Generator().manual_seed(seed), options) for seed in (3, 3, 4))
    assert torch.equal(first.frames, second.frames)
    assert first.ids == second.ids
    assert not torch.equal(first.frames, other.frames)
    assert first.photo.shape == (1, 3, 32, 48)
    assert first.clip.shape == (1, 16, 3, 32, 48)


def test_without_augmentation_a_clip_is_part_of_its_video(moving_squares: list[Video]) -> None:
    clips = Clips(moving_squares, (48, 32), length=17)
    clip = clips.draw(torch.Generator().manual_seed(0), PLAIN)
    name, start = clip.ids[0].split(":")
    video = next(video for video in moving_squares if video.id == name)
    torch.testing.assert_close(clip.frames[0], from_8_bits(video.read(int(start), 17)))


def test_all_frames_of_a_clip_change_alike() -> None:
    still = torch.randint(0, 256, (1, 3, 40, 56), dtype=torch.uint8).expand(5, -1, -1, -1)
    options = Augmentation(margin=8, color=0.3, hue=0.15)
    frames = augmented(still, (48, 32), options, torch.Generator().manual_seed(1))
    assert frames.shape == (5, 3, 32, 48)
    assert frames.abs().max() <= 1
    torch.testing.assert_close(frames, frames[:1].expand_as(frames))


def test_weights_say_how_often_a_video_is_drawn(moving_squares: list[Video]) -> None:
    videos = [replace(video, weight=5 if n == 0 else 1) for n, video in enumerate(moving_squares)]
    clips = Clips(videos, (48, 32), length=1)
    drawn = [clips.draw(torch.Generator().manual_seed(seed), PLAIN).ids[0] for seed in range(80)]
    assert 35 < sum(name.startswith("square0") for name in drawn) < 70  # 50 of 80 on average


def test_fixed_clips_spread_over_their_video_and_the_first_starts_at_its_beginning(moving_squares) -> None:
    clips = Clips(moving_squares[:1], (48, 32), length=17)
    assert [clip.ids[0] for clip in clips.fixed(3)] == ["square0:0", "square0:4", "square0:7"]
    assert [clip.ids[0] for clip in clips.fixed(1)] == ["square0:0"]


def test_control_is_the_position_at_the_last_frame(tmp_path: Path) -> None:
    write_bair(tmp_path / "traj_512_to_767.tfrecords")
    clips = Clips(load_videos(tmp_path, "train", layout="bair"), (48, 32), length=17, control=True)
    clip = clips.draw(torch.Generator().manual_seed(0), PLAIN)
    name, start = clip.ids[0].split(":")
    assert clip.control.tolist() == [[int(start) + 16.0, 0.5, -float(name[-1])]]
    assert clips.positions() == ((0.0, 0.5, -1.0), (29.0, 0.5, 0.0))


def test_videos_that_do_not_do_are_refused(moving_squares: list[Video]) -> None:
    with pytest.raises(ValueError, match="no video has the 25 frames of a clip; the longest of 4 has 24"):
        Clips(moving_squares, (48, 32), length=25)
    with pytest.raises(ValueError, match="needs videos with positions"):
        Clips(moving_squares, (48, 32), length=17, control=True)
