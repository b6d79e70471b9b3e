"""Photos -> dataset folder of layered photos under known oscillation: ``python -m data.synthetic PHOTO... --output D``.

What a photo shows decides what moves in it and where it is held (`data.synthetic.things`); each thing becomes a layer
that sways by damped modes, and all else stays still. Motion, occlusions and frames are then exact, which no flow
estimator gives. The folder has the format of `data.prepare`, with the estimator ``exact``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common.command_line import OneLineParser, options_of, run_script, write_report
from common.option_types import count, positive, process_count, share
from common.output_paths import check_paths
from data.dataset.command_line import add_sequence_options, add_split_options
from data.dataset.folder import naming_full_disks, open_dataset, writing
from data.dataset.options import EXACT
from data.flow.estimators import ESTIMATORS, estimator_parameters
from data.footage.find import find_sources
from data.media.images import IMAGE_SUFFIXES
from data.synthetic.dataset import PhotoSources, SyntheticOptions, build_dataset, recorded_options
from data.synthetic.maps.command import default_folder
from data.synthetic.sheet import write_sheet
from data.synthetic.shown import DOUBTS, read_categories
from data.workers import Workers

EXAMPLES = """examples:
  python -m data.synthetic photos/ --output synthetic --sequences 400
  python -m data.synthetic photos/*.jpg --output synthetic --validation 'garden*' --split 1,0,0 --held-out 4
  python -m data.synthetic photos/ --output synthetic --maps maps --categories photos.csv --sheet sheet.png
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
    add_choice_of_photos(parser, default)
    add("--held-out", type=count, metavar="N", help="at most N sequences of each validation and test photo")
    add_sequence_options(
        parser, default, rate="frame rate, which sets the speed of the motion", stored="render and keep"
    )
    add(
        "--flow",
        choices=(EXACT, *ESTIMATORS),
        default=default.flow,
        help="flow of the stored frames: exact, or estimated from them, so that a renderer learns to tolerate an "
        "estimator's errors; the volume is exact either way",
    )
    add("--amplitude", type=positive, metavar="PX", help="way of the farthest tips (default: what is usual)")
    add("--no-variation", action="store_true", help="no exposure drift, noise or compression: exact frames")
    add("--sheet", type=Path, metavar="PNG", help="contact sheet: things and hinges, photo, amplitude, a later frame")
    add("--sheet-sequences", type=count, default=24, metavar="N", help="sequences on it (default: 24)")
    add("--workers", type=process_count, default=1, metavar="N", help="processes (default: 1)")
    add_split_options(parser, things="photos")
    return parser


def add_choice_of_photos(parser: argparse.ArgumentParser, default: SyntheticOptions) -> None:
    """Options that say what photos show and which are used."""
    add = parser.add_argument
    add("--maps", type=Path, metavar="DIR", help="what data.synthetic.maps made (default: maps, beside the photos)")
    add(
        "--categories",
        type=Path,
        metavar="CSV",
        help="columns file and category (flower, candle, still, ...), if known",
    )
    add(
        "--still-share",
        type=share,
        default=default.still_share,
        metavar="P",
        help="share of the sequences for photos in which nothing sways, whose motion is zero (default: 0.15)",
    )
    add(
        "--doubtful",
        choices=DOUBTS,
        default=default.doubtful,
        help="photos of which it can't be told what sways: skip them, leave them still, or keep the guess "
        "(default: skip); the manifest says which and why",
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(prepare_synthetic, build_parser().parse_args(argv))


def prepare_synthetic(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    started = time.perf_counter()
    options, folder = options_of(SyntheticOptions, arguments), arguments.output
    if options.flow != EXACT:
        estimator_parameters(options.flow)  # is it there? Nothing has been made yet
    with naming_full_disks(folder):
        check_paths(
            inputs=[*arguments.inputs, *filter(None, [arguments.categories])],
            files=[arguments.report, arguments.sheet],
            datasets=[folder],
        )
        names = find_sources(arguments.inputs, IMAGE_SUFFIXES, thing="photo")
        maps = arguments.maps or default_folder(arguments.inputs)
        photos = PhotoSources(names, maps, read_categories(arguments.categories))
        with writing(folder) as existed, Workers(arguments.workers) as workers:
            open_dataset(folder, recorded_options(options), overwrite=arguments.overwrite)
            results, plan, finished = build_dataset(photos, folder, workers, options=options, existed=existed)
        timings = {"sequences": finished - started, "statistics": time.perf_counter() - finished}
        if arguments.sheet:
            write_sheet(arguments.sheet, folder, plan, maps=maps, count=arguments.sheet_sequences)
        write_report(arguments.report, "data.synthetic", arguments, {"timings_seconds": timings, "results": results})
