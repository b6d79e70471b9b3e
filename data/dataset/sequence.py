"""What a sequence of a dataset folder is: the job that computes it, its options, its result, and all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from data.footage.frames import WHOLE, Crop, View
from data.footage.sources import Source


@dataclass(frozen=True)
class SequencePlan:
    """All sequences of a dataset folder, in the order of the manifest."""

    sources: list[Source]
    splits: Mapping[str, str]  # by sha256
    jobs_of: Callable[[Source], Iterable[SequenceJob]]  # nothing for a source with a problem
    options: SequenceOptions

    def jobs(self) -> Iterator[SequenceJob]:
        """Every sequence, made anew at each call."""
        for source in self.sources:
            yield from self.jobs_of(source)


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
    crop: Crop = WHOLE  # see data.footage.frames.View
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
