"""One sequence of a dataset folder: frames -> flow -> motion texture -> spectral volume -> file, and its statistics.

A sequence is T frames of a video from some start frame on. Its motion texture holds the flow from the start frame to
each later frame (paper section 4.1); a file keeps the K lowest frequencies of it, and a few or all of the frames with
their whole flow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from data.consistency import consistent_share, measured_frames
from data.sequence_frames import WHOLE, Crop, View, read_sequence_frames
from data.tensor_file import save_tensors
from models.spectral_volume import motion_to_spectral_volume

FORMAT_VERSION = 2
MOVING = 1.0  # pixels; a pixel whose mean displacement is larger counts as moving (paper section 7)
CAMERA_MOTION = 0.95  # share of moving pixels above which it is the camera that moves
STATISTICS = (
    *("mean_magnitude", "median_magnitude", "p95_magnitude", "rms_amplitude", "moving_fraction", "consistency"),
)


@dataclass(frozen=True)
class SequenceJob:
    """What to compute: plain values, so that it can be sent to a worker process."""

    id: str
    path: str  # the video
    source: str  # its name in the manifest
    source_sha256: str
    start: int  # first frame, counted at ``fps``
    fps: float
    source_indices: tuple[int, ...]  # see source_indices()
    stored_frames: int  # later frames to keep with their flow; T - 1 are all
    shot: int = 0  # of the video, from 0 on
    interlaced: bool = False  # of its frames one field is used

    @property
    def num_frames(self) -> int:
        return len(self.source_indices)


@dataclass(frozen=True)
class SequenceOptions:
    """How to compute it: the same for all sequences of a dataset folder."""

    size: tuple[int, int]  # width, height
    num_frequencies: int
    estimator: str
    estimator_parameters: Mapping[str, object]
    min_motion: float = 0.1  # pixels of mean magnitude
    keep_all: bool = False  # no filters
    crop: Crop = WHOLE  # see data.sequence_frames.View
    stabilize: bool = False
    consistency_frames: int = 0  # for which the flow back is estimated too, to measure the consistency
    min_consistency: float = 0.0  # share of pixels; 0 for no filter, as below
    min_median_motion: float = 0.0  # pixels of median magnitude
    max_median_motion: float = 0.0

    @property
    def view(self) -> View:
        return View(self.size, self.crop, self.stabilize)


@dataclass(frozen=True)
class SequenceResult:
    """What is known of a sequence whose file is written."""

    statistics: dict[str, float]  # motion_statistics()
    stored_frames: int  # later frames in the file, none where the filters drop the sequence


Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]  # source [H, W, 3], targets [N, H, W, 3] -> [N, H, W, 2]
EstimatePairs = Callable[[np.ndarray, np.ndarray], np.ndarray]  # the same with sources [N, H, W, 3]


def sequence_path(folder: str | Path, sequence_id: str) -> Path:
    """Where a dataset folder keeps a sequence."""
    return Path(folder) / "sequences" / f"{sequence_id}.safetensors"


def source_indices(resampled: np.ndarray, start: int, num_frames: int) -> tuple[int, ...]:
    """The video's frame for each frame of a sequence; past the end it goes on at the beginning, as clips that loop do.

    Args:
        resampled: the video's frames at the frame rate of the sequence (:meth:`data.video.VideoInfo.resample`).
        start: of the sequence, counted in those.
    """
    return tuple(resampled[(start + np.arange(num_frames)) % len(resampled)].tolist())


def compute_motion(
    sequence: SequenceJob, view: View, estimate: Estimate, keep_open: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 ``[T, H, W, 3]`` and motion texture float32 ``[T, H, W, 2]`` (x, y in pixels; zero at t = 0).

    Args:
        keep_open: see :func:`data.sequence_frames.read_sequence_frames`.
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


def motion_statistics(motion: np.ndarray) -> dict[str, float]:
    """Numbers that describe how much moves, from a motion texture ``[T, H, W, 2]``, in pixels.

    Magnitudes are over all pixels and all frames after the first; the amplitude is the root mean square displacement
    about each pixel's mean position; ``moving_fraction`` is the share of pixels with a mean magnitude above 1 pixel.
    """
    magnitude = np.hypot(motion[1:, ..., 0], motion[1:, ..., 1])
    variance = motion.var(axis=0, dtype=np.float64).sum(axis=-1)
    values = {
        "mean_magnitude": magnitude.mean(dtype=np.float64),
        "median_magnitude": np.median(magnitude),
        "p95_magnitude": np.percentile(magnitude, 95),
        "rms_amplitude": np.sqrt(variance.mean()),
        "moving_fraction": (magnitude.mean(axis=0) > MOVING).mean(),
    }
    return {name: round(float(value), 5) for name, value in values.items()}


def motion_consistency(
    frames: np.ndarray, motion: np.ndarray, count: int, estimate_pairs: EstimatePairs
) -> dict[str, float]:
    """``consistency`` of a motion texture: share of pixels whose flow agrees with the flow back, in ``count`` frames.

    Nothing where none are to be measured.
    """
    measured = measured_frames(len(frames), count)
    if not len(measured):
        return {}
    first = np.broadcast_to(frames[0], frames[measured].shape)
    backward = estimate_pairs(frames[measured], np.ascontiguousarray(first))
    return {"consistency": round(consistent_share(motion[measured], backward), 5)}


def drop_reason(statistics: Mapping[str, float], options: SequenceOptions) -> str | None:
    """Why a sequence is not worth training on, or None.

    The filters are those of paper section 7, the reference implementation's by the median, and one by consistency.
    """
    if options.keep_all:
        return None
    mean, median = statistics["mean_magnitude"], statistics["median_magnitude"]
    consistency = statistics.get("consistency", 1.0)
    if statistics["moving_fraction"] > CAMERA_MOTION:
        return f"camera motion: {statistics['moving_fraction']:.1%} of the pixels move by more than {MOVING:g} px"
    if mean < options.min_motion:
        return f"no motion: {mean:.3f} px in the mean, under {options.min_motion:g} px"
    if median < options.min_median_motion:
        return f"little motion: {median:.3f} px in the median, under {options.min_median_motion:g} px"
    if 0 < options.max_median_motion < median:
        return f"much motion: {median:.3f} px in the median, over {options.max_median_motion:g} px"
    if consistency < options.min_consistency:
        return f"inconsistent flow: it agrees in {consistency:.1%} of the pixels, under {options.min_consistency:.1%}"
    return None


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
    (:func:`data.sequence_frames.close_kept` closes it).
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


def sequence_metadata(sequence: SequenceJob, options: SequenceOptions, result: SequenceResult) -> dict[str, str]:
    """What a sequence's file says about how it was made, by which it is recognised."""
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


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a sequence file: num_frames (the period T of its motion), fps, source, start and how it was made."""
    with _open(path) as file:
        return file.metadata() or {}


def read_sequence(path: str | Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of a sequence file; only the named ones are read from disk.

    Args:
        names: of ``first_frame`` uint8 ``[3, H, W]``, ``spectral_volume`` float16 ``[K, 4, H, W]``, ``frames`` uint8
            ``[M, 3, H, W]``, ``flows`` float16 ``[M, 2, H, W]``, ``frame_indices`` int32 ``[M]``; all by default.
    """
    with _open(path) as file:
        there = list(file.keys())
        missing = [name for name in names or () if name not in there]
        if missing:
            raise ValueError(f"{path}: has no tensor {missing[0]!r}, only {', '.join(there)}")
        return {name: file.get_tensor(name) for name in (there if names is None else names)}


def read_slice(path: str | Path, name: str, index: int | slice) -> Tensor:
    """A part along the first axis of one tensor, such as a few frequencies or one frame, without reading the rest."""
    with _open(path) as file:
        return file.get_slice(name)[index]


def _open(path: str | Path):
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        reason = "no such file" if not Path(path).exists() else "not a whole safetensors file"
        raise ValueError(f"{path}: {reason}; run data.prepare again with the same output folder") from error


def volume_statistics(paths: Iterable[Path], progress: Callable[[], object] | None = None) -> dict[str, list[float]]:
    """Exact per-frequency statistics of the spectral volumes in these files, in pixels: ``p95`` and ``rms`` about zero.

    The absolute values of the four real channels are pooled over pixels and sequences. float16 has only 32768 values
    without sign, so counting each of them gives exact quantiles of any number of files in one pass.
    """
    counts: np.ndarray | None = None
    for path in paths:
        volume = read_sequence(path, ["spectral_volume"])["spectral_volume"].numpy()
        bits = volume.view(np.uint16) & 0x7FFF  # drops the sign; the order of the bits is the order of the values
        if counts is None:
            counts = np.zeros((len(volume), 1 << 15), np.int64)
        for total, values in zip(counts, bits, strict=True):
            total += np.bincount(values.ravel(), minlength=1 << 15)
        if progress:
            progress()
    if counts is None:
        raise ValueError("there are no sequences to take statistics of")
    values = np.arange(1 << 15, dtype=np.uint16).view(np.float16).astype(np.float64)
    values[~np.isfinite(values)] = 0  # bit patterns of infinity and NaN, which no file holds
    rms = np.sqrt((counts * values**2).sum(axis=1) / counts.sum(axis=1))
    return {"p95": [_quantile(row, values, 0.95) for row in counts], "rms": rms.tolist()}


def _quantile(counts: np.ndarray, values: np.ndarray, fraction: float) -> float:
    """Quantile of a sample given by counts of sorted values, with numpy's linear interpolation."""
    cumulative = counts.cumsum()
    position = fraction * (cumulative[-1] - 1)
    low, high = np.searchsorted(cumulative, [np.floor(position), np.ceil(position)], side="right")
    return float(values[low] + (values[high] - values[low]) * (position - np.floor(position)))


def channels_first(images: np.ndarray) -> Tensor:
    """``[..., H, W, C]`` -> contiguous ``[..., C, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))
