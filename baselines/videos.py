"""Videos that another program made of the same photos, as a row of the motion table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from evaluation.prediction import Predict, Prediction, Setting
from evaluation.sequences import EvaluationSequence, crop_size


def videos(folder: Path, setting: Setting) -> Predict:
    """Videos that another program made of the same photos: one a sequence, ``<sequence id>.mp4`` or another format.

    They have the dataset's size, or that of its crop, which videos are compared at. Motion is measured in those of the
    dataset's size and length, with the flow estimator that measured the real one.
    """
    files = video_files(folder, setting.sequences)
    for sequence in setting.sequences:
        read_frames(files[sequence.id], sequence, 2)  # now: a file that won't do costs no hour of rendering

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        frames = read_frames(files[sequence.id], sequence, sequence.num_frames)
        if frames.shape[-2:] != sequence.size[::-1] or len(frames) != sequence.num_frames:
            return Prediction((), lambda _, count: frames[:count], CROPPED_NOTE)
        return Prediction((measure_motion(frames, sequence, setting.num_frequencies),), lambda _, count: frames[:count])

    return predict


CROPPED_NOTE = "not computed: motion is measured in videos of the dataset's own size and length"


def video_files(folder: Path, sequences: Sequence[EvaluationSequence]) -> dict[str, Path]:
    """File of each sequence's video by id."""
    from data.media.read_video import VIDEO_SUFFIXES

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of videos")
    there = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
    missing = [sequence.id for sequence in sequences if sequence.id not in there]
    if missing:
        more = f" nor of {len(missing) - 1} more sequences" if len(missing) > 1 else ""
        raise ValueError(f"{folder}: no video of sequence {missing[0]}{more}; name each <sequence id>.mp4")
    return there


def read_frames(path: Path, sequence: EvaluationSequence, max_frames: int) -> Tensor:
    """The first frames of a video: uint8 ``[N, 3, H, W]``, of the sequence's size or of its crop's.

    Raises:
        ValueError: no video, one of another size, or of a single frame.
    """
    from data.media.read_video import read_video

    frames, _ = read_video(path, max_frames=max_frames)
    height, width = frames.shape[1:3]
    sizes = dict.fromkeys((sequence.size, crop_size(sequence.size)))
    if (width, height) not in sizes:
        wanted = " or ".join(f"{w}x{h}" for w, h in sizes)
        raise ValueError(f"{path}: {width}x{height} pixels, the other methods' videos are {wanted}; resize it")
    if len(frames) < 2:
        raise ValueError(f"{path}: a single frame; give a video")
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()


def measure_motion(frames: Tensor, sequence: EvaluationSequence, num_frequencies: int) -> Tensor:
    """Spectral volume ``[1, K, 4, H, W]`` of a video, uint8 ``[T, 3, H, W]``, measured as the dataset's were.

    Where these were made and not measured, as of layered photos, it is by the default estimator of datasets.
    """
    from data.dataset.options import EXACT
    from data.flow.estimators import DEFAULT_ESTIMATOR, estimate_flow
    from models.spectral_volume import motion_to_spectral_volume

    pictures = frames.permute(0, 2, 3, 1).contiguous().numpy()
    known = sequence.row["estimator"]
    estimator = DEFAULT_ESTIMATOR if known == EXACT else known
    flow = torch.from_numpy(estimate_flow(pictures[0], pictures[1:], estimator=estimator))
    motion = torch.cat([torch.zeros_like(flow[:1]), flow]).permute(0, 3, 1, 2)[None]
    return motion_to_spectral_volume(motion, min(num_frequencies, sequence.num_frames // 2 + 1))
