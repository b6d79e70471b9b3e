"""Videos -> dataset folder: ``python -m data.prepare VIDEO_OR_FOLDER... --output DATASET``.

Estimates the flow of every sequence (the slow part, one process per core), writes its spectral volume, and describes
the whole in ``manifest.csv`` and ``stats.json``. The same command resumes an interrupted run.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from common.command_line import OneLineParser, options_of, run_script, write_report
from common.option_types import count, not_negative
from common.output_paths import check_paths
from data.dataset.command_line import (
    add_footage_options,
    add_sequence_options,
    add_split_options,
    add_worker_options,
    parse_shard,
)
from data.dataset.folder import naming_full_disks, open_dataset, writing
from data.dataset.options import PrepareOptions
from data.dataset.plan import plan_videos, recorded_options
from data.dataset.shards import Shard, ShardResult, listing_hash, remove_shards, write_shard
from data.flow.estimators import ESTIMATORS
from data.footage.find import find_sources
from data.footage.frames import SequenceReader
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
        prog="python -m data.prepare",
        description="Turn videos into a dataset folder of spectral volumes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, PrepareOptions()
    add("inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER", help="videos, and folders to search for videos")
    add("--output", required=True, type=Path, metavar="DATASET", help="dataset folder; an unfinished one is resumed")
    add_sequence_options(
        parser,
        default,
        rate="frame rate; clips within 10 %% of it keep their own",
        stored="keep for training the renderer",
    )
    add("--stride", type=count, default=default.stride, help="frames between the starts of sequences (default: 10)")
    add(
        "--flow",
        choices=tuple(ESTIMATORS),
        default=default.flow,
        help="optical flow estimator (default: coarse2fine)",
    )
    add("--wrap", action="store_true", help="the clips loop: sequences start anywhere and wrap around the end")
    add(
        "--max-sequences-per-video",
        type=count,
        metavar="N",
        help="take at most N sequences from a video, spread over it",
    )
    add(
        "--min-motion",
        type=not_negative,
        default=default.min_motion,
        metavar="PX",
        help="drop sequences in which even what moves most moves less, in pixels at a width of 256 (default: 0.3)",
    )
    add("--keep-all", action="store_true", help="keep sequences without motion or with camera motion")
    add(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="make only part I of N, for array jobs; `merge` joins the parts",
    )
    add_footage_options(parser)
    add_worker_options(parser)
    add_split_options(parser, things="videos", full_note="; 51 MB per sequence by default instead of 11")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["merge"]:
        from data.dataset.merge import main as merge

        return merge(words[1:])
    if words[:1] == ["report"]:
        from data.report.command import main as report

        return report(words[1:])
    return run_script(prepare, build_parser().parse_args(words))


def prepare(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes, or a shard of it."""
    from data.dataset.build import build_dataset  # imports torch, which --help need not wait for

    started = time.perf_counter()
    options, folder = options_of(PrepareOptions, arguments), arguments.output
    shard: Shard | None = arguments.shard
    with naming_full_disks(folder):
        check_paths(inputs=arguments.inputs, files=[arguments.report], datasets=[folder])
        names = find_sources(arguments.inputs, VIDEO_SUFFIXES, thing="video")
        if shard and arguments.overwrite:
            raise ValueError(
                "--overwrite can't be combined with --shard: delete the folder before the first shard starts"
            )
        workers = Workers(arguments.workers, dask=arguments.dask)  # a wrong scheduler is told before all else
        with writing(folder, shard=shard.file_name if shard else None) as existed, workers:
            open_dataset(folder, recorded_options(options), overwrite=arguments.overwrite)
            sources = scan_sources(shard.part(names) if shard else names, workers)
            scanned = time.perf_counter()
            if shard:
                results = prepare_shard(shard, sources, folder, workers, options=options, listing=listing_hash(names))
            else:
                results = build_dataset(plan_videos(sources, options), folder, workers, existed=existed)
                remove_shards(folder)
        timings = {"scan": scanned - started, "sequences": time.perf_counter() - scanned}
        write_report(arguments.report, "data.prepare", arguments, {"timings_seconds": timings, "results": results})


def prepare_shard(
    shard: Shard, scanned: list[Source], folder: Path, workers: Workers, *, options: PrepareOptions, listing: str
) -> dict[str, Any]:
    """Compute the sequences of a shard's videos; returns what a ``--report`` says about it.

    Args:
        listing: :func:`data.dataset.shards.listing_hash` of the videos of all shards.
    """
    from data.dataset.build import run_jobs, source_problems
    from data.dataset.compute import compute_sequence

    # Splits that stay empty here may have videos elsewhere: merging decides.
    plan = plan_videos(scanned, options, fill_empty=False)
    for problem in source_problems(plan.sources):
        print(f"warning: {problem}", file=sys.stderr)
    failures, computed = run_jobs(plan, folder, workers, compute=compute_sequence, resource=SequenceReader)
    write_shard(folder, ShardResult(shard, listing, options, scanned, failures))
    print(f"{folder}: shard {shard}, {len(scanned)} videos, {computed} sequences computed now")
    return {"videos": len(scanned), "computed": computed}


if __name__ == "__main__":
    sys.exit(main())
