"""From the options of `data.prepare` to the sequences of a dataset folder: which frames of which videos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.dataset.options import PrepareOptions
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan
from data.dataset.splits import assign_splits
from data.flow.estimators import estimator_parameters
from data.footage.find import sequence_id
from data.footage.sources import Requirements, Source, check_sources

MIN_LOOP = 16  # frames of the shortest clip that --wrap takes for a loop


@dataclass(frozen=True)
class VideoPlan(SequencePlan):
    """The sequences of videos, each within one shot."""

    prepare: PrepareOptions

    def jobs_of(self, source: Source) -> Iterator[SequenceJob]:
        """The sequences of a video; starts are counted over the frames of all shots at the sequences' frame rate."""
        if source.problem or source.info is None:
            return
        options = self.prepare
        shots = [source.info.resample(options.fps, shot) for shot in range(len(source.info.shots))]
        before = np.cumsum([0, *(len(indices) for indices, _ in shots)])
        starts = [
            (shot, at) for shot, (indices, _) in enumerate(shots) for at in _starts_in_shot(len(indices), options)
        ]
        limit = options.max_sequences_per_video
        if limit and len(starts) > limit:
            starts = [starts[place] for place in np.linspace(0, len(starts) - 1, limit).round().astype(int)]
        full = self.splits[source.sha256] in options.full
        for shot, at in starts:
            indices, fps = shots[shot]
            num_frames = sequence_frames(len(indices), options.num_frames, wrap=options.wrap)
            start = int(before[shot]) + at
            yield SequenceJob(
                id=sequence_id(source.name, source.sha256, start),
                path=source.path,
                source=source.name,
                source_sha256=source.sha256,
                start=start,
                fps=fps,
                source_indices=source_indices(indices, at, num_frames),
                stored_frames=num_frames - 1 if full else min(options.stored_frames, num_frames - 1),
                shot=shot,
                interlaced=source.info.interlaced,
            )


def plan_videos(scanned: list[Source], options: PrepareOptions, *, fill_empty: bool = True) -> VideoPlan:
    """Which sequences of which videos there are.

    Args:
        scanned: all videos, from :func:`data.footage.sources.scan_sources`.
        fill_empty: see :func:`data.dataset.splits.assign_splits`.
    """
    sources = check_sources(scanned, source_requirements(options))
    splits = assign_splits(sources, options, fill_empty=fill_empty)
    return VideoPlan(sources, splits, sequence_options(options), options)


def source_requirements(options: PrepareOptions) -> Requirements:
    """What videos need to have."""
    _, top, _, bottom = options.crop
    return Requirements(
        fps=options.fps,
        fewest_frames=MIN_LOOP if options.wrap else options.num_frames,
        fewest_lines=math.ceil(options.size[1] / (1 - top - bottom)),
        crop=options.crop,
        one_shot=options.one_shot or options.wrap,
        keep_duplicates=options.keep_duplicates,
    )


def sequence_options(options: PrepareOptions) -> SequenceOptions:
    """How sequences are computed."""
    # A whole number of loops may be up to a tenth shorter than --num-frames, see sequence_frames.
    fewest = math.ceil(0.9 * options.num_frames) if options.wrap else options.num_frames
    return SequenceOptions(
        size=options.size,
        num_frequencies=min(options.num_frequencies, fewest // 2 + 1),
        estimator=options.flow,
        estimator_parameters=estimator_parameters(options.flow),
        min_motion=options.min_motion,
        keep_all=options.keep_all,
        crop=options.crop,
        stabilize=options.stabilize,
        consistency_frames=options.consistency_frames,
        min_consistency=options.min_consistency,
        min_median_motion=options.min_median_motion,
        max_median_motion=options.max_median_motion,
    )


def recorded_options(options: PrepareOptions) -> dict[str, Any]:
    """What all sequences of a dataset folder have in common, for ``parameters.json``.

    Filters are not part of it, since they may change from run to run, and neither is ``full``: files say what they
    hold.
    """
    computed = sequence_options(options)
    return {
        "size": options.size,
        "fps": options.fps,
        "num_frames": options.num_frames,
        "stride": options.stride,
        "stored_frames": options.stored_frames,
        "wrap": options.wrap,
        "num_frequencies": computed.num_frequencies,
        "flow": options.flow,
        "max_sequences_per_video": options.max_sequences_per_video,
        "crop": options.crop,
        "stabilize": options.stabilize,
        "consistency_frames": options.consistency_frames,
        "one_shot": options.one_shot or options.wrap,
        "flow_parameters": computed.estimator_parameters,
    }


def source_indices(resampled: np.ndarray, start: int, num_frames: int) -> tuple[int, ...]:
    """The video's frame for each frame of a sequence; past the end they continue at the start, as clips that loop do.

    Args:
        resampled: the video's frames at the frame rate of the sequence
            (:meth:`data.media.read_video.VideoInfo.resample`).
        start: the sequence's first frame, counted in those.
    """
    return tuple(resampled[(start + np.arange(num_frames)) % len(resampled)].tolist())


def sequence_frames(clip_frames: int, num_frames: int, *, wrap: bool) -> int:
    """Frames of a clip's sequences: with ``wrap`` a whole number of loops if that is within 10 % of ``num_frames``.

    The motion is then periodic as a spectral volume wants it, without a jump that leaks into all frequencies.
    Coefficients do not depend on the number of frames, so such sequences mix with others.
    """
    if not wrap:
        return num_frames
    loops = clip_frames * max(1, round(num_frames / clip_frames))
    return loops if abs(loops - num_frames) <= 0.1 * num_frames else num_frames


def _starts_in_shot(length: int, options: PrepareOptions) -> range:
    """First frames of the sequences of a shot with this many frames, counted in it; none where it is too short."""
    num_frames = sequence_frames(length, options.num_frames, wrap=options.wrap)
    return range(0, length if options.wrap else length - num_frames + 1, options.stride)
