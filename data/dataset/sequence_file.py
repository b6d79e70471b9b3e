"""The file of a sequence: its name, what its metadata says, and reading all or parts of its tensors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from data.dataset.sequence import SequenceJob, SequenceOptions, SequenceResult

FORMAT_VERSION = 2


def sequence_path(folder: str | Path, sequence_id: str) -> Path:
    """Where a dataset folder keeps a sequence."""
    return Path(folder) / "sequences" / f"{sequence_id}.safetensors"


def sequence_metadata(sequence: SequenceJob, options: SequenceOptions, result: SequenceResult) -> dict[str, str]:
    """What a sequence's file says about how it was made; by this a finished file is recognised."""
    return {
        "format_version": str(FORMAT_VERSION),
        "id": sequence.id,
        "source": sequence.source,
        "source_sha256": sequence.source_sha256,
        "start": str(sequence.start),
        "num_frames": str(sequence.num_frames),
        "fps": repr(float(sequence.fps)),
        "width": str(options.size[0]),
        "height": str(options.size[1]),
        "crop": json.dumps(options.crop),
        "stabilize": json.dumps(options.stabilize),
        "shot": str(sequence.shot),
        "interlaced": json.dumps(sequence.interlaced),
        "source_indices": json.dumps(sequence.source_indices, separators=(",", ":")),
        "num_frequencies": str(options.num_frequencies),
        "stored_frames": str(result.stored_frames),
        "estimator": options.estimator,
        "estimator_parameters": json.dumps(options.estimator_parameters, sort_keys=True),
        "consistency_frames": str(options.consistency_frames),
        "statistics": json.dumps(result.statistics, sort_keys=True),
    }


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a sequence file: num_frames (the period T of its motion), fps, source, start and how it was made."""
    with open_sequence(path) as file:
        return file.metadata() or {}


def read_sequence(path: str | Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a sequence file; only the named ones are read from disk.

    Args:
        names: some of ``first_frame`` uint8 ``[3, H, W]``, ``spectral_volume`` float16 ``[K, 4, H, W]``, ``frames``
            uint8 ``[M, 3, H, W]``, ``flows`` float16 ``[M, 2, H, W]``, ``frame_indices`` int32 ``[M]``; all by default.
    """
    with open_sequence(path) as file:
        there = list(file.keys())
        missing = [name for name in names or () if name not in there]
        if missing:
            raise ValueError(f"{path}: has no tensor {missing[0]!r}, only {', '.join(there)}")
        return {name: file.get_tensor(name) for name in (there if names is None else names)}


def read_slice(path: str | Path, name: str, index: int | slice) -> Tensor:
    """A part along the first axis of one tensor, such as a few frequencies or one frame, without reading the rest."""
    with open_sequence(path) as file:
        return file.get_slice(name)[index]


def open_sequence(path: str | Path):  # -> safetensors.safe_open
    """The open file of a sequence, a context manager.

    Raises:
        ValueError: missing, or cut off.
    """
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        reason = "no such file" if not Path(path).exists() else "not a whole safetensors file"
        raise ValueError(f"{path}: {reason}; run data.prepare again with the same output folder") from error
