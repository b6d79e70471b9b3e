"""Shards -> one dataset folder: ``python -m data.prepare merge SHARD_FOLDER... [--output DATASET]``.

What several runs of `data.prepare` with ``--shard I/N`` made, in one folder or in one each, becomes byte for byte what
one run without it would have made. Only what the shards could not know is computed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.command_line import OneLineParser, run_script, write_report
from common.files import temporary_path
from common.output_paths import check_paths
from common.tensor_files import save_tensors
from data.dataset.build import build_dataset
from data.dataset.command_line import add_worker_options
from data.dataset.compute import finished_sequence, stratified_indices
from data.dataset.folder import differences, naming_full_disks, open_dataset, read_parameters, writing
from data.dataset.plan import VideoPlan, plan_videos, recorded_options
from data.dataset.sequence import SequenceJob, SequencePlan
from data.dataset.sequence_file import read_metadata, read_sequence, sequence_path
from data.dataset.shards import ShardResult, read_shards, remove_shards
from data.dataset.splits import assign_splits
from data.footage.sources import Source
from data.workers import Workers

EXAMPLES = """examples:
  python -m data.prepare merge dataset
  python -m data.prepare merge part_1 part_2 part_3 --output dataset
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.prepare merge``."""
    parser = OneLineParser(
        prog="python -m data.prepare merge",
        description="Join what runs of python -m data.prepare with --shard I/N have made.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "folders",
        nargs="+",
        type=Path,
        metavar="SHARD_FOLDER",
        help="the folder that all shards share, or one folder per shard",
    )
    add(
        "--output",
        type=Path,
        metavar="DATASET",
        help="merged folder, required for several SHARD_FOLDERs, which are left as they are",
    )
    add_worker_options(parser)
    add("--report", type=Path, metavar="FILE.json", help="write what was run, versions, timings and results")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.output is None:
        if len(arguments.folders) > 1:
            parser.error("several folders need an --output")
        arguments.output = arguments.folders[0]
    return run_script(merge, arguments)


def merge(arguments: argparse.Namespace) -> None:
    """Make the dataset folder that the command line describes."""
    started = time.perf_counter()
    output: Path = arguments.output
    check_paths(inputs=arguments.folders, files=[arguments.report], datasets=[output])
    for folder in arguments.folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    with naming_full_disks(output):
        workers = Workers(arguments.workers, dask=arguments.dask)  # a wrong scheduler is told before all else
        with writing(output), workers:
            results = merge_shards(arguments.folders, output, workers)
        timings = {"merge": time.perf_counter() - started}
        write_report(
            arguments.report, "data.prepare merge", arguments, {"timings_seconds": timings, "results": results}
        )


def merge_shards(folders: list[Path], output: Path, workers: Workers) -> dict[str, Any]:
    """Join the shards in ``folders`` to one dataset folder; returns what a ``--report`` says about it.

    Args:
        output: may be one of ``folders``; the caller holds it (:func:`data.dataset.folder.writing`).
    """
    shards = complete_shards(folders)
    options = shards[0].options
    recorded = recorded_options(options)
    _expect_same_parameters(folders, recorded)
    open_dataset(output, recorded)
    plan = plan_videos(_in_listing_order(shards), options)
    _collect_sequences(plan, folders, output)
    _remove_others(plan, shards, output)
    unfilled = assign_splits(plan.sources, options, fill_empty=False)
    for job in plan.jobs():
        _as_one_run_has_it(job, plan, output, was_whole=unfilled[job.source_sha256] in options.full)
    failures = {name: reason for shard in shards for name, reason in shard.failures.items()}
    results = build_dataset(plan, output, workers, failures=failures)
    remove_shards(output)
    return results


def complete_shards(folders: list[Path]) -> list[ShardResult]:
    """All shards of a dataset, in order.

    Raises:
        ValueError: some are missing, or they do not belong together.
    """
    found = [(folder, shard) for folder in folders for shard in read_shards(folder)]
    if not found:
        raise ValueError(f"{folders[0]}: no finished shard in it; run python -m data.prepare with --shard first")
    first_folder, first = found[0]
    by_index = {}
    for folder, result in found:
        if result.shard.count != first.shard.count:
            raise ValueError(f"{folder}: has shard {result.shard}, {first_folder} has {first.shard}; delete either")
        differing = differences(asdict(first.options), asdict(result.options))
        if differing:
            raise ValueError(f"{folder}: shard {result.shard}, unlike {first.shard}, was made with {differing}")
        if result.listing != first.listing:
            raise ValueError(f"{folder}: shard {result.shard} found other videos than {first.shard}, run both again")
        by_index[result.shard.index] = result
    missing = [str(index) for index in range(1, first.shard.count + 1) if index not in by_index]
    if missing:
        raise ValueError(
            f"{first_folder}: of {first.shard.count} shards these are not finished: {', '.join(missing)}; "
            f"run them again, --shard {missing[0]}/{first.shard.count}"
        )
    return [by_index[index] for index in sorted(by_index)]


def _expect_same_parameters(folders: list[Path], recorded: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(recorded))
    for folder in folders:
        differing = differences(read_parameters(folder), wanted)
        if differing:
            raise ValueError(f"{folder}: made with {differing}; merge where the same versions are installed")


def _in_listing_order(shards: list[ShardResult]) -> list[Source]:
    """The sources of all shards as one run lists them."""
    total = sum(len(result.sources) for result in shards)
    return [shards[position % len(shards)].sources[position // len(shards)] for position in range(total)]


def _collect_sequences(plan: SequencePlan, folders: list[Path], output: Path) -> None:
    """Bring the sequences of other folders here, as links where the file system can."""
    others = [folder for folder in folders if folder.resolve() != output.resolve()]
    for job in plan.jobs():
        for folder in others:
            if finished_sequence(job, plan.options, output / "sequences") is not None:
                break
            if finished_sequence(job, plan.options, folder / "sequences") is not None:
                with temporary_path(sequence_path(output, job.id)) as temporary:
                    _link_or_copy(sequence_path(folder, job.id), temporary)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove_others(plan: VideoPlan, shards: list[ShardResult], output: Path) -> None:
    """Remove sequences that a shard made of a video which is another one's duplicate."""
    wanted = {job.id for job in plan.jobs()}
    for shard in shards:
        for job in plan_videos(shard.sources, plan.prepare, fill_empty=False).jobs():
            if job.id not in wanted:
                sequence_path(output, job.id).unlink(missing_ok=True)


def _as_one_run_has_it(job: SequenceJob, plan: SequencePlan, output: Path, *, was_whole: bool) -> None:
    """Write a sequence's file again where a shard knew the video by another name, or in another split.

    Args:
        was_whole: whether the shard kept all frames of it.
    """
    result = finished_sequence(job, plan.options, output / "sequences")
    if result is None:
        return
    path = sequence_path(output, job.id)
    metadata = read_metadata(path)
    reduced = was_whole and result.stored_frames > job.stored_frames
    if metadata["source"] == job.source and not reduced:
        return
    tensors = read_sequence(path)
    if reduced:
        indices = stratified_indices(job.num_frames, job.stored_frames, job.id)
        # All frames from 1 on are there: frame t is at position t - 1.
        tensors |= {name: tensors[name][indices - 1] for name in ("frames", "flows", "frame_indices")}
        metadata["stored_frames"] = str(job.stored_frames)
    save_tensors(path, tensors, metadata | {"source": job.source})
