"""Photos -> dataset folder of layered photos under known oscillation: ``python -m data.synthetic PHOTO... --output D``.

A photo is split into layers by its own content, and each sways by damped modes. Motion, occlusions and frames are then
exact, which no flow estimator gives. The folder has the format of `data.prepare`, with the estimator ``exact``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common.command_line import OneLineParser, options_of, run_script, write_report
from common.option_types import count, frame_count, frame_rate, frame_size, positive
from common.output_paths import check_paths
from data.dataset.command_line import add_split_options
from data.dataset.folder import naming_full_disks, open_dataset, writing
from data.flow.estimators import ESTIMATORS
from data.footage.find import find_sources
from data.media.images import IMAGE_SUFFIXES
from data.synthetic.dataset import EXACT, SyntheticOptions, build_dataset, recorded_options
from data.workers import Workers

EXAMPLES = """examples:
  python -m data.synthetic photos/ --output synthetic --sequences 400
  python -m data.synthetic photos/*.jpg --output synthetic --validation 'garden*' --split 1,0,0 --held-out 4
  python -m data.synthetic tree.jpg --output quick_look --sequences 2 --split 1,0,0 --no-variation
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.synthetic``."""
    parser = OneLineParser(
        prog="python -m data.synthetic",
        description="Make photos sway: a dataset folder with exact motion, from still photos.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, SyntheticOptions()
    add("inputs", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="photos, and folders to search for photos")
    add("--output", required=True, type=Path, metavar="DATASET", help="dataset folder; an unfinished one is resumed")
    add(
        "--sequences",
        type=count,
        default=default.sequences,
        metavar="N",
        help="sequences in all, shared out evenly among the photos (default: 100)",
    )
    add("--held-out", type=count, metavar="N", help="at most N sequences of each validation and test photo")
    add("--size", type=frame_size, default=default.size, metavar="WxH", help="size of the frames (default: 256x160)")
    add(
        "--num-frames",
        type=frame_count,
        default=default.num_frames,
        metavar="T",
        help="frames in a sequence (default: 150)",
    )
    add(
        "--fps",
        type=frame_rate,
        default=default.fps,
        help="frame rate, which sets the speed of the motion (default: 30)",
    )
    add(
        "--num-frequencies",
        type=count,
        default=default.num_frequencies,
        metavar="K",
        help="frequencies to keep (default: 24)",
    )
    add(
        "--stored-frames",
        type=count,
        default=default.stored_frames,
        metavar="M",
        help="later frames to render and keep (default: 10)",
    )
    add(
        "--flow",
        choices=(EXACT, *ESTIMATORS),
        default=default.flow,
        help="flow of the stored frames: exact, or estimated from them, so that a renderer learns to tolerate an "
        "estimator's errors; the volume is exact either way",
    )
    add("--amplitude", type=positive, metavar="PX", help="amplitude of the farthest tips (default: random, up to 20)")
    add("--no-variation", action="store_true", help="no exposure drift, noise or compression: exact frames")
    add("--workers", type=count, default=1, metavar="N", help="processes (default: 1)")
    add_split_options(parser, things="photos")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(prepare_synthetic, build_parser().parse_args(argv))


def prepare_synthetic(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    started = time.perf_counter()
    options, folder = options_of(SyntheticOptions, arguments), arguments.output
    with naming_full_disks(folder):
        check_paths(inputs=arguments.inputs, files=[arguments.report], datasets=[folder])
        names = find_sources(arguments.inputs, IMAGE_SUFFIXES, thing="photo")
        with writing(folder) as existed, Workers(arguments.workers) as workers:
            open_dataset(folder, recorded_options(options), overwrite=arguments.overwrite)
            results, finished = build_dataset(names, folder, workers, options=options, existed=existed)
        timings = {"sequences": finished - started, "statistics": time.perf_counter() - finished}
        write_report(arguments.report, "data.synthetic", arguments, {"timings_seconds": timings, "results": results})
