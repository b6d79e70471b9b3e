"""From the options of `data.prepare` to the sequences of a dataset folder: which frames of which videos."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from data.dataset.compute import source_indices
from data.dataset.options import (
    footage_options,
    recorded_footage_options,
)
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan
from data.dataset.splits import assign_splits
from data.flow.estimators import estimator_parameters
from data.footage.find import sequence_id
from data.footage.sources import Requirements, Source, check_sources

MIN_LOOP = 16  # frames of the shortest clip that --wrap takes for a loop


# Sequences ------------------------------------------------------------------------------------------------------------


def sequence_plan(scanned: list[Source], arguments: argparse.Namespace, fill_empty: bool = True) -> SequencePlan:
    """Which sequences of which videos there are.

    Args:
        scanned: all videos, from :func:`data.footage.sources.scan_sources`.
        fill_empty: see :func:`data.dataset.splits.assign_splits`.
    """
    sources = check_sources(scanned, source_requirements(arguments))
    splits = source_splits(sources, arguments, fill_empty)
    jobs_of = functools.partial(sequence_jobs, splits=splits, arguments=arguments)
    return SequencePlan(sources, splits, jobs_of, sequence_options(arguments))


def source_splits(sources: list[Source], arguments: argparse.Namespace, fill_empty: bool = True) -> dict[str, str]:
    """Split by sha256 of each usable video, see :func:`data.dataset.splits.assign_splits`."""
    return assign_splits(sources, arguments.split, pinned_names(arguments), arguments.seed, fill_empty)


def pinned_names(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Globs for the names of the videos that are pinned to a split."""
    return {"validation": arguments.validation, "test": arguments.test}


def source_requirements(arguments: argparse.Namespace) -> Requirements:
    """What videos need to have."""
    _, top, _, bottom = arguments.crop
    return Requirements(
        fps=arguments.fps,
        # Of a loop 16 frames are enough.
        fewest_frames=MIN_LOOP if arguments.wrap else arguments.num_frames,
        fewest_lines=math.ceil(arguments.size[1] / (1 - top - bottom)),
        crop=arguments.crop,
        one_shot=arguments.one_shot or arguments.wrap,
        keep_duplicates=arguments.keep_duplicates,
    )


def sequence_options(arguments: argparse.Namespace) -> SequenceOptions:
    """How sequences are computed."""
    # A whole number of loops may be up to a tenth shorter than --num-frames, see sequence_frames.
    fewest = math.ceil(0.9 * arguments.num_frames) if arguments.wrap else arguments.num_frames
    return SequenceOptions(
        size=arguments.size,
        num_frequencies=min(arguments.num_frequencies, fewest // 2 + 1),
        estimator=arguments.flow,
        estimator_parameters=estimator_parameters(arguments.flow),
        min_motion=arguments.min_motion,
        keep_all=arguments.keep_all,
        **footage_options(arguments),
    )


def recorded_options(arguments: argparse.Namespace, options: SequenceOptions) -> dict[str, Any]:
    """What all sequences of a dataset folder have in common. ``--full`` is not among it: files say what they hold."""
    recorded = {name: getattr(arguments, name) for name in ("size", "fps", "num_frames", "stride", "stored_frames")}
    recorded |= {"wrap": arguments.wrap, "num_frequencies": options.num_frequencies, "flow": options.estimator}
    recorded["max_sequences_per_video"] = arguments.max_sequences_per_video
    return recorded | recorded_footage_options(arguments) | {"flow_parameters": options.estimator_parameters}


def sequence_jobs(source: Source, splits: Mapping[str, str], arguments: argparse.Namespace) -> Iterator[SequenceJob]:
    """The sequences of a video, each within one shot; none if the video has a problem.

    Starts are counted over the frames of all shots at the frame rate of the sequences.
    """
    if source.problem or source.info is None:
        return
    info = source.info
    shots = [info.resample(arguments.fps, shot) for shot in range(len(info.shots))]
    before = np.cumsum([0, *(len(indices) for indices, _ in shots)])
    starts = [
        (shot, start) for shot, (indices, _) in enumerate(shots) for start in _starts_in_shot(len(indices), arguments)
    ]
    limit = arguments.max_sequences_per_video
    if limit and len(starts) > limit:
        starts = [starts[place] for place in np.linspace(0, len(starts) - 1, limit).round().astype(int)]
    for shot, start in starts:
        indices, fps = shots[shot]
        num_frames = sequence_frames(len(indices), arguments.num_frames, arguments.wrap)
        stored_frames = num_frames - 1 if splits[source.sha256] in arguments.full else arguments.stored_frames
        counted = int(before[shot]) + start
        yield SequenceJob(
            sequence_id(source.name, source.sha256, counted), source.path, source.name, source.sha256, counted, fps,
            source_indices(indices, start, num_frames), min(stored_frames, num_frames - 1), shot, info.interlaced,
        )  # fmt: skip


def _starts_in_shot(length: int, arguments: argparse.Namespace) -> range:
    """First frames of the sequences of a shot with so many frames, counted in it; none where it is too short."""
    num_frames = sequence_frames(length, arguments.num_frames, arguments.wrap)
    return range(0, length if arguments.wrap else length - num_frames + 1, arguments.stride)


def sequence_frames(clip_frames: int, num_frames: int, wrap: bool) -> int:
    """Frames of a clip's sequences: with ``wrap`` a whole number of loops if that is within 10 % of ``num_frames``.

    The motion is then periodic as a spectral volume wants it, without a jump that leaks into all frequencies.
    Coefficients do not depend on the number of frames, so such sequences mix with others.
    """
    if not wrap:
        return num_frames
    loops = clip_frames * max(1, round(num_frames / clip_frames))
    return loops if abs(loops - num_frames) <= 0.1 * num_frames else num_frames
