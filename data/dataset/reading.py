"""PyTorch datasets over a dataset folder that `data.prepare` wrote. An item only reads what it needs from one file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.images import from_8_bits
from data.dataset.compute import stratified_indices
from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.sequence_file import read_sequence, read_slice, sequence_path
from models.spectral_volume import IMPORTANCE_SAMPLES, motion_at_times


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
        num_frequencies: K, the number of lowest frequencies to read.
        cache: keep what was read in memory (as uint8 and float16), about 5 MB a sequence at 256x160 and K = 16.
    """

    def __init__(
        self, folder: str | Path, split: str = "train", *, num_frequencies: int = 16, cache: bool = False
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
        return {"image": from_8_bits(image), "spectral_volume": volume.float(), "id": self.rows[index]["id"]}

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

    Raises:
        ValueError: no later frames are stored.
    """

    def __init__(self, folder: str | Path, split: str = "train", *, cache: bool = False) -> None:
        self.rows = load_manifest(folder, split)
        self.folder = Path(folder)
        self._positions = _frame_positions(self.rows)
        self.pairs = [(row, number) for row, taken in enumerate(self._positions) for number in range(len(taken))]
        if self.rows and not self.pairs:
            raise ValueError(f"{folder}: no later frames are stored; make it with --stored-frames 1 or more")
        self._importance: dict[int, Tensor] = {}
        self._cache: dict[int, dict[str, Tensor]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict:
        sequence, number = self.pairs[index]
        tensors = self._read(sequence, number)
        return {
            "source": from_8_bits(tensors["first_frame"]),
            "target": from_8_bits(tensors["frames"]),
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
