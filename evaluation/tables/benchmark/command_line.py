"""The options of evaluate.py benchmark. Free of torch."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from common.command_line import add_common_options, options_of
from common.option_types import count, frame_count, frame_rate, frame_size, positive, process_count, step_count
from evaluation.options import BenchmarkOptions
from evaluation.tables.benchmark.networks import ABLATION_ROWS, MOTION_ROWS, NETWORKS, PRESETS
from evaluation.tables.command_line import names

ALL_TABLES = ("motion", "ablation", "rendering")
DEFAULT = BenchmarkOptions(clips=(), output=Path())


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py benchmark``."""
    add = parser.add_argument
    add("clips", type=Path, nargs="+", metavar="CLIPS", help="looping clips, or a folder of them")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of data, trainings and tables; resumed if it is there",
    )
    add("--real", type=Path, metavar="FOLDER", help="film to test on as well, of which nothing is trained on")
    add(
        "--table",
        choices=ALL_TABLES,
        nargs="+",
        default=DEFAULT.tables,
        dest="tables",
        help="motion: the paper's Table 1; ablation: its Table 2; rendering (default: motion)",
    )
    add(
        "--methods",
        type=names(MOTION_ROWS),
        metavar="A,B,...",
        help=f"rows of Table 1 (default: {','.join(MOTION_ROWS)})",
    )
    add(
        "--variants",
        type=names(ABLATION_ROWS),
        metavar="A,B,...",
        help=f"rows of Table 2 (default: {','.join(ABLATION_ROWS)})",
    )
    _add_training_options(parser)
    _add_data_options(parser)
    add("--metrics", type=names(None), metavar="A,B,...", help="columns of the tables of motion (default: all)")
    add("--samples", type=count, default=DEFAULT.samples, help="samples of each photo (default: 5)")
    add("--steps", type=step_count, metavar="N", help="sampling steps (default: the models')")
    add("--no-intervals", action="store_true", help="leave out the intervals of FID, FVD and the like (faster)")
    add("--weights", type=Path, metavar="DIR", help="folder with metric weights, searched before the cache")
    add_common_options(parser)


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--folds",
        type=count,
        default=DEFAULT.folds,
        metavar="N",
        help="parts that the scenes are dealt to (default: 3)",
    )
    add("--only-folds", type=count, metavar="N", help="go through the first N folds only (default: all)")
    add(
        "--budget",
        type=positive,
        default=DEFAULT.budget,
        metavar="MINUTES",
        help="training time of each method on each fold: of the processor, on a GPU by the clock (default: 60)",
    )
    add("--max-steps", type=count, metavar="N", help="steps of each training stage, in place of a budget")
    add(
        "--preset",
        choices=PRESETS,
        default=DEFAULT.preset,
        help="of all trainings; lfdm and cinn take small for default (default: small)",
    )
    add(
        "--train",
        type=network_options,
        action="append",
        default=[],
        metavar="NETWORK=OPTIONS",
        help=f"further options of a training, such as lfdm='--size 64x32'; networks: {', '.join(NETWORKS)}",
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--size", type=frame_size, default=DEFAULT.size, metavar="WxH", help="of the frames (default: 256x160)")
    add("--fps", type=frame_rate, default=DEFAULT.fps, help="frame rate (default: 30)")
    add(
        "--num-frames",
        type=frame_count,
        default=DEFAULT.num_frames,
        metavar="T",
        help="frames of a sequence (default: 150)",
    )
    add("--stride", type=count, default=DEFAULT.stride, help="frames between starts of sequences (default: 30)")
    add("--num-frequencies", type=count, default=DEFAULT.num_frequencies, metavar="K", help="to keep (default: 24)")
    add(
        "--flow", default=DEFAULT.flow, metavar="NAME", help="flow estimator, as of data.prepare (default: coarse2fine)"
    )
    add("--sequences", type=count, default=DEFAULT.sequences, metavar="N", help="sequences of each clip (default: 5)")
    add(
        "--test-sequences",
        type=count,
        default=DEFAULT.test_sequences,
        metavar="N",
        help="sequences of each clip that are tested on (default: 1)",
    )
    add(
        "--workers",
        type=process_count,
        default=DEFAULT.workers,
        metavar="N",
        help="processes that prepare (default: 1)",
    )


def benchmark_options(arguments: argparse.Namespace) -> BenchmarkOptions:
    """What ``evaluate.py benchmark`` was asked for."""
    return options_of(BenchmarkOptions, arguments, train=tuple(arguments.train), intervals=not arguments.no_intervals)


def network_options(text: str) -> tuple[str, str]:
    """``NETWORK=OPTIONS`` -> (NETWORK, OPTIONS); names of networks may hold the ``=`` that separates the two."""
    for name in sorted(NETWORKS, key=len, reverse=True):
        if text.startswith(f"{name}="):
            options = text[len(name) + 1 :]
            try:
                shlex.split(options)
            except ValueError as error:
                raise argparse.ArgumentTypeError(f"{options!r}: {error}") from None
            return name, options
    raise argparse.ArgumentTypeError(f"{text!r} is not NETWORK=OPTIONS with one of {', '.join(NETWORKS)}")
