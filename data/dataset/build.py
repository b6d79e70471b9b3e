"""Computing what a dataset folder lacks, and describing the whole in ``manifest.csv`` and ``stats.json``."""

from __future__ import annotations

import csv
import functools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import write_json
from data.dataset.compute import compute_sequence, finished_sequence
from data.dataset.folder import write_sources
from data.dataset.manifest import write_manifest
from data.dataset.options import SplitOptions
from data.dataset.plan import VideoPlan
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan, SequenceResult
from data.dataset.sequence_file import sequence_path
from data.dataset.splits import SPLITS, unmatched_patterns
from data.dataset.statistics import drop_reason, volume_statistics
from data.footage.frames import SequenceReader
from data.footage.sources import Source
from data.workers import Workers, expect_visible

# (job, [resource,] options=, folder=) -> what the file holds, or a line about what went wrong
Compute = Callable[..., SequenceResult | str]


def build_dataset(
    plan: VideoPlan, folder: Path, workers: Workers, *, existed: bool = True, failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Compute what a folder lacks and write its manifest and statistics; returns what a ``--report`` says about it.

    Args:
        existed: see :func:`accept_sources`.
        failures: see :func:`run_jobs`.
    """
    accept_sources(plan.sources, folder, options=plan.prepare, things="videos", existed=existed)
    failures, computed = run_jobs(
        plan, folder, workers, compute=compute_sequence, resource=SequenceReader, failures=failures
    )
    counts = write_results(plan, folder, failures, num_frames=plan.prepare.num_frames, fps=plan.prepare.fps)
    return report_results(folder, counts, computed)


def accept_sources(sources: list[Source], folder: Path, *, options: SplitOptions, things: str, existed: bool) -> None:
    """Name the sources that can't be used, and record where the others are.

    Args:
        things: what the sources are called, "videos".
        existed: whether the folder was there before; a new one is removed where nothing is usable.

    Raises:
        ValueError: none of them is usable.
    """
    problems = source_problems(sources)
    if len(problems) == len(sources):
        if not existed:
            shutil.rmtree(folder)
        more = f" (and {len(problems) - 1} more {things} that can't be used)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    # A typing error would train on what was meant for validation.
    for pattern in unmatched_patterns(sources, options):
        print(f"warning: {pattern} matches none of the {things} that can be used", file=sys.stderr)
    write_sources(folder, sources)


def source_problems(sources: list[Source]) -> list[str]:
    """A line for each source that can't be used."""
    return [f"{source.name}: {source.problem}" for source in sources if source.problem]


# Work -----------------------------------------------------------------------------------------------------------------


def run_jobs(
    plan: SequencePlan,
    folder: Path,
    workers: Workers,
    *,
    compute: Compute,
    resource: Callable[[], Any] | None = None,
    failures: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], int]:
    """Compute what is not there yet; returns what went wrong, by sequence id, and how many had to be computed.

    Args:
        folder: the dataset folder.
        resource: see :meth:`data.workers.Workers.map`.
        failures: sequences that are known to fail, which are not tried again, with the reasons.
    """
    failed = dict(failures or {})
    # Absolute, because other machines work in other folders.
    sequences = folder.absolute() / "sequences"
    finished = bytearray(
        job.id in failed or finished_sequence(job, plan.options, sequences) is not None for job in plan.jobs()
    )
    missing = (job for job, there in zip(plan.jobs(), finished, strict=True) if not there)
    count = finished.count(0)
    call = functools.partial(
        _compute_visible, compute=compute, remote=workers.remote, options=plan.options, folder=sequences
    )
    done = len(finished) - count
    with closing(workers.map(call, missing, total=count, unit="sequences", done=done, resource=resource)) as results:
        for job, outcome in results:
            if isinstance(outcome, str):
                failed[job.id] = outcome
                print(f"warning: {job.id}: {outcome}", file=sys.stderr)
    return failed, count


def _compute_visible(
    job: SequenceJob, *resource: Any, compute: Compute, remote: bool, options: SequenceOptions, folder: Path
) -> SequenceResult | str:
    """A worker's call; on another machine the storage may be missing."""
    if remote:
        expect_visible(folder, job.path)
    return compute(job, *resource, options=options, folder=folder)


# Results --------------------------------------------------------------------------------------------------------------


def write_results(
    plan: SequencePlan, folder: Path, failures: Mapping[str, str], *, num_frames: int, fps: float
) -> Counter:
    """Write ``manifest.csv`` and ``stats.json``; returns how many sequences each split has, and how many are dropped.

    Args:
        failures: see :func:`run_jobs`.
        num_frames: frames of a sequence, as asked for.
        fps: frame rate, as asked for.
    """
    counts: Counter = Counter()

    def counted() -> Iterator[dict[str, Any]]:
        for row in manifest_rows(plan, folder, failures):
            counts[row["split"] if row["status"] == "kept" else "dropped"] += 1
            yield row

    write_manifest(folder / "manifest.csv", counted())
    if counts.total() == counts["dropped"]:
        (folder / "stats.json").unlink(missing_ok=True)  # from an earlier run, with other filters
        raise ValueError(f"no sequence is usable; {folder / 'manifest.csv'} says why for each video")
    for split in ("validation", "test"):
        if split in plan.splits.values() and not counts[split]:
            print(
                f"warning: the {split} split is empty, all its sequences were dropped: see manifest.csv; "
                f"--{split} puts others there",
                file=sys.stderr,
            )
    statistics: dict[str, Any] = {"num_frames": num_frames, "num_frequencies": plan.options.num_frequencies}
    statistics |= {"size": list(plan.options.size), "fps": fps, "estimator": plan.options.estimator}
    write_json(folder / "stats.json", {"format_version": 1, **_statistics(folder, counts, statistics)})
    return counts


def manifest_rows(plan: SequencePlan, folder: Path, failures: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One row per sequence, and one for each video or shot that gave none; the order depends on the inputs alone."""
    options = plan.options
    common = {
        "width": options.size[0],
        "height": options.size[1],
        "estimator": options.estimator,
        "estimator_parameters": json.dumps(options.estimator_parameters, sort_keys=True),
    }
    for source in plan.sources:
        named = {"source": source.name, "source_sha256": source.sha256, "notes": plan.notes_of(source)}
        if source.problem:
            yield {**common, **named, "status": "dropped", "reason": source.problem}
        for shot, reason in source.short_shots:
            yield {**common, **named, "shot": shot, "status": "dropped", "reason": reason}
        for job in plan.jobs_of(source):
            row = {"id": job.id, "shot": job.shot, "start": job.start, "fps": round(job.fps, 6)}
            row |= {"num_frames": job.num_frames}
            row |= {"split": plan.splits[job.source_sha256], **_outcome(job, failures.get(job.id), options, folder)}
            yield {**common, **named, **row}


def _outcome(job: SequenceJob, failure: str | None, options: SequenceOptions, folder: Path) -> dict[str, Any]:
    if failure is not None:
        return {"stored_frames": 0, "status": "dropped", "reason": failure}
    result = finished_sequence(job, options, folder / "sequences")
    if result is None:
        raise ValueError(f"{sequence_path(folder, job.id)}: changed by another program, run the same command again")
    reason = drop_reason(result.statistics, options)
    status = "dropped" if reason else "kept"
    return {**result.statistics, "stored_frames": result.stored_frames, "status": status, "reason": reason or ""}


def _statistics(folder: Path, counts: Counter, common: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of ``stats.json``: per-frequency statistics of the train split, of all sequences if that is empty."""
    from tqdm import tqdm

    split = "train" if counts["train"] else "all"
    if split == "all":
        print("warning: the train split is empty, stats.json describes all sequences", file=sys.stderr)
    total = counts["train"] or counts.total() - counts["dropped"]
    paths = (sequence_path(folder, row["id"]) for row in _kept_rows(folder, split))
    with tqdm(total=total, unit=" statistics", dynamic_ncols=True, leave=False) as progress:
        values = volume_statistics(paths, progress=progress.update)
    magnitudes = np.fromiter((row["mean_magnitude"] for row in _kept_rows(folder, split)), np.float64)
    described = {"split": split, "num_sequences": total, **common, **values}
    return described | {"mean_magnitude": float(magnitudes.mean())}


def _kept_rows(folder: Path, split: str) -> Iterator[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["status"] == "kept" and split in (row["split"], "all"):
                yield row


def report_results(folder: Path, counts: Counter, computed: int) -> dict[str, Any]:
    """Print the closing line of a run; returns what a ``--report`` says about it."""
    listed = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    dropped = f", {counts['dropped']} dropped" if counts["dropped"] else ""
    kept = counts.total() - counts["dropped"]
    print(f"{folder}: {kept} sequences ({listed}){dropped}, {computed} computed now")
    sequences = {name: count for name, count in sorted(counts.items()) if name != "dropped"}
    return {"sequences": sequences, "dropped": counts["dropped"], "computed": computed}
