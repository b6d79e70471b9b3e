"""One sequence of a dataset folder: frames -> flow -> motion texture -> spectral volume -> file, and its statistics.

A sequence is T frames of a video from some start frame on. Its motion texture holds the flow from the start frame to
each later frame (paper section 4.1); a file keeps the K lowest frequencies of it, and a few or all of the frames with
their whole flow.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.hashing import text_sha256
from common.tensor_files import save_tensors
from data.dataset.sequence import SequenceJob, SequenceOptions, SequenceResult
from data.dataset.sequence_file import open_sequence, sequence_metadata
from data.dataset.statistics import drop_reason, motion_consistency, motion_statistics
from data.flow.estimators import estimate_flow
from data.footage.frames import SequenceReader
from models.spectral_volume import motion_to_spectral_volume


def compute_sequence(
    job: SequenceJob, reader: SequenceReader, *, options: SequenceOptions, folder: Path
) -> SequenceResult | str:
    """Estimate the flow of a sequence and write ``folder/<id>.safetensors``.

    The file's metadata says how it was made. For a sequence that the filters drop the file holds nothing else, so that
    a second run need not find that out again.

    Args:
        reader: decodes the frames; it keeps the video open for the next sequence.

    Returns:
        What the file holds, or one line about what is wrong with the video.
    """
    try:
        frames = reader.read(job, options.view)
        motion = compute_motion(frames, job, estimator=options.estimator, stabilized=options.stabilize)
        consistency = motion_consistency(frames, motion, count=options.consistency_frames, estimator=options.estimator)
    except ValueError as error:
        return str(error).removeprefix(f"{job.path}: ")
    statistics = motion_statistics(motion) | consistency
    dropped = drop_reason(statistics, options) is not None
    tensors = {} if dropped else _tensors(frames, motion, job, options)
    result = SequenceResult(statistics, 0 if dropped else job.stored_frames)
    save_tensors(folder / f"{job.id}.safetensors", tensors, sequence_metadata(job, options, result))
    return result


def compute_motion(
    frames: np.ndarray, sequence: SequenceJob, *, estimator: str, stabilized: bool, num_threads: int = 1
) -> np.ndarray:
    """Motion texture float32 ``[T, H, W, 2]`` of a sequence: x and y in pixels, zero at t = 0.

    Args:
        frames: uint8 ``[T, H, W, 3]``.
        stabilized: whether the frames were steadied.

    Raises:
        ValueError: all frames are the same, or the flow is not finite.
    """
    # A loop shorter than the sequence shows frames twice, and so does a raised frame rate: each is estimated once.
    # No two stabilised frames are the same, since each has its own place on the camera's path.
    shown = np.arange(len(frames)) if stabilized else sequence.source_indices
    _, first, occurrence = np.unique(shown, return_index=True, return_inverse=True)
    still = occurrence[0]
    others = np.delete(np.arange(len(first)), still)
    if len(others) == 0:
        raise ValueError(f"{sequence.source}: frames {sequence.start} and on are all the same frame")
    unique_flows = np.zeros((len(first), *frames.shape[1:3], 2), np.float32)
    unique_flows[others] = estimate_flow(frames[0], frames[first[others]], estimator=estimator, num_threads=num_threads)
    if not np.isfinite(unique_flows).all():
        raise ValueError(f"{sequence.source}: the flow from frame {sequence.start} is not finite")
    return unique_flows[occurrence]


def stratified_indices(num_frames: int, count: int, sequence_id: str) -> np.ndarray:
    """One frame drawn uniformly from each of ``count`` equal strata of the frames 1..T-1, the same for the same id."""
    count = min(count, num_frames - 1)
    edges = 1 + np.arange(count + 1) * (num_frames - 1) // max(count, 1)
    seed = int(text_sha256(sequence_id)[:16], 16)
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:]).astype(np.int32)


def _tensors(
    frames: np.ndarray, motion: np.ndarray, sequence: SequenceJob, options: SequenceOptions
) -> dict[str, Tensor]:
    texture = torch.from_numpy(motion).permute(0, 3, 1, 2)[None]
    volume = motion_to_spectral_volume(texture, options.num_frequencies)[0]
    indices = stratified_indices(sequence.num_frames, sequence.stored_frames, sequence.id)
    return {
        "first_frame": channels_first(frames[0]),
        "spectral_volume": volume.half(),
        "frames": channels_first(frames[indices]),
        "flows": channels_first(motion[indices]).half(),
        "frame_indices": torch.from_numpy(indices),
    }


def finished_sequence(sequence: SequenceJob, options: SequenceOptions, folder: Path) -> SequenceResult | None:
    """What the file of a sequence holds if it is there, whole, was made in the same way and suffices; else None.

    A file with all frames suffices where a sample is wanted: it holds the sample too, and took long to make.
    """
    try:
        with open_sequence(folder / f"{sequence.id}.safetensors") as file:
            metadata, empty = file.metadata() or {}, not file.keys()
        result = SequenceResult(json.loads(metadata.get("statistics", "{}")), int(metadata.get("stored_frames", 0)))
    except ValueError:
        return None  # missing or cut off: it is made again
    # The name under which the video was found may change; its content and the way of computing may not.
    wanted = sequence_metadata(sequence, options, result) | {"source": metadata.get("source", "")}
    if metadata != wanted:
        return None
    dropped = drop_reason(result.statistics, options) is not None
    if empty:
        return SequenceResult(result.statistics, 0) if dropped else None
    enough = result.stored_frames in (sequence.stored_frames, sequence.num_frames - 1)
    return result if enough or dropped else None


def channels_first(images: np.ndarray) -> Tensor:
    """``[..., H, W, C]`` -> contiguous ``[..., C, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))
