"""PyTorch datasets over a dataset folder that `data.prepare` wrote. An item only reads what it needs from one file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.sequences import read_metadata, read_sequence, read_slice, sequence_path, stratified_indices
from models.spectral_volume import IMPORTANCE_SAMPLES, motion_at_times

__all__ = [
    "FramePairDataset",
    "SpectralVolumeDataset",
    "as_float",
    "importance_motion",
    "iterate_manifest",
    "load_manifest",
    "load_statistics",
    "read_metadata",
    "read_sequence",
]

# Columns of manifest.csv that are numbers. Folders whose sequences were made in other ways lack some of the statistics.
INTEGERS = ("start", "num_frames", "width", "height", "stored_frames", "shot")
NUMBERS = (
    *("fps", "mean_magnitude", "median_magnitude", "p95_magnitude", "rms_amplitude", "moving_fraction"),
    "consistency",
)
NEEDED = ("id", "source", "source_sha256", "start", "fps", "num_frames", "split", "status")


def iterate_manifest(folder: str | Path) -> Iterator[dict]:
    """Rows of ``manifest.csv`` one by one, with numbers as numbers; None for what a dropped video does not have.

    Raises:
        ValueError: no such file, a column is missing, or something in a line is not what its column holds.
    """
    path = _dataset_file(folder, "manifest.csv")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames or ()
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise ValueError(f"no column {missing[0]!r}")
            kinds = dict.fromkeys(INTEGERS, int) | dict.fromkeys(NUMBERS, float)
            present = [(name, kind) for name, kind in kinds.items() if name in columns]
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError("another number of values than columns")
                row.update({name: kind(row[name]) if row[name] else None for name, kind in present})
                yield row
        except (ValueError, csv.Error) as error:
            where = f"{path}: line {max(1, reader.line_num)}"
            raise ValueError(f"{where}: {error}; run data.prepare again with the same output folder") from error


def load_manifest(folder: str | Path, split: str | None = None) -> list[dict]:
    """Rows of ``manifest.csv`` as of :func:`iterate_manifest`: all of them, or the kept sequences of one split."""
    if split is None:
        return list(iterate_manifest(folder))
    splits: set[str] = set()
    chosen = []
    for row in iterate_manifest(folder):
        if row["status"] == "kept":
            splits.add(row["split"])
            if row["split"] == split:
                chosen.append(row)
    if not chosen:
        path, there = Path(folder) / "manifest.csv", ", ".join(sorted(splits)) or "nothing"
        raise ValueError(f"{path}: no sequences in the split {split!r}, the dataset has {there}")
    return chosen


def load_statistics(folder: str | Path) -> dict:
    """``stats.json``: lists ``p95`` and ``rms`` in pixels, one value a frequency; size [W, H], num_frames, fps, ..."""
    path = _dataset_file(folder, "stats.json")
    try:
        statistics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not statistics; run data.prepare again with the same output folder") from error
    if statistics.get("format_version") != 1:
        raise ValueError(f"{path}: format version {statistics.get('format_version')}, this program reads 1")
    return statistics


def importance_motion(volume: Tensor, num_frames: int) -> Tensor:
    """Importance of a pixel by its motion, ``mean_t |F_t|`` in pixels (paper section 5: what moves is in front).

    Args:
        volume: ``[B, K, 4, H, W]`` in pixels.
        num_frames: T, the period of the motion.

    Returns:
        ``[B, 1, H, W]``.
    """
    times = torch.arange(IMPORTANCE_SAMPLES) * (num_frames / IMPORTANCE_SAMPLES)
    return motion_at_times(volume, times, num_frames).square().sum(dim=2).sqrt().mean(dim=1, keepdim=True)


class SpectralVolumeDataset(Dataset):
    """Photo and spectral volume of each sequence, for the motion model.

    Items: ``image`` float32 ``[3, H, W]`` in [-1, 1], ``spectral_volume`` float32 ``[K, 4, H, W]`` in pixels, ``id``.

    Args:
        folder: dataset folder.
        split: ``train``, ``validation`` or ``test``.
        num_frequencies: K, the lowest so many of those stored.
        cache: keep what was read in memory (as uint8 and float16), about 5 MB a sequence at 256x160 and K = 16.
    """

    def __init__(
        self, folder: str | Path, split: str = "train", num_frequencies: int = 16, cache: bool = False
    ) -> None:
        stored = load_statistics(folder)["num_frequencies"]
        if not 1 <= num_frequencies <= stored:
            raise ValueError(f"{folder}: holds {stored} frequencies, {num_frequencies} were asked for")
        self.rows = load_manifest(folder, split)
        self.folder = Path(folder)
        self.num_frequencies = num_frequencies
        self._cache: dict[int, tuple[Tensor, Tensor]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        image, volume = self._read(index)
        return {"image": as_float(image), "spectral_volume": volume.float(), "id": self.rows[index]["id"]}

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        path = sequence_path(self.folder, self.rows[index]["id"])
        image = read_sequence(path, ["first_frame"])["first_frame"]
        item = image, read_slice(path, "spectral_volume", slice(0, self.num_frequencies))
        if self._cache is not None:
            self._cache[index] = item
        return item


class FramePairDataset(Dataset):
    """First frame and a stored later frame with the flow between them, for the renderer.

    Items: ``source`` and ``target`` float32 ``[3, H, W]`` in [-1, 1], ``flow`` float32 ``[2, H, W]`` in pixels from
    source to target, ``importance_motion`` float32 ``[1, H, W]``, ``id``, ``frame_index`` (t of the target). The stored
    frames of a sequence follow each other, ``pairs`` lists (row, frame among those used) by item; a shuffling sampler
    draws a random one. Where only some sequences of the split hold all their frames, of those no more than the sample
    is used: each sequence counts the same.

    Args:
        folder: dataset folder.
        split: ``train``, ``validation`` or ``test``.
        cache: keep frames and flows in memory (as uint8 and float16). The importance maps are always kept.
    """

    def __init__(self, folder: str | Path, split: str = "train", cache: bool = False) -> None:
        self.rows = load_manifest(folder, split)
        self.folder = Path(folder)
        self._positions = _frame_positions(self.rows)
        self.pairs = [(row, number) for row, taken in enumerate(self._positions) for number in range(len(taken))]
        self._importance: dict[int, Tensor] = {}
        self._cache: dict[int, dict[str, Tensor]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict:
        sequence, number = self.pairs[index]
        tensors = self._read(sequence, number)
        return {
            "source": as_float(tensors["first_frame"]),
            "target": as_float(tensors["frames"]),
            "flow": tensors["flows"].float(),
            "importance_motion": self.importance(sequence),
            "id": self.rows[sequence]["id"],
            "frame_index": int(tensors["frame_indices"]),
        }

    def importance(self, sequence: int) -> Tensor:
        """:func:`importance_motion` of a sequence, ``[1, H, W]``; computed at the first call."""
        if sequence not in self._importance:
            row = self.rows[sequence]
            volume = read_sequence(sequence_path(self.folder, row["id"]), ["spectral_volume"])["spectral_volume"]
            self._importance[sequence] = importance_motion(volume[None].float(), row["num_frames"])[0]
        return self._importance[sequence]

    def _read(self, sequence: int, number: int) -> dict[str, Tensor]:
        path = sequence_path(self.folder, self.rows[sequence]["id"])
        per_frame = ("frames", "flows", "frame_indices")
        positions = self._positions[sequence]
        if self._cache is not None:
            if sequence not in self._cache:
                whole = read_sequence(path, ["first_frame", *per_frame])
                if len(positions) < len(whole["frames"]):
                    whole |= {name: whole[name][positions] for name in per_frame}
                self._cache[sequence] = whole
            cached = self._cache[sequence]
            return {"first_frame": cached["first_frame"], **{name: cached[name][number] for name in per_frame}}
        position = positions[number]
        tensors = read_sequence(path, ["first_frame"])
        return tensors | {name: read_slice(path, name, slice(position, position + 1))[0] for name in per_frame}


def _frame_positions(rows: list[dict]) -> list[list[int]]:
    """Which of the frames in its file are used of each sequence: all, or a sample where others hold only a sample."""
    sampled = [row["stored_frames"] for row in rows if row["stored_frames"] < row["num_frames"] - 1]
    positions = []
    for row in rows:
        taken = list(range(row["stored_frames"]))
        if sampled and len(taken) > max(sampled):
            # The frames 1..T-1 are all there, hence frame t at position t - 1: what a sampled file would hold.
            taken = (stratified_indices(row["num_frames"], max(sampled), row["id"]) - 1).tolist()
        positions.append(taken)
    return positions


def as_float(images: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def _dataset_file(folder: str | Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise ValueError(f"{path}: no such file; make the dataset folder with python -m data.prepare")
    return path
