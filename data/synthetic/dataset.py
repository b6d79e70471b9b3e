"""Dataset folders of photos that sway: their options, the sequences of each photo, and how one is made."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from common.tensor_files import save_tensors
from data.dataset.build import accept_sources, report_results, run_jobs, write_results
from data.dataset.compute import channels_first, stratified_indices
from data.dataset.options import EXACT, SplitOptions
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan, SequenceResult
from data.dataset.sequence_file import sequence_metadata
from data.dataset.splits import assign_splits
from data.dataset.statistics import motion_statistics
from data.flow.estimators import estimate_flow
from data.footage.find import sequence_id
from data.footage.sources import Source
from data.media.images import read_image
from data.synthetic.scene import SceneParameters
from data.synthetic.sequence import synthetic_sequence
from data.synthetic.shown import (
    SKIP,
    Shown,
    announce,
    apply_doubts,
    known_readings,
    reading_of,
    remove_outdated,
    scan_photos,
    write_readings,
)
from data.synthetic.things.reading import STILL
from data.workers import Workers

SCENE_VERSION = 3  # version of the way scenes are made, by which a finished file is recognised


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions(SplitOptions):
    """Everything besides the photos that the contents of a synthetic dataset folder depend on."""

    sequences: int = 100  # in all
    held_out: int | None = None  # most sequences of a validation or test photo
    size: tuple[int, int] = (256, 160)  # width, height
    num_frames: int = 150
    fps: float = 30.0
    num_frequencies: int = 24
    stored_frames: int = 10
    flow: str = EXACT  # flow of the stored frames: exact, or an estimator
    amplitude: float | None = None  # pixels; see SceneParameters
    no_variation: bool = False
    still_share: float = 0.15  # of the sequences, those of photos in which nothing sways
    doubtful: str = SKIP  # what becomes of photos that can't be told: one of data.synthetic.shown.DOUBTS

    @property
    def scene(self) -> SceneParameters:
        return SceneParameters(
            num_frames=self.num_frames,
            fps=self.fps,
            num_frequencies=min(self.num_frequencies, self.num_frames // 2 + 1),
            amplitude=self.amplitude,
            photometric=0.0 if self.no_variation else SceneParameters.photometric,
        )


@dataclass(frozen=True)
class PhotoSources:
    """Where photos are and what is known about them."""

    names: list[tuple[Path, str]]  # as :func:`data.footage.find.find_sources` returned them
    maps: Path  # folder of their maps, which may be missing
    categories: Mapping[str, str]  # by file name


@dataclass(frozen=True)
class PhotoPlan(SequencePlan):
    """The sequences of photos."""

    synthetic: SyntheticOptions
    shown: Mapping[str, Shown]  # by sha256

    @cached_property
    def _counts(self) -> dict[str, int]:
        """Number of sequences of each usable photo, by sha256: still photos have their share, the others the rest."""
        still: list[str] = []
        moving: list[str] = []
        for source in self.sources:
            if not source.problem:
                (still if self.shown[source.sha256].verdict == STILL else moving).append(source.sha256)
        total = self.synthetic.sequences
        for_still = round(total * (self.synthetic.still_share if moving else 1)) if still else 0
        counts: dict[str, int] = {}
        for photos, number in ((still, for_still), (moving, total - for_still)):
            counts |= {digest: len(range(place, number, len(photos))) for place, digest in enumerate(photos)}
        return counts

    def notes_of(self, source: Source) -> str:
        """What the photo shows."""
        seen = self.shown.get(source.sha256)
        return seen.line if seen else ""

    def jobs_of(self, source: Source) -> Iterator[SequenceJob]:
        """The sequences of a photo; ``start`` is a sequence's number among them."""
        if source.problem:
            return
        options = self.synthetic
        split = self.splits[source.sha256]
        count = self._counts[source.sha256]
        if split != "train" and options.held_out:
            count = min(count, options.held_out)
        later = options.num_frames - 1
        for number in range(count):
            yield SequenceJob(
                id=sequence_id(source.name, source.sha256, number),
                path=source.path,
                source=source.name,
                source_sha256=source.sha256,
                start=number,
                fps=options.fps,
                source_indices=tuple(range(options.num_frames)),
                stored_frames=later if split in options.full else min(options.stored_frames, later),
            )


def build_dataset(
    photos: PhotoSources, folder: Path, workers: Workers, *, options: SyntheticOptions, existed: bool
) -> tuple[dict[str, Any], PhotoPlan, float]:
    """Make what a dataset folder lacks, and its manifest and statistics.

    Args:
        existed: see :func:`data.dataset.build.accept_sources`.

    Returns:
        What a ``--report`` says about it, the plan, and when the last sequence was made, by `time.perf_counter`.
    """
    known = known_readings(folder)
    sources, shown = scan_photos(
        photos.names,
        options.size,
        categories=photos.categories,
        maps=photos.maps,
        known=known,
        workers=workers,
    )
    accept_sources(sources, folder, options=options, things="photos", existed=existed)
    remove_outdated(folder, sources, known=known, shown=shown)
    write_readings(folder, shown)
    announce(shown, options.doubtful, photos.maps)
    sources, shown = apply_doubts(sources, shown, options.doubtful)
    plan = PhotoPlan(sources, assign_splits(sources, options), sequence_options(options), options, shown)
    compute = functools.partial(make_sequence, shown=shown, maps=photos.maps)
    failures, computed = run_jobs(plan, folder, workers, compute=compute)
    finished = time.perf_counter()
    counts = write_results(plan, folder, failures, num_frames=options.num_frames, fps=options.fps)
    return report_results(folder, counts, computed), plan, finished


def sequence_options(options: SyntheticOptions) -> SequenceOptions:
    """What all sequences have in common. None is dropped: the motion is what it is."""
    scene = options.scene
    recorded = {"scene_version": SCENE_VERSION, "seed": options.seed, "flow": options.flow, **asdict(scene)}
    recorded["doubtful"] = options.doubtful
    return SequenceOptions(
        size=options.size,
        num_frequencies=scene.num_frequencies,
        estimator=EXACT,
        estimator_parameters=recorded,
        keep_all=True,
    )


def recorded_options(options: SyntheticOptions) -> dict[str, Any]:
    """What all sequences of a dataset folder have in common, for ``parameters.json``."""
    computed = sequence_options(options)
    return {
        "size": options.size,
        "fps": options.fps,
        "num_frames": options.num_frames,
        "stored_frames": options.stored_frames,
        "num_frequencies": computed.num_frequencies,
        "flow": options.flow,
        "flow_parameters": computed.estimator_parameters,
    }


def make_sequence(
    job: SequenceJob, *, options: SequenceOptions, folder: Path, shown: Mapping[str, Shown], maps: Path
) -> SequenceResult:
    """Make one sequence and write ``folder/<id>.safetensors``, as `data.dataset.compute.compute_sequence` does."""
    recorded: dict[str, Any] = dict(options.estimator_parameters)
    seed = [recorded.pop("seed"), int(job.source_sha256[:15], 16), job.start]
    estimator = recorded.pop("flow")
    parameters = SceneParameters(**{field.name: recorded[field.name] for field in fields(SceneParameters)})
    seen = shown[job.source_sha256]
    things = []
    if seen.verdict != STILL:
        things = reading_of(job.path, job.source_sha256, seen.category, maps)[0].things
    indices = stratified_indices(job.num_frames, job.stored_frames, job.id)
    sequence = synthetic_sequence(
        read_image(job.path),
        seed,
        things=things,
        parameters=parameters,
        size=options.size,
        frame_indices=indices,
    )
    motion = sequence.motion()
    flows = motion[indices]
    if estimator != EXACT:
        flows = estimate_flow(sequence.first_frame, sequence.frames, estimator=estimator)
    tensors = {
        "first_frame": channels_first(sequence.first_frame),
        "spectral_volume": torch.from_numpy(sequence.spectral_volume(options.num_frequencies)).half(),
        "frames": channels_first(sequence.frames),
        "flows": channels_first(flows).half(),
        "frame_indices": torch.from_numpy(indices),
    }
    result = SequenceResult(motion_statistics(motion), len(indices))
    save_tensors(folder / f"{job.id}.safetensors", tensors, sequence_metadata(job, options, result))
    return result
