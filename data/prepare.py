"""Videos -> dataset folder: ``python -m data.prepare VIDEO_OR_FOLDER... --output DATASET``.

Estimates the flow of every sequence (the slow part, one process a core), writes its spectral volume, and describes the
whole in ``manifest.csv`` and ``stats.json``. The same command goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.command_line import write_json, write_report
from data.dataset_command import (
    OneLineParser,
    accept_sources,
    add_dataset_options,
    count,
    dataset_statistics,
    frame_count,
    frame_size,
    manifest_rows,
    positive,
    run_dataset_script,
    run_jobs,
)
from data.dataset_folder import open_dataset, write_manifest
from data.optical_flow import ESTIMATORS, estimator_parameters
from data.sequences import (
    SequenceJob,
    SequenceOptions,
    SequenceResult,
    prepare_sequence,
    source_indices,
)
from data.sources import SPLITS, Source, assign_splits, find_sources, scan_sources
from data.video import VIDEO_SUFFIXES

MIN_LOOP = 16  # frames of the shortest clip that --wrap takes for a loop
EXAMPLES = """examples:
  python -m data.prepare clips/ --output dataset
  python -m data.prepare loops/*.mp4 --wrap --stride 30 --validation 'rose*' --split 1,0,0 --output dataset
  python -m data.prepare clips/ --output dataset --full validation test
  python -m data.prepare clip.mp4 --flow dis --num-frames 60 --num-frequencies 8 --output quick_look
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.prepare``."""
    parser = OneLineParser(
        prog="python -m data.prepare", description="Turn videos into a dataset folder of spectral volumes.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER", help="folders are searched for videos")
    add("--output", required=True, type=Path, metavar="DATASET", help="folder; an unfinished one is gone on with")
    add("--size", type=frame_size, default=(256, 160), metavar="WxH", help="of the sequences (default: 256x160)")
    add("--fps", type=positive, default=30.0, help="default: 30; clips within 10 %% of it keep their own rate")
    add("--num-frames", type=frame_count, default=150, metavar="T", help="frames of a sequence (default: 150)")
    add("--stride", type=count, default=10, help="frames between the starts of sequences (default: 10)")
    add("--num-frequencies", type=count, default=24, metavar="K", help="frequencies to keep (default: 24)")
    add("--stored-frames", type=count, default=10, metavar="M", help="frames kept to train the renderer (default: 10)")
    add("--flow", choices=tuple(ESTIMATORS), default="coarse2fine", help="estimator (default: coarse2fine)")
    add("--wrap", action="store_true", help="the clips loop: sequences start anywhere and wrap around the end")
    add("--max-sequences-per-video", type=count, metavar="N", help="take at most N, spread over the video")
    add("--min-motion", type=float, default=0.1, metavar="PX", help="drop what moves less in the mean (default: 0.1)")
    add("--keep-all", action="store_true", help="keep sequences without motion or with camera motion")
    add("--workers", type=count, default=os.cpu_count(), metavar="N", help="processes (default: one a core)")
    add_dataset_options(parser, "videos", "; 51 MB a sequence by default instead of 11")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    return run_dataset_script(prepare, arguments)


def prepare(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    started = time.perf_counter()
    names = find_sources(arguments.inputs, VIDEO_SUFFIXES, "video")
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
    accept_sources(sources, folder, existed, "videos")
    scanned = time.perf_counter()
    pinned = {"validation": arguments.validation, "test": arguments.test}
    splits = assign_splits(sources, arguments.split, pinned, arguments.seed)
    jobs = [job for source in sources for job in sequence_jobs(source, splits, arguments)]
    results, computed = run_jobs(jobs, options, folder, _compute, arguments.workers)
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


def _compute(job: SequenceJob, options: SequenceOptions, folder: Path) -> SequenceResult | str:
    from data.optical_flow import estimate_flow

    estimate = functools.partial(estimate_flow, estimator=options.estimator, num_threads=1)
    try:
        return prepare_sequence(job, options, folder, estimate)
    except ValueError as error:
        return str(error).removeprefix(f"{job.path}: ")


if __name__ == "__main__":
    sys.exit(main())
