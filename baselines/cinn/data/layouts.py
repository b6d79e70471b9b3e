"""The published datasets in the folders that their authors or the published code give them, by split.

Frames are ordered by the number in their names, so nothing has to be renamed. A split that the authors give as a list
of videos is read from ``train.txt``, ``validation.txt`` and ``test.txt`` (one folder a line) in the dataset's folder;
without lists one video in ten is kept for validation.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from baselines.cinn.data.tfrecord import read_example, record_offsets
from baselines.clips import Video, dataset_videos, picture_video
from data.media.images import IMAGE_SUFFIXES

SPLITS = ("train", "validation", "test")
BAIR_SIDE = 64  # pixels of the frames in TFRecords
BAIR_CAMERA = "image_aux1"  # the camera in front of the robot


@dataclass(frozen=True)
class Layout:
    """How videos of one kind of dataset are found."""

    summary: str
    videos: Callable[[Path, str], list[Video]]  # (folder, split)
    per_video: int = 1  # clips of each video in an epoch
    test_clips: int = 1  # of each video in validation and test, their starts spread evenly; 1 starts at frame 0


def load_videos(folder: Path, split: str, *, layout: str) -> list[Video]:
    """The videos of a split.

    Raises:
        ValueError: no such folder, an unknown split, or no videos where the layout has them.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of videos")
    videos = LAYOUTS[layout].videos(folder, split)
    if not videos:
        raise ValueError(f"{folder}: no {split} videos in the layout {layout} ({LAYOUTS[layout].summary})")
    return videos


def bair_videos(folder: Path, split: str) -> list[Video]:
    """BAIR robot pushing, as PNG files or as the original TFRecords."""
    if next(folder.rglob("*.tfrecords"), None) is not None:
        return list(_bair_records(folder, split))
    place = folder / {"train": "train", "validation": "eval", "test": "test"}[split]
    found = _picture_folders(place)
    return [_with_positions(picture_video(name, files), files[0].parent) for name, files in found]


def _with_positions(video: Video, folder: Path) -> Video:
    table = folder / "endeffector_positions.csv"
    if not table.is_file():
        return video
    return Video(
        id=video.id,
        num_frames=video.num_frames,
        read=video.read,
        positions=partial(_read_positions, table, video.num_frames),
    )


def _read_positions(table: Path, num_frames: int) -> Tensor:
    lines = [line for line in table.read_text().splitlines() if line.strip()]
    try:
        rows = [[float(value) for value in re.split(r"[,;\s]+", line.strip())] for line in lines]
        values = torch.tensor(rows[-num_frames:])  # a heading would not be numbers
        if values.shape != (num_frames, 3):
            raise ValueError(f"shape {list(values.shape)}")
    except ValueError as error:
        raise ValueError(f"{table}: {num_frames} lines of x, y and z are needed ({error})") from None
    return values


def _bair_records(folder: Path, split: str) -> Iterator[Video]:
    """Trajectories 0 to 255 are the test, 256 to 511 the validation split, wherever their files lie."""
    for path in sorted(folder.rglob("*.tfrecords")):
        first = re.match(r"traj_(\d+)_to_\d+", path.stem)
        if first is None:
            raise ValueError(f"{path}: a file of BAIR trajectories is called traj_A_to_B.tfrecords")
        number = int(first[1])
        if ("test" if number < 256 else "validation" if number < 512 else "train") != split:
            continue
        for index, (offset, length) in enumerate(record_offsets(path)):
            place = path, offset, length
            yield Video(
                id=f"{path.stem}/{index}",
                num_frames=30,
                read=partial(_read_record, place),
                positions=partial(_record_positions, place),
            )


def _read_record(place: tuple[Path, int, int], first: int, count: int) -> Tensor:
    features = read_example(*place)
    frames = []
    for number in range(first, first + count):
        value = features.get(f"{number}/{BAIR_CAMERA}/encoded")
        if not value or len(value[0]) != 3 * BAIR_SIDE**2:
            raise ValueError(f"{place[0]}: no frame {number} of 64x64 in the record at byte {place[1]}")
        frames.append(np.frombuffer(value[0], np.uint8).reshape(BAIR_SIDE, BAIR_SIDE, 3))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def _record_positions(place: tuple[Path, int, int]) -> Tensor:
    features = read_example(*place)
    rows = [features.get(f"{number}/endeffector_pos", np.zeros(0)) for number in range(30)]
    if any(len(row) != 3 for row in rows):
        raise ValueError(f"{place[0]}: the record at byte {place[1]} lacks positions of the arm")
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def landscape_videos(folder: Path, split: str) -> list[Video]:
    """Sky time-lapses: ``sky_train`` and ``sky_test``, ``<YouTube video>/<clip>/``; validation is part of the former.

    Clips of one YouTube video stay in one split.
    """
    place = folder / ("sky_test" if split == "test" else "sky_train")
    found = list(_picture_folders(place))
    if split != "test":
        found = _of_split(found, folder, split, lambda name: name.split("/")[0])
    return [picture_video(name, files) for name, files in found]


def iper_videos(folder: Path, split: str) -> list[Video]:
    """iPER: folders ``<actor>_<cloth>_<action>``; videos of action 2 are drawn twice as often in training."""
    found = _of_split(list(_picture_folders(folder)), folder, split, lambda name: name.split("_")[0])
    twice = split == "train"
    return [picture_video(name, files, weight=2 if twice and name.endswith("_2") else 1) for name, files in found]


def texture_videos(folder: Path, split: str) -> list[Video]:
    """One texture of DTDB: ``train`` and ``eval`` with a folder for each video; the test split is the latter."""
    place = folder / ("train" if split == "train" else "eval")
    return [picture_video(name, files) for name, files in _picture_folders(place)]


def _picture_folders(folder: Path) -> list[tuple[str, list[Path]]]:
    """Folders with pictures at any depth by their path, and their pictures by number."""
    if not folder.is_dir():
        return []
    found = []
    for place in sorted(path for path in folder.rglob("*") if path.is_dir()):
        files = sorted_pictures(place)
        if files:
            found.append((place.relative_to(folder).as_posix(), files))
    return found


def sorted_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder by the last number in their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=_frame_number)


def _frame_number(path: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else -1, path.name


def _of_split(
    found: Iterable[tuple[str, list[Path]]], folder: Path, split: str, group: Callable[[str], str]
) -> list[tuple[str, list[Path]]]:
    listing = folder / f"{split}.txt"
    if listing.is_file():
        names = {line.strip().strip("/") for line in listing.read_text().splitlines() if line.strip()}
        there = {name: files for name, files in found if name in names}
        missing = sorted(names - there.keys())
        if missing:
            raise ValueError(f"{listing}: no folder of pictures {missing[0]} ({len(missing)} are missing)")
        return list(there.items())
    if split == "test":
        raise ValueError(f"{folder}: which videos are the test split is not known; list them in {listing.name}")
    held_out = {name: zlib.crc32(group(name).encode()) % 10 == 0 for name, _ in found}
    return [(name, files) for name, files in found if held_out[name] == (split == "validation")]


LAYOUTS = {
    "dataset": Layout("a dataset folder made by data.prepare", dataset_videos, per_video=10, test_clips=2),
    "bair": Layout("traj_A_to_B.tfrecords, or {train,eval,test}/traj_A_to_B/N/0.png ... 29.png", bair_videos),
    "landscape": Layout("sky_{train,test}/VIDEO/CLIP/*.jpg", landscape_videos, per_video=10, test_clips=6),
    "iper": Layout("ACTOR_CLOTH_ACTION/frame_0.png ...", iper_videos, per_video=60, test_clips=24),
    "fire": Layout("{train,eval}/VIDEO/frame0.jpg ...", texture_videos, per_video=80, test_clips=6),
    "clouds": Layout("{train,eval}/VIDEO/frame0.png ...", texture_videos, per_video=100, test_clips=6),
    "waterfall": Layout("{train,eval}/VIDEO/frame0.jpg ...", texture_videos, per_video=120, test_clips=6),
    "vegetation": Layout("{train,eval}/VIDEO/frame0.jpg ...", texture_videos, per_video=55, test_clips=6),
}
