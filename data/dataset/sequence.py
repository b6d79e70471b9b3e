"""What a sequence of a dataset folder is: the job that computes it, its options, its result, and the plan of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from data.footage.frames import WHOLE, Crop, View
from data.footage.sources import Source


@dataclass(frozen=True, kw_only=True)
class SequenceJob:
    """What to compute: plain values, so that it can be sent to a worker process."""

    id: str
    path: str  # where the video is
    source: str  # the video's name in the manifest
    source_sha256: str
    start: int  # first frame, counted at ``fps``
    fps: float
    source_indices: tuple[int, ...]  # see data.dataset.plan.source_indices
    stored_frames: int  # later frames to keep with their flow; T - 1 are all
    shot: int = 0  # the number of the shot within the video, from 0 on
    interlaced: bool = False  # only one field of each frame is used

    @property
    def num_frames(self) -> int:
        return len(self.source_indices)


@dataclass(frozen=True, kw_only=True)
class SequenceOptions:
    """How to compute a sequence: the same for all sequences of a dataset folder."""

    size: tuple[int, int]  # width, height
    num_frequencies: int
    estimator: str
    estimator_parameters: Mapping[str, object]
    min_motion: float = 0.3  # pixels at a width of 256, of what moves most
    keep_all: bool = False  # no filters
    crop: Crop = WHOLE  # see data.footage.frames.View
    stabilize: bool = False
    consistency_frames: int = 0  # frames for which the flow back is estimated too, to measure the consistency
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


@dataclass(frozen=True)
class SequencePlan(ABC):
    """All sequences of a dataset folder, in the order of the manifest. Jobs are made when they are asked for."""

    sources: list[Source]
    splits: Mapping[str, str]  # by sha256
    options: SequenceOptions

    @abstractmethod
    def jobs_of(self, source: Source) -> Iterable[SequenceJob]:
        """The sequences of a source; none where it has a problem."""

    def notes_of(self, source: Source) -> str:
        """What the manifest says about a source; most plans have nothing to say."""
        return ""

    def jobs(self) -> Iterator[SequenceJob]:
        """Every sequence."""
        for source in self.sources:
            yield from self.jobs_of(source)
