"""Videos -> dataset folder: ``python -m data.prepare VIDEO_OR_FOLDER... --output DATASET``.

Estimates the flow of every sequence (the slow part, one process a core), writes its spectral volume, and describes the
whole in ``manifest.csv`` and ``stats.json``. The same command goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from data.command_line import add_common_options, parse_size, run_script, write_json, write_report
from data.dataset_folder import clear_dataset, open_dataset, write_manifest, write_sources
from data.optical_flow import ESTIMATORS, estimator_parameters
from data.parallel import parallel_map
from data.sequences import (
    SequenceJob,
    SequenceOptions,
    SequenceResult,
    drop_reason,
    finished_sequence,
    prepare_sequence,
    sequence_path,
    source_indices,
    volume_statistics,
)
from data.sources import SPLITS, Source, assign_splits, find_videos, scan_sources
from data.video import MIN_SIDE

MIN_LOOP = 16  # frames of the shortest clip that --wrap takes for a loop
EXAMPLES = """examples:
  python -m data.prepare clips/ --output dataset
  python -m data.prepare loops/*.mp4 --wrap --stride 30 --validation 'rose*' --split 1,0,0 --output dataset
  python -m data.prepare clips/ --output dataset --full validation test
  python -m data.prepare clip.mp4 --flow dis --num-frames 60 --num-frequencies 8 --output quick_look
"""


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text in front of an error."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.prepare``."""
    parser = OneLineParser(
        prog="python -m data.prepare", description="Turn videos into a dataset folder of spectral volumes.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER", help="folders are searched for videos")
    add("--output", required=True, type=Path, metavar="DATASET", help="folder; an unfinished one is gone on with")
    add("--size", type=_size, default=(256, 160), metavar="WxH", help="of the sequences (default: 256x160)")
    add("--fps", type=_positive, default=30.0, help="default: 30; clips within 10 %% of it keep their own rate")
    add("--num-frames", type=_frames, default=150, metavar="T", help="frames of a sequence (default: 150)")
    add("--stride", type=_count, default=10, help="frames between the starts of sequences (default: 10)")
    add("--num-frequencies", type=_count, default=24, metavar="K", help="frequencies to keep (default: 24)")
    add("--stored-frames", type=_count, default=10, metavar="M", help="frames kept to train the renderer (default: 10)")
    add(
        "--full",
        nargs="+",
        choices=(*SPLITS, "none"),
        default=["test"],
        metavar="SPLIT",
        help="splits that keep all frames and flows, as evaluation wants them, not just --stored-frames: train "
        "validation test, or none (default: test); 51 MB a sequence by default instead of 11",
    )
    add("--flow", choices=tuple(ESTIMATORS), default="coarse2fine", help="estimator (default: coarse2fine)")
    add("--wrap", action="store_true", help="the clips loop: sequences start anywhere and wrap around the end")
    add("--max-sequences-per-video", type=_count, metavar="N", help="take at most N, spread over the video")
    add("--split", type=_split, default=(0.9, 0.05, 0.05), metavar="TRAIN,VALIDATION,TEST", help="shares of the videos")
    add("--validation", nargs="+", default=[], metavar="GLOB", help="file names that go to the validation split")
    add("--test", nargs="+", default=[], metavar="GLOB", help="file names that go to the test split")
    add("--min-motion", type=float, default=0.1, metavar="PX", help="drop what moves less in the mean (default: 0.1)")
    add("--keep-all", action="store_true", help="keep sequences without motion or with camera motion")
    add("--workers", type=_count, default=os.cpu_count(), metavar="N", help="processes (default: one a core)")
    add("--overwrite", action="store_true", help="delete a dataset made with other options and start anew")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        return run_script(prepare, arguments)
    except BrokenProcessPool:
        print("error: a worker process died, perhaps for lack of memory; try fewer --workers", file=sys.stderr)
        return 1


def prepare(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    started = time.perf_counter()
    if "none" in arguments.full and len(arguments.full) > 1:
        raise ValueError("--full none can't be combined with splits; name the splits, or none alone")
    names = find_videos(arguments.inputs)
    # A whole number of loops may be up to a tenth shorter than --num-frames, see sequence_frames.
    fewest = math.ceil(0.9 * arguments.num_frames) if arguments.wrap else arguments.num_frames
    options = SequenceOptions(
        size=arguments.size,
        num_frequencies=min(arguments.num_frequencies, fewest // 2 + 1),
        estimator=arguments.flow,
        estimator_parameters=estimator_parameters(arguments.flow),
        min_motion=arguments.min_motion,
        keep_all=arguments.keep_all,
    )
    folder: Path = arguments.output
    existed = folder.exists()
    open_dataset(folder, recorded_options(arguments, options), arguments.overwrite)
    sources = scan_sources(
        names, arguments.fps, MIN_LOOP if arguments.wrap else arguments.num_frames, arguments.workers
    )
    problems = [f"{source.name}: {source.problem}" for source in sources if source.problem]
    if len(problems) == len(sources):
        if not existed:
            shutil.rmtree(folder)
        more = f" (and {len(problems) - 1} more videos that can't be used)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    scanned = time.perf_counter()
    write_sources(folder, sources)
    pinned = {"validation": arguments.validation, "test": arguments.test}
    splits = assign_splits(sources, arguments.split, pinned, arguments.seed)
    jobs = [job for source in sources for job in sequence_jobs(source, splits, arguments)]
    results, computed = run_jobs(jobs, options, folder, arguments.workers)
    finished = time.perf_counter()
    rows = manifest_rows(sources, splits, jobs, results, options)
    write_manifest(folder / "manifest.csv", rows)
    kept = [row for row in rows if row["status"] == "kept"]
    if not kept:
        raise ValueError(f"no sequence is usable; {folder / 'manifest.csv'} says why for each video")
    statistics = dataset_statistics(folder, kept, options, arguments)
    write_json(folder / "stats.json", statistics)
    counts = {split: sum(row["split"] == split for row in kept) for split in SPLITS}
    dropped = sum(row["status"] == "dropped" for row in rows)
    listed = ", ".join(f"{count} {split}" for split, count in counts.items())
    print(f"{folder}: {len(kept)} sequences ({listed}), {dropped} dropped, {computed} computed now")
    timings = {"scan": scanned - started, "sequences": finished - scanned, "statistics": time.perf_counter() - finished}
    results_of_run = {"sequences": counts, "dropped": dropped, "computed": computed}
    write_report(arguments.report, "data.prepare", arguments, {"timings_seconds": timings, "results": results_of_run})


# Sequences ------------------------------------------------------------------------------------------------------------


def recorded_options(arguments: argparse.Namespace, options: SequenceOptions) -> dict[str, Any]:
    """What all sequences of a dataset folder have in common. ``--full`` is not among it: files say what they hold."""
    recorded = {name: getattr(arguments, name) for name in ("size", "fps", "num_frames", "stride", "stored_frames")}
    recorded |= {"wrap": arguments.wrap, "num_frequencies": options.num_frequencies, "flow": options.estimator}
    recorded["max_sequences_per_video"] = arguments.max_sequences_per_video
    return recorded | {"flow_parameters": options.estimator_parameters}


def sequence_jobs(source: Source, splits: Mapping[str, str], arguments: argparse.Namespace) -> Iterator[SequenceJob]:
    """The sequences of a video, none if it has a problem."""
    if source.problem or source.info is None:
        return
    indices, fps = source.info.resample(arguments.fps)
    num_frames = sequence_frames(len(indices), arguments.num_frames, arguments.wrap)
    last = len(indices) if arguments.wrap else len(indices) - num_frames + 1
    starts = np.arange(0, last, arguments.stride)
    limit = arguments.max_sequences_per_video
    if limit and len(starts) > limit:
        starts = starts[np.linspace(0, len(starts) - 1, limit).round().astype(int)]
    stored_frames = num_frames - 1 if splits[source.sha256] in arguments.full else arguments.stored_frames
    slug = re.sub(r"[^A-Za-z0-9]+", "_", Path(source.name).stem).strip("_") or "video"
    for start in starts.tolist():
        frames = source_indices(indices, start, num_frames)
        # Part of the hash keeps apart videos of one name in two folders.
        name = f"{slug}-{source.sha256[:8]}_{start:05d}"
        yield SequenceJob(
            name, source.path, source.name, source.sha256, start, fps, frames, min(stored_frames, num_frames - 1)
        )


def sequence_frames(clip_frames: int, num_frames: int, wrap: bool) -> int:
    """Frames of a clip's sequences: with ``wrap`` a whole number of loops if that is within 10 % of ``num_frames``.

    The motion is then periodic as a spectral volume wants it, without a jump that leaks into all frequencies.
    Coefficients do not depend on the number of frames, so such sequences mix with others.
    """
    if not wrap:
        return num_frames
    loops = clip_frames * max(1, round(num_frames / clip_frames))
    return loops if abs(loops - num_frames) <= 0.1 * num_frames else num_frames


def run_jobs(
    jobs: list[SequenceJob], options: SequenceOptions, folder: Path, workers: int
) -> tuple[dict[str, SequenceResult | str], int]:
    """What each file holds, or a line saying what went wrong, by sequence id; and how many had to be computed."""
    sequences = folder / "sequences"
    results: dict[str, SequenceResult | str] = {}
    for job in jobs:
        finished = finished_sequence(job, options, sequences)
        if finished is not None:
            results[job.id] = finished
    missing = [job for job in jobs if job.id not in results]
    compute = functools.partial(_compute, options=options, folder=sequences)
    try:
        outcomes = parallel_map(compute, missing, workers, "sequences", len(results))
    finally:
        clear_dataset(folder, everything=False)
    results.update({job.id: outcome for job, outcome in zip(missing, outcomes, strict=True)})
    for job in missing:
        if isinstance(results[job.id], str):
            print(f"warning: {job.id}: {results[job.id]}", file=sys.stderr)
    return results, len(missing)


def _compute(job: SequenceJob, options: SequenceOptions, folder: Path) -> SequenceResult | str:
    from data.optical_flow import estimate_flow

    estimate = functools.partial(estimate_flow, estimator=options.estimator, num_threads=1)
    try:
        return prepare_sequence(job, options, folder, estimate)
    except ValueError as error:
        return str(error).removeprefix(f"{job.path}: ")


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


def _size(text: str) -> tuple[int, int]:
    size = parse_size(text)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is too small, each side needs {MIN_SIDE} pixels or more")
    return size


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _frames(text: str) -> int:
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 1")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _split(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not three shares that add up to 1, such as 0.9,0.05,0.05")
    return shares


if __name__ == "__main__":
    sys.exit(main())
