"""Videos -> dataset folder: ``python -m data.prepare VIDEO_OR_FOLDER... --output DATASET``.

Estimates the flow of every sequence (the slow part, one process a core), writes its spectral volume, and describes the
whole in ``manifest.csv`` and ``stats.json``. The same command goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.command_line import write_report
from data.dataset_command import (
    OneLineParser,
    add_dataset_options,
    add_worker_options,
    count,
    frame_count,
    frame_rate,
    frame_size,
    not_negative,
    run_dataset_script,
)
from data.dataset_folder import open_dataset, writing
from data.footage_options import add_footage_options, footage_options, recorded_footage_options
from data.optical_flow import ESTIMATORS, estimator_parameters
from data.parallel import Workers
from data.sequence_runs import (
    SequencePlan,
    accept_sources,
    compute_sequence,
    report_results,
    run_jobs,
    source_problems,
    write_results,
)
from data.sequences import SequenceJob, SequenceOptions, source_indices
from data.shards import (
    Shard,
    ShardResult,
    listing_hash,
    parse_shard,
    recorded_arguments,
    remove_shards,
    write_shard,
)
from data.source_files import find_sources, sequence_id
from data.sources import Requirements, Source, check_sources, scan_sources
from data.splits import SPLITS, assign_splits
from data.video import VIDEO_SUFFIXES

MIN_LOOP = 16  # frames of the shortest clip that --wrap takes for a loop
EXAMPLES = """examples:
  python -m data.prepare clips/ --output dataset
  python -m data.prepare loops/*.mp4 --wrap --stride 30 --validation 'rose*' --split 1,0,0 --output dataset
  python -m data.prepare clips/ --output dataset --full validation test
  python -m data.prepare clips/ --output dataset --shard 3/16
  python -m data.prepare merge dataset
  python -m data.prepare clips/ --output dataset --dask tcp://scheduler:8786
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
    add("--fps", type=frame_rate, default=30.0, help="default: 30; clips within 10 %% of it keep their own rate")
    add("--num-frames", type=frame_count, default=150, metavar="T", help="frames of a sequence (default: 150)")
    add("--stride", type=count, default=10, help="frames between the starts of sequences (default: 10)")
    add("--num-frequencies", type=count, default=24, metavar="K", help="frequencies to keep (default: 24)")
    add("--stored-frames", type=count, default=10, metavar="M", help="frames kept to train the renderer (default: 10)")
    add("--flow", choices=tuple(ESTIMATORS), default="coarse2fine", help="estimator (default: coarse2fine)")
    add("--wrap", action="store_true", help="the clips loop: sequences start anywhere and wrap around the end")
    add("--max-sequences-per-video", type=count, metavar="N", help="take at most N, spread over the video")
    add("--min-motion", type=not_negative, default=0.1, metavar="PX",
        help="drop what moves less in the mean (default: 0.1)")  # fmt: skip
    add("--keep-all", action="store_true", help="keep sequences without motion or with camera motion")
    add("--shard", type=parse_shard, metavar="I/N",
        help="make only part I of N, for array jobs; `merge` joins the parts")  # fmt: skip
    add_footage_options(parser)
    add_worker_options(parser)
    add_dataset_options(parser, "videos", "; 51 MB a sequence by default instead of 11")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["merge"]:
        from data.dataset_merge import main as merge

        return merge(given[1:])
    if given[:1] == ["report"]:
        from data.dataset_report import main as report

        return report(given[1:])
    arguments = build_parser().parse_args(given)
    return run_dataset_script(prepare, arguments)


def prepare(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes, or a shard of it."""
    started = time.perf_counter()
    names = find_sources(arguments.inputs, VIDEO_SUFFIXES, "video")
    shard: Shard | None = arguments.shard
    if shard and arguments.overwrite:
        raise ValueError("--overwrite can't be combined with --shard: delete the folder before the first shard starts")
    folder: Path = arguments.output
    existed = folder.exists()
    with writing(folder, shard.file_name if shard else None), Workers(arguments.workers, arguments.dask) as workers:
        open_dataset(folder, recorded_options(arguments, sequence_options(arguments)), arguments.overwrite)
        sources = scan_sources(shard.part(names) if shard else names, workers)
        scanned = time.perf_counter()
        if shard:
            results = prepare_shard(sources, listing_hash(names), arguments, workers)
        else:
            results = complete_dataset(folder, sequence_plan(sources, arguments), arguments, workers, existed)
            remove_shards(folder)
    timings = {"scan": scanned - started, "sequences": time.perf_counter() - scanned}
    write_report(arguments.report, "data.prepare", arguments, {"timings_seconds": timings, "results": results})


def complete_dataset(
    folder: Path, plan: SequencePlan, arguments: argparse.Namespace, workers: Workers, existed: bool = True,
    failures: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compute what a folder lacks and write its manifest and statistics; returns what a ``--report`` says of it.

    Args:
        plan: from :func:`sequence_plan`.
        arguments: the options of this script.
        existed: see :func:`data.sequence_runs.accept_sources`.
        failures: see :func:`data.sequence_runs.run_jobs`.
    """
    accept_sources(plan.sources, folder, existed, "videos", pinned_names(arguments))
    failures, computed = run_jobs(plan, folder, compute_sequence, workers, failures)
    counts = write_results(plan, failures, folder, arguments.num_frames, arguments.fps)
    listed = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    kept = counts.total() - counts["dropped"]
    print(f"{folder}: {kept} sequences ({listed}), {counts['dropped']} dropped, {computed} computed now")
    return report_results(counts, computed)


def prepare_shard(
    scanned: list[Source], listing: str, arguments: argparse.Namespace, workers: Workers
) -> dict[str, Any]:
    """Compute the sequences of a shard's videos; returns what a ``--report`` says of it."""
    folder: Path = arguments.output
    # Splits that stay empty here may have videos elsewhere: merging decides.
    plan = sequence_plan(scanned, arguments, fill_empty=False)
    for problem in source_problems(plan.sources):
        print(f"warning: {problem}", file=sys.stderr)
    failures, computed = run_jobs(plan, folder, compute_sequence, workers)
    recorded = recorded_arguments(arguments)
    write_shard(folder, ShardResult(arguments.shard, listing, recorded, scanned, failures))
    print(f"{folder}: shard {arguments.shard}, {len(scanned)} videos, {computed} sequences computed now")
    return {"videos": len(scanned), "computed": computed}


# Sequences ------------------------------------------------------------------------------------------------------------


def sequence_plan(scanned: list[Source], arguments: argparse.Namespace, fill_empty: bool = True) -> SequencePlan:
    """Which sequences of which videos there are.

    Args:
        scanned: all videos, from :func:`data.sources.scan_sources`.
        fill_empty: see :func:`data.splits.assign_splits`.
    """
    sources = check_sources(scanned, source_requirements(arguments))
    splits = source_splits(sources, arguments, fill_empty)
    jobs_of = functools.partial(sequence_jobs, splits=splits, arguments=arguments)
    return SequencePlan(sources, splits, jobs_of, sequence_options(arguments))


def source_splits(sources: list[Source], arguments: argparse.Namespace, fill_empty: bool = True) -> dict[str, str]:
    """Split by sha256 of each usable video, see :func:`data.splits.assign_splits`."""
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


if __name__ == "__main__":
    sys.exit(main())
