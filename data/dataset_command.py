"""What the commands that make a dataset folder share: options, running jobs, rows of the manifest, statistics."""

from __future__ import annotations

import argparse
import functools
import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from data.command_line import add_common_options, parse_size, run_script
from data.dataset_folder import clear_dataset, write_sources
from data.parallel import parallel_map
from data.sequences import (
    SequenceJob,
    SequenceOptions,
    SequenceResult,
    drop_reason,
    finished_sequence,
    sequence_path,
    volume_statistics,
)
from data.sources import SPLITS, Source
from data.video import MIN_SIDE

Compute = Callable[..., SequenceResult | str]  # (job, options=, folder=) -> what the file holds, or what went wrong


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text in front of an error."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see --help)\n")


def add_dataset_options(parser: argparse.ArgumentParser, things: str, full_note: str = "") -> None:
    """Options about splits and about the folder itself; ``things`` are what is split, "videos"."""
    add = parser.add_argument
    add("--full", nargs="+", choices=(*SPLITS, "none"), default=["test"], metavar="SPLIT",
        help="splits that keep all frames and flows, as evaluation wants them, not just --stored-frames: train "
        f"validation test, or none (default: test){full_note}")  # fmt: skip
    add("--split", type=split_shares, default=(0.9, 0.05, 0.05), metavar="TRAIN,VALIDATION,TEST",
        help=f"shares of the {things}")  # fmt: skip
    add("--validation", nargs="+", default=[], metavar="GLOB", help="file names that go to the validation split")
    add("--test", nargs="+", default=[], metavar="GLOB", help="file names that go to the test split")
    add("--overwrite", action="store_true", help="delete a dataset made with other options and start anew")
    add_common_options(parser)


def run_dataset_script(script: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """As :func:`data.command_line.run_script`, for scripts with worker processes; returns the exit status."""

    def checked(arguments: argparse.Namespace) -> None:
        if "none" in arguments.full and len(arguments.full) > 1:
            raise ValueError("--full none can't be combined with splits; name the splits, or none alone")
        script(arguments)

    try:
        return run_script(checked, arguments)
    except BrokenProcessPool:
        print("error: a worker process died, perhaps for lack of memory; try fewer --workers", file=sys.stderr)
        return 1


# Work -----------------------------------------------------------------------------------------------------------------


def accept_sources(sources: list[Source], folder: Path, existed: bool, things: str) -> None:
    """Name what can't be used, and write down where the rest is.

    Args:
        existed: whether the folder was there before; a new one is removed where nothing is usable.
        things: what the sources are called, "videos".

    Raises:
        ValueError: none of them is usable.
    """
    problems = [f"{source.name}: {source.problem}" for source in sources if source.problem]
    if len(problems) == len(sources):
        if not existed:
            shutil.rmtree(folder)
        more = f" (and {len(problems) - 1} more {things} that can't be used)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    write_sources(folder, sources)


def run_jobs(
    jobs: list[SequenceJob], options: SequenceOptions, folder: Path, compute: Compute, workers: int
) -> tuple[dict[str, SequenceResult | str], int]:
    """What each file holds, or a line saying what went wrong, by sequence id; and how many had to be computed."""
    sequences = folder / "sequences"
    results: dict[str, SequenceResult | str] = {}
    for job in jobs:
        finished = finished_sequence(job, options, sequences)
        if finished is not None:
            results[job.id] = finished
    missing = [job for job in jobs if job.id not in results]
    make = functools.partial(compute, options=options, folder=sequences)
    try:
        outcomes = parallel_map(make, missing, workers, "sequences", len(results))
    finally:
        clear_dataset(folder, everything=False)
    results.update({job.id: outcome for job, outcome in zip(missing, outcomes, strict=True)})
    for job in missing:
        if isinstance(results[job.id], str):
            print(f"warning: {job.id}: {results[job.id]}", file=sys.stderr)
    return results, len(missing)


# Results --------------------------------------------------------------------------------------------------------------


def manifest_rows(
    sources: list[Source], splits: Mapping[str, str], jobs: list[SequenceJob],
    results: Mapping[str, SequenceResult | str], options: SequenceOptions,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row a sequence, and one for each video that gave none; the order depends on the inputs alone."""
    common = {
        "width": options.size[0],
        "height": options.size[1],
        "estimator": options.estimator,
        "estimator_parameters": json.dumps(options.estimator_parameters, sort_keys=True),
    }
    rows: list[dict[str, Any]] = []
    for source in sources:
        named = {"source": source.name, "source_sha256": source.sha256}
        if source.problem:
            rows.append({**common, **named, "status": "dropped", "reason": source.problem})
        for job in (job for job in jobs if job.path == source.path):
            row = {"id": job.id, "start": job.start, "fps": round(job.fps, 6), "num_frames": job.num_frames}
            row |= {"split": splits[job.source_sha256], **_outcome(results[job.id], options)}
            rows.append({**common, **named, **row})
    return rows


def _outcome(result: SequenceResult | str, options: SequenceOptions) -> dict[str, Any]:
    if isinstance(result, str):
        return {"stored_frames": 0, "status": "dropped", "reason": result}
    reason = drop_reason(result.statistics, options)
    status = "dropped" if reason else "kept"
    return {**result.statistics, "stored_frames": result.stored_frames, "status": status, "reason": reason or ""}


def dataset_statistics(
    folder: Path, kept: list[dict[str, Any]], options: SequenceOptions, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Contents of ``stats.json``: per-frequency statistics of the train split, of all sequences if that is empty."""
    from tqdm import tqdm

    train = [row for row in kept if row["split"] == "train"]
    if not train:
        print("warning: the train split is empty, stats.json describes all sequences", file=sys.stderr)
    used = train or kept
    paths = [sequence_path(folder, row["id"]) for row in used]
    with tqdm(total=len(paths), unit=" statistics", dynamic_ncols=True, leave=False) as progress:
        values = volume_statistics(paths, progress.update)
    return {
        "format_version": 1,
        "split": "train" if train else "all",
        "num_sequences": len(used),
        "num_frames": arguments.num_frames,
        "num_frequencies": options.num_frequencies,
        "size": list(options.size),
        "fps": arguments.fps,
        "estimator": options.estimator,
        **values,
        "mean_magnitude": float(np.mean([row["mean_magnitude"] for row in used])),
    }


# Argument types -------------------------------------------------------------------------------------------------------


def frame_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), large enough for the models."""
    size = parse_size(text)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is too small, each side needs {MIN_SIDE} pixels or more")
    return size


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def frame_count(text: str) -> int:
    """A whole number above 1: one frame has no motion."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 1")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def split_shares(text: str) -> tuple[float, ...]:
    """Shares of train, validation and test that add up to 1."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares that add up to 1, such as 0.9,0.05,0.05")
    return shares
