"""Dataset folders of simulated scenes: their options, which scenes there are, and how one is made."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.files import temporary_path
from common.tensor_files import save_tensors
from data.dataset.build import accept_sources, report_results, run_jobs, write_results
from data.dataset.compute import channels_first, stratified_indices
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan, SequenceResult
from data.dataset.sequence_file import sequence_metadata
from data.dataset.splits import assign_splits
from data.dataset.statistics import motion_statistics
from data.footage.find import sequence_id
from data.footage.sources import Source
from data.simulated.kinds.registry import KINDS
from data.simulated.options import SimulatedOptions, kind_of, scene_sources, sequence_options
from data.simulated.renderer import BlenderPython, Renderer
from data.simulated.sequence import SimulatedSequence, Timing, simulate
from data.workers import Workers
from models.spectral_volume import spectral_volume_to_motion

SURFACES = (
    ("name", "source", "licence"),
    ("all colours, patterns and bumps", "procedural: data.simulated.kinds.materials", "Apache-2.0"),
    ("all geometry", "procedural: data.simulated.shapes", "Apache-2.0"),
    ("sky", "the Nishita model as Blender computes it", "no licence needed: a picture made by a program"),
)


@dataclass(frozen=True)
class ScenePlan(SequencePlan):
    """The scenes of a dataset folder, a sequence each."""

    simulated: SimulatedOptions

    def jobs_of(self, source: Source) -> Iterator[SequenceJob]:
        options, later = self.simulated, self.simulated.num_frames - 1
        full = self.splits[source.sha256] in options.full
        yield SequenceJob(
            id=sequence_id(source.name, source.sha256, 0),
            path=source.path,
            source=source.name,
            source_sha256=source.sha256,
            start=0,
            fps=options.fps,
            source_indices=tuple(range(options.num_frames)),
            stored_frames=later if full else min(options.stored_frames, later),
        )


def build_dataset(
    folder: Path, workers: Workers, *, options: SimulatedOptions, blender: BlenderPython, existed: bool
) -> dict[str, Any]:
    """Make what a dataset folder lacks, its manifest and statistics, and the lists of scenes and of surfaces.

    Args:
        existed: see :func:`data.dataset.build.accept_sources`.

    Returns:
        What a ``--report`` says about it.
    """
    sources = scene_sources(options)
    accept_sources(sources, folder, options=options, things="scenes", existed=existed)
    plan = ScenePlan(sources, assign_splits(sources, options), sequence_options(options), options)
    _write_csv(folder / "surfaces.csv", SURFACES)
    rows = [("id", "kind", "moves")]
    for source in sources:
        kind = kind_of(source.name)
        rows.append((sequence_id(source.name, source.sha256, 0), kind, "no" if KINDS[kind].still else "yes"))
    _write_csv(folder / "scenes.csv", rows)
    failures, computed = run_jobs(plan, folder, workers, compute=make_sequence, resource=blender)
    counts = write_results(plan, folder, failures, num_frames=options.num_frames, fps=options.fps)
    return report_results(folder, counts, computed)


def make_sequence(
    job: SequenceJob, renderer: Renderer, *, options: SequenceOptions, folder: Path
) -> SequenceResult | str:
    """Make one sequence and write ``folder/<id>.safetensors``, as `data.dataset.compute.compute_sequence` does."""
    random = np.random.default_rng(int(job.source_sha256[:15], 16))
    indices = stratified_indices(job.num_frames, job.stored_frames, job.id)
    timing = Timing(job.num_frames, job.fps, options.num_frequencies)
    try:
        scene = KINDS[kind_of(job.source)].build(random)
        sequence = simulate(scene, random, renderer, timing=timing, size=options.size, frame_indices=indices)
    except ValueError as error:
        return str(error)
    volume = torch.from_numpy(sequence.spectral_volume)
    motion = spectral_volume_to_motion(volume[None], job.num_frames)[0].permute(0, 2, 3, 1).numpy()
    result = SequenceResult(motion_statistics(motion - motion[:1]), len(indices))
    save_tensors(folder / f"{job.id}.safetensors", sequence_tensors(sequence), sequence_metadata(job, options, result))
    return result


def sequence_tensors(sequence: SimulatedSequence) -> Mapping[str, torch.Tensor]:
    """The tensors of a sequence file: those that every dataset folder has, and depth, flow back and what is hidden."""
    return {
        "first_frame": channels_first(sequence.first_frame),
        "spectral_volume": torch.from_numpy(sequence.spectral_volume).half(),
        "frames": channels_first(sequence.frames),
        "flows": channels_first(sequence.flows).half(),
        "frame_indices": torch.from_numpy(sequence.frame_indices),
        "depth": torch.from_numpy(np.ascontiguousarray(sequence.depth, np.float32)),
        "depths": torch.from_numpy(np.ascontiguousarray(sequence.depths, np.float32)),
        "backward_flows": channels_first(sequence.backward_flows).half(),
        "hidden": torch.from_numpy(sequence.hidden),
    }


def _write_csv(path: Path, rows: Any) -> None:
    with temporary_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
