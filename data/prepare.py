"""Videos -> dataset folder: ``python -m data.prepare VIDEO_OR_FOLDER... --output DATASET``.

Estimates the flow of every sequence (the slow part, one process a core), writes its spectral volume, and describes the
whole in ``manifest.csv`` and ``stats.json``. The same command goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from common.command_line import OneLineParser, count, frame_count, frame_rate, frame_size, not_negative, write_report
from data.dataset.build import (
    complete_dataset,
    compute_sequence,
    run_jobs,
    source_problems,
)
from data.dataset.folder import open_dataset, writing
from data.dataset.options import (
    add_dataset_options,
    add_footage_options,
    add_worker_options,
    run_dataset_script,
)
from data.dataset.plan import recorded_options, sequence_options, sequence_plan
from data.dataset.shards import (
    Shard,
    ShardResult,
    listing_hash,
    parse_shard,
    recorded_arguments,
    remove_shards,
    write_shard,
)
from data.flow.estimators import ESTIMATORS
from data.footage.find import find_sources
from data.footage.sources import Source, scan_sources
from data.media.read_video import VIDEO_SUFFIXES
from data.workers import Workers

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
        from data.dataset.merge import main as merge

        return merge(given[1:])
    if given[:1] == ["report"]:
        from data.report.command import main as report

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


if __name__ == "__main__":
    sys.exit(main())
