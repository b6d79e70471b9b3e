"""One sequence of a dataset folder: frames -> flow -> motion texture -> spectral volume -> file, and its statistics.

A sequence is T frames of a video from some start frame on. Its motion texture holds the flow from the start frame to
each later frame (paper section 4.1); a file keeps the K lowest frequencies of it, and a few or all of the frames with
their whole flow.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.files import save_tensors
from data.dataset.sequence import Estimate, EstimatePairs, SequenceJob, SequenceOptions, SequenceResult
from data.dataset.sequence_file import _open, sequence_metadata
from data.dataset.statistics import drop_reason, motion_consistency, motion_statistics
from data.footage.frames import View, read_sequence_frames
from models.spectral_volume import motion_to_spectral_volume


def source_indices(resampled: np.ndarray, start: int, num_frames: int) -> tuple[int, ...]:
    """The video's frame for each frame of a sequence; past the end it goes on at the beginning, as clips that loop do.

    Args:
        resampled: the video's frames at the frame rate of the sequence
        (:meth:`data.media.read_video.VideoInfo.resample`).
        start: of the sequence, counted in those.
    """
    return tuple(resampled[(start + np.arange(num_frames)) % len(resampled)].tolist())


def compute_motion(
    sequence: SequenceJob, view: View, estimate: Estimate, keep_open: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 ``[T, H, W, 3]`` and motion texture float32 ``[T, H, W, 2]`` (x, y in pixels; zero at t = 0).

    Args:
        keep_open: see :func:`data.footage.frames.read_sequence_frames`.
    """
    frames = read_sequence_frames(sequence, view, keep_open)
    # A loop shorter than the sequence shows frames twice, and so does a raised frame rate: each is estimated once.
    # Of stabilised frames no two are the same, since each has a place on the camera's path.
    shown = np.arange(len(frames)) if view.stabilize else sequence.source_indices
    _, first, occurrence = np.unique(shown, return_index=True, return_inverse=True)
    still = occurrence[0]
    others = np.delete(np.arange(len(first)), still)
    if len(others) == 0:
        raise ValueError(f"{sequence.source}: frames {sequence.start} and on are all the same frame")
    unique_flows = np.zeros((len(first), *frames.shape[1:3], 2), np.float32)
    unique_flows[others] = estimate(frames[0], frames[first[others]])
    if not np.isfinite(unique_flows).all():
        raise ValueError(f"{sequence.source}: the flow from frame {sequence.start} is not finite")
    return frames, unique_flows[occurrence]


def stratified_indices(num_frames: int, count: int, sequence_id: str) -> np.ndarray:
    """One frame drawn uniformly from each of ``count`` equal strata of the frames 1..T-1, the same for the same id."""
    count = min(count, num_frames - 1)
    edges = 1 + np.arange(count + 1) * (num_frames - 1) // count
    seed = int.from_bytes(hashlib.sha256(sequence_id.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:]).astype(np.int32)


def prepare_sequence(
    sequence: SequenceJob, options: SequenceOptions, folder: Path, estimate: Estimate, estimate_pairs: EstimatePairs
) -> SequenceResult:
    """Compute a sequence and write ``folder/<id>.safetensors``.

    The file's metadata says how it was made; :func:`read_metadata` reads it back. For a sequence that the filters drop
    it holds nothing else, so that a second run need not find that out again. The video stays open for the next sequence
    (:func:`data.footage.frames.close_kept` closes it).
    """
    frames, motion = compute_motion(sequence, options.view, estimate, keep_open=True)
    statistics = motion_statistics(motion)
    statistics |= motion_consistency(frames, motion, options.consistency_frames, estimate_pairs)
    dropped = drop_reason(statistics, options) is not None
    tensors = {} if dropped else _tensors(frames, motion, sequence, options)
    result = SequenceResult(statistics, 0 if dropped else sequence.stored_frames)
    save_tensors(folder / f"{sequence.id}.safetensors", tensors, sequence_metadata(sequence, options, result))
    return result


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
        with _open(folder / f"{sequence.id}.safetensors") as file:
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
