"""All frames and flows of a sequence, from its file or, where that holds a sample, from the source video once more.

Evaluation needs every frame; most files hold a few. Decoding again gives exactly what ``python -m data.prepare --full``
stores, as long as the video is still where ``sources.json`` says.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from common.hashing import file_sha256
from data.dataset.compute import channels_first, compute_motion
from data.dataset.folder import read_sources
from data.dataset.sequence import SequenceJob
from data.dataset.sequence_file import read_metadata, read_sequence, sequence_path
from data.flow.estimators import estimator_parameters
from data.footage.frames import View, read_sequence_frames


@dataclass(frozen=True)
class FullSequence:
    """A whole sequence of T frames."""

    frames: Tensor  # uint8 [T, 3, H, W], frame 0 is the photo
    flows: Tensor | None  # float32 [T-1, 2, H, W], x and y in pixels from frame 0 to frames 1..T-1


def load_full_sequence(folder: str | Path, row: Mapping, *, flows: bool = True) -> FullSequence:
    """All frames of a sequence and, unless ``flows=False``, the flow from the first to each later one.

    Read from the file if it holds them, else decoded from the source video. Then the flow is estimated again too, which
    may take a minute; it is rounded to float16 like a stored one.

    Args:
        folder: dataset folder.
        row: the row of a kept sequence in its manifest.

    Raises:
        ValueError: the file holds a sample, and the source is gone, has changed, decodes to other pixels, or the flow
            estimator is another one now.
    """
    path = sequence_path(folder, row["id"])
    stored = len(read_sequence(path, ["frame_indices"])["frame_indices"])
    if stored == row["num_frames"] - 1:
        tensors = read_sequence(path, ["first_frame", "frames", *(["flows"] if flows else [])])
        frames = torch.cat([tensors["first_frame"][None], tensors["frames"]])
        return FullSequence(frames, tensors["flows"].float() if flows else None)
    try:
        sequence = _decode_again(folder, read_metadata(path), flows)
        _expect_stored_frames(sequence.frames, path)
    except ValueError as problem:
        raise ValueError(
            f"{path}: holds {stored} of {row['num_frames'] - 1} later frames, and {problem}; "
            f"run python -m data.prepare again with --full {row['split']}"
        ) from problem
    return sequence


def _decode_again(folder: str | Path, metadata: Mapping[str, str], flows: bool) -> FullSequence:
    job = _job_again(folder, metadata)
    size = int(metadata["width"]), int(metadata["height"])
    view = View(size, tuple(json.loads(metadata["crop"])), json.loads(metadata["stabilize"]))
    if flows:
        _expect_same_estimator(metadata)
    frames = read_sequence_frames(job, view)
    if not flows:
        return FullSequence(channels_first(frames), None)
    motion = compute_motion(
        frames,
        job,
        estimator=metadata["estimator"],
        stabilized=view.stabilize,
        num_threads=torch.get_num_threads(),  # the flow does not depend on it
    )
    return FullSequence(channels_first(frames), channels_first(motion[1:]).half().float())


def _job_again(folder: str | Path, metadata: Mapping[str, str]) -> SequenceJob:
    """What `data.prepare` computed, with the video where it is now."""
    if "source_indices" not in metadata:
        raise ValueError("the file does not say from which frames of which source")
    digest = metadata["source_sha256"]
    video = read_sources(folder).get(digest)
    if video is None:
        raise ValueError(f"sources.json does not say where its source {metadata['source']} is")
    try:
        state = Path(video).stat()
        # Size and time of change are part of the key, so that a video replaced meanwhile is looked at again.
        _verify(video, digest, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ValueError(f"its source {video} is missing") from error
    frames = tuple(json.loads(metadata["source_indices"]))
    return SequenceJob(
        id=metadata["id"],
        path=video,
        source=metadata["source"],
        source_sha256=digest,
        start=int(metadata["start"]),
        fps=float(metadata["fps"]),
        source_indices=frames,
        stored_frames=len(frames) - 1,
        shot=int(metadata["shot"]),
        interlaced=json.loads(metadata["interlaced"]),
    )


@functools.lru_cache(maxsize=1024)
def _verify(path: str, sha256: str, size: int, changed: int) -> None:
    """Raise ValueError unless a video's content is the one with this hash."""
    if file_sha256(path) != sha256:
        raise ValueError(f"its source {path} has changed")


def _expect_same_estimator(metadata: Mapping[str, str]) -> None:
    name, then = metadata["estimator"], metadata["estimator_parameters"]
    now = json.dumps(estimator_parameters(name), sort_keys=True)
    if now != then:
        raise ValueError(f"its flow was estimated by {name} with {then}, which is {now} here")


def _expect_stored_frames(frames: Tensor, path: Path) -> None:
    """Another version of the decoder may round otherwise; then frames and stored statistics would not fit together."""
    stored = read_sequence(path, ["first_frame", "frames", "frame_indices"])
    sample = frames[stored["frame_indices"].long()]
    if not (torch.equal(frames[0], stored["first_frame"]) and torch.equal(sample, stored["frames"])):
        raise ValueError("its source decodes to other pixels here than when it was prepared")
