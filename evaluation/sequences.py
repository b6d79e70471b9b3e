"""The sequences of a split that a table is computed on: the real frames, their motion, and how they are cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from common.images import from_8_bits
from data.dataset.full import load_full_sequence
from data.dataset.manifest import load_manifest
from data.dataset.sequence_file import read_sequence, read_slice, sequence_path

CROP = (256, 128)  # width and height that videos are compared at (paper section 7)


@dataclass(frozen=True)
class EvaluationSequence:
    """One sequence of a dataset folder; frames and motion are read when asked for."""

    folder: Path
    row: dict  # of manifest.csv

    @property
    def id(self) -> str:
        return self.row["id"]

    @property
    def source(self) -> str:
        return self.row["source"]

    @property
    def num_frames(self) -> int:
        return self.row["num_frames"]

    @property
    def fps(self) -> float:
        return self.row["fps"]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H)."""
        return self.row["width"], self.row["height"]

    @property
    def path(self) -> Path:
        return sequence_path(self.folder, self.id)

    def first_frame(self) -> Tensor:
        """The photo, float ``[1, 3, H, W]`` in [-1, 1]."""
        return from_8_bits(read_sequence(self.path, ["first_frame"])["first_frame"][None])

    def volume(self, num_frequencies: int | None = None) -> Tensor:
        """The measured spectral volume, float32 ``[1, K, 4, H, W]`` in pixels; all stored frequencies by default.

        Raises:
            ValueError: values that are not finite.
        """
        volume = read_slice(self.path, "spectral_volume", slice(0, num_frequencies))[None].float()
        if not volume.isfinite().all():
            raise ValueError(f"{self.path}: its spectral volume is not finite; make it again with data.prepare")
        return volume

    def frames(self) -> Tensor:
        """The real frames, uint8 ``[T, 3, H, W]``."""
        return load_full_sequence(self.folder, self.row, flows=False).frames


def load_sequences(folder: Path, split: str, per_source: int | None = None) -> list[EvaluationSequence]:
    """Sequences of a split in the manifest's order, at most ``per_source`` of each video (its first ones)."""
    taken: dict[str, int] = {}
    chosen = []
    for row in load_manifest(folder, split):
        taken[row["source"]] = taken.get(row["source"], 0) + 1
        if per_source is None or taken[row["source"]] <= per_source:
            chosen.append(EvaluationSequence(Path(folder), row))
    return chosen


def crop_size(size: tuple[int, int]) -> tuple[int, int]:
    """(W, H) that videos of a size (W, H) are compared at: :data:`CROP`, or all along a side that is shorter."""
    return min(CROP[0], size[0]), min(CROP[1], size[1])


def centre_crop(frames: Tensor) -> Tensor:
    """Centre of ``[..., H, W]`` at its :func:`crop_size`."""
    height, width = frames.shape[-2:]
    wide, high = crop_size((width, height))
    left, top = (width - wide) // 2, (height - high) // 2
    return frames[..., top : top + high, left : left + wide]


def unique_sources(sequences: Sequence[EvaluationSequence]) -> int:
    """How many videos the sequences come from."""
    return len({sequence.source for sequence in sequences})
