"""A dataset folder of generated motion, for rates of training where no prepared data is at hand.

Its files are those of `data.prepare`, so training reads it as any other; what moves in it is smooth noise. Nothing is
to be learnt from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.part import smooth_noise
from common.command_line import write_json
from common.tensor_files import save_tensors
from data.dataset.compute import stratified_indices
from data.dataset.manifest import write_manifest
from data.dataset.sequence_file import sequence_path
from data.dataset.statistics import volume_statistics
from models.spectral_volume import anchor_to_first_frame, motion_at_times

FPS = 30.0


def make_dataset(
    folder: Path,
    sequences: int,
    *,
    size: tuple[int, int],
    frequencies: int,
    num_frames: int,
    stored_frames: int,
    validation: int = 0,
    seed: int = 0,
) -> Path:
    """Write a dataset folder and return it.

    Args:
        sequences: of the split ``train``, each of a source of its own.
        size: (W, H).
        frequencies: K of the spectral volumes.
        num_frames: T, the period.
        stored_frames: later frames of each sequence, with their flow.
        validation: sequences of the split ``validation``, besides.
    """
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(sequences + validation):
        row = _row(number, "train" if number < sequences else "validation", size, num_frames, stored_frames)
        tensors = _tensors(row, size, frequencies, seed + number)
        save_tensors(sequence_path(folder, row["id"]), tensors, {"id": row["id"], "num_frames": str(num_frames)})
        rows.append(row)
    paths = [sequence_path(folder, row["id"]) for row in rows if row["split"] == "train"]
    statistics = {"format_version": 1, "size": list(size), "num_frames": num_frames, "fps": FPS}
    write_json(folder / "stats.json", statistics | {"num_frequencies": frequencies} | volume_statistics(paths))
    write_json(folder / "parameters.json", {"made_by": "benchmarks.gpu.made_dataset", "seed": seed})
    write_manifest(folder / "manifest.csv", rows)
    return folder


def _row(number: int, split: str, size: tuple[int, int], num_frames: int, stored_frames: int) -> dict[str, Any]:
    return {
        "id": f"made_{number:03d}",
        "source": f"made_{number:03d}",
        "source_sha256": f"{number:064x}",
        "start": 0,
        "fps": FPS,
        "num_frames": num_frames,
        "width": size[0],
        "height": size[1],
        "stored_frames": stored_frames,
        "split": split,
        "status": "kept",
    }


def _tensors(row: dict[str, Any], size: tuple[int, int], frequencies: int, seed: int) -> dict[str, Tensor]:
    """What a sequence file holds: a textured photo, motion that weakens with its frequency, and frames moved by it."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand(3, height, width, generator=generator) * 60 + smooth_noise(
        (3,), (height, width), scale=40.0, seed=seed
    )
    photo = (texture + 100).clamp(0, 255)
    weights = torch.arange(1, frequencies + 1).view(1, frequencies, 1, 1, 1)
    volume = smooth_noise((1, frequencies, 4), (height, width), scale=1.0, seed=seed) / weights
    volume = anchor_to_first_frame(volume, row["num_frames"]).half()
    indices = stratified_indices(row["num_frames"], row["stored_frames"], row["id"])
    flows = motion_at_times(volume.float(), torch.from_numpy(indices), row["num_frames"])[0]
    frames = torch.stack([_moved(photo, flow) for flow in flows])
    return {
        "first_frame": photo.to(torch.uint8),
        "spectral_volume": volume[0],
        "frames": frames.to(torch.uint8),
        "flows": flows.half(),
        "frame_indices": torch.from_numpy(indices),
    }


def _moved(photo: Tensor, flow: Tensor) -> Tensor:
    """A photo ``[3, H, W]`` looked up against its motion ``[2, H, W]``: near enough to the frame that it leads to."""
    from models.rendering.warping import resample

    return resample(photo[None], flow[None], mode="bilinear")[0].clamp(0, 255)
