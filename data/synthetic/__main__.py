"""Photos -> dataset folder of layered photos under known oscillation: ``python -m data.synthetic PHOTO... --output D``.

A photo is split into layers by its own content, and each sways by damped modes. Motion, occlusions and frames are then
exact, which no flow estimator gives. The folder has the format of `data.prepare`, with the estimator ``exact``.
:func:`synthetic_sequence` makes one sequence in memory.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from common.command_line import OneLineParser, count, frame_count, frame_rate, frame_size, positive, write_report
from common.files import save_tensors
from common.hashing import file_sha256
from data.dataset.build import accept_sources, report_results, run_jobs, write_results
from data.dataset.compute import channels_first, stratified_indices
from data.dataset.folder import open_dataset, writing
from data.dataset.options import add_dataset_options, run_dataset_script
from data.dataset.sequence import SequenceJob, SequenceOptions, SequencePlan, SequenceResult
from data.dataset.sequence_file import sequence_metadata
from data.dataset.splits import SPLITS, assign_splits
from data.dataset.statistics import motion_statistics
from data.flow.estimators import ESTIMATORS, estimate_flow
from data.footage.find import find_sources, sequence_id
from data.footage.sources import Source
from data.media.images import IMAGE_SUFFIXES, read_image
from data.synthetic.scene import SceneParameters
from data.synthetic.sequence import SyntheticSequence, synthetic_sequence
from data.workers import Workers

__all__ = ["SceneParameters", "SyntheticSequence", "main", "synthetic_sequence"]

EXACT = "exact"  # the estimator in the manifest
SCENE_VERSION = 1  # of the way scenes are made; part of what a finished file is recognised by
EXAMPLES = """examples:
  python -m data.synthetic photos/ --output synthetic --sequences 400
  python -m data.synthetic photos/*.jpg --output synthetic --validation 'garden*' --split 1,0,0 --held-out 4
  python -m data.synthetic tree.jpg --output quick_look --sequences 2 --split 1,0,0 --no-variation
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.synthetic``."""
    parser = OneLineParser(
        prog="python -m data.synthetic", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make photos sway: a dataset folder with exact motion, from stills.",
    )  # fmt: skip
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="folders are searched for photos")
    add("--output", required=True, type=Path, metavar="DATASET", help="folder; an unfinished one is gone on with")
    add("--sequences", type=count, default=100, metavar="N", help="in all, shared out evenly (default: 100)")
    add("--held-out", type=count, metavar="N", help="at most N sequences of each validation and test photo")
    add("--size", type=frame_size, default=(256, 160), metavar="WxH", help="of the sequences (default: 256x160)")
    add("--num-frames", type=frame_count, default=150, metavar="T", help="frames of a sequence (default: 150)")
    add("--fps", type=frame_rate, default=30.0, help="frame rate, which sets the speed of the motion (default: 30)")
    add("--num-frequencies", type=count, default=24, metavar="K", help="frequencies to keep (default: 24)")
    add("--stored-frames", type=count, default=10, metavar="M", help="frames rendered and kept (default: 10)")
    add("--flow", choices=(EXACT, *ESTIMATORS), default=EXACT, help="of the stored frames: exact, or estimated in "
        "them, so that a renderer learns to forgive an estimator; the volume is exact anyway")  # fmt: skip
    add("--amplitude", type=positive, metavar="PX", help="of the farthest tips; default: drawn for each, up to 20")
    add("--no-variation", action="store_true", help="no exposure drift, noise or compression: exact frames")
    add("--workers", type=count, default=1, metavar="N", help="processes (default: 1)")
    add_dataset_options(parser, "photos")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    return run_dataset_script(prepare_synthetic, arguments)


def prepare_synthetic(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    started = time.perf_counter()
    names = find_sources(arguments.inputs, IMAGE_SUFFIXES, "photo")
    options = sequence_options(arguments)
    folder: Path = arguments.output
    existed = folder.exists()
    with writing(folder), Workers(arguments.workers) as workers:
        open_dataset(folder, recorded_options(arguments, options), arguments.overwrite)
        sources = scan_photos(names, arguments.size)
        pinned = {"validation": arguments.validation, "test": arguments.test}
        accept_sources(sources, folder, existed, "photos", pinned)
        splits = assign_splits(sources, arguments.split, pinned, arguments.seed)
        plan = SequencePlan(sources, splits, jobs_by_source(sources, splits, arguments), options)
        failures, computed = run_jobs(plan, folder, make_sequence, workers)
        finished = time.perf_counter()
        counts = write_results(plan, failures, folder, arguments.num_frames, arguments.fps)
    listed = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    print(f"{folder}: {counts.total()} sequences ({listed}), {computed} computed now")
    timings = {"sequences": finished - started, "statistics": time.perf_counter() - finished}
    results = report_results(counts, computed)
    write_report(arguments.report, "data.synthetic", arguments, {"timings_seconds": timings, "results": results})


# Photos ---------------------------------------------------------------------------------------------------------------


def scan_photos(names: list[tuple[Path, str]], size: tuple[int, int]) -> list[Source]:
    """Look at every photo once; problems become part of the source."""
    first_of: dict[str, str] = {}
    sources = []
    for path, name in names:
        digest, problem = "", None
        try:
            digest = file_sha256(path)
            height, width = read_image(path).shape[:2]
            if width < size[0] or height < size[1]:
                problem = f"{width}x{height} is too small for sequences of {size[0]}x{size[1]}; choose a smaller --size"
            elif digest in first_of:
                problem = f"the same file as {first_of[digest]}"
        except (ValueError, OSError) as error:
            problem = str(error).removeprefix(f"{path}: ")  # no absolute path belongs into the manifest
        first_of.setdefault(digest, name)
        sources.append(Source(str(path), name, digest, None, problem))
    return sources


# Sequences ------------------------------------------------------------------------------------------------------------


def sequence_options(arguments: argparse.Namespace) -> SequenceOptions:
    """What all sequences have in common. None is dropped: the motion is what it is."""
    parameters = SceneParameters(
        num_frames=arguments.num_frames,
        fps=arguments.fps,
        num_frequencies=min(arguments.num_frequencies, arguments.num_frames // 2 + 1),
        amplitude=arguments.amplitude,
        photometric=0.0 if arguments.no_variation else SceneParameters.photometric,
    )
    recorded = {"scene_version": SCENE_VERSION, "seed": arguments.seed, "flow": arguments.flow, **asdict(parameters)}
    return SequenceOptions(arguments.size, parameters.num_frequencies, EXACT, recorded, keep_all=True)


def recorded_options(arguments: argparse.Namespace, options: SequenceOptions) -> dict:
    """What all sequences of a dataset folder have in common, for ``parameters.json``."""
    recorded = {name: getattr(arguments, name) for name in ("size", "fps", "num_frames", "stored_frames")}
    recorded |= {"num_frequencies": options.num_frequencies, "flow": arguments.flow}
    return recorded | {"flow_parameters": options.estimator_parameters}


def jobs_by_source(
    sources: list[Source], splits: dict[str, str], arguments: argparse.Namespace
) -> Callable[[Source], Iterator[SequenceJob]]:
    """A function that makes a photo's sequences; ``start`` is a sequence's number among those of its photo."""
    places = {source.sha256: place for place, source in enumerate(s for s in sources if not s.problem)}

    def jobs_of(source: Source) -> Iterator[SequenceJob]:
        if source.problem:
            return
        split = splits[source.sha256]
        count = len(range(places[source.sha256], arguments.sequences, len(places)))
        if split != "train" and arguments.held_out:
            count = min(count, arguments.held_out)
        later = arguments.num_frames - 1
        stored = later if split in arguments.full else min(arguments.stored_frames, later)
        for number in range(count):
            name = sequence_id(source.name, source.sha256, number)
            frames = tuple(range(arguments.num_frames))
            yield SequenceJob(name, source.path, source.name, source.sha256, number, arguments.fps, frames, stored)

    return jobs_of


def make_sequence(job: SequenceJob, options: SequenceOptions, folder: Path) -> SequenceResult:
    """Make one sequence and write ``folder/<id>.safetensors``, as `data.dataset.compute.prepare_sequence` does."""
    recorded: dict[str, Any] = dict(options.estimator_parameters)
    seed = [recorded.pop("seed"), int(job.source_sha256[:15], 16), job.start]
    recorded.pop("scene_version")
    estimator = recorded.pop("flow")
    indices = stratified_indices(job.num_frames, job.stored_frames, job.id)
    sequence = synthetic_sequence(read_image(job.path), seed, SceneParameters(**recorded), options.size, indices)
    motion = sequence.motion()
    flows = motion[indices] if estimator == EXACT else estimate_flow(sequence.first_frame, sequence.frames, estimator)
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


if __name__ == "__main__":
    sys.exit(main())
