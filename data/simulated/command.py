"""Simulated scenes -> dataset folder: ``python -m data.simulated --output D``.

Gardens, rooms and streets are built by a program and rendered by Blender, an optional tool in a virtual environment of
its own. Motion, depth and what is hidden are exact. The folder has the format of `data.prepare`, with the estimator
``exact``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common.command_line import OneLineParser, options_of, run_script, write_report
from common.option_types import count
from common.output_paths import check_paths
from data.dataset.command_line import add_sequence_options, add_split_options
from data.dataset.folder import naming_full_disks, open_dataset, writing
from data.simulated.kinds.registry import KINDS
from data.simulated.options import SimulatedOptions, recorded_options
from data.simulated.renderer import DEFAULT_PYTHON, BlenderPython
from data.workers import Workers

EXAMPLES = """examples:
  python -m data.simulated --output simulated --scenes 1000
  python -m data.simulated --output candles --scenes 20 --kinds candles lanterns --split 1,0,0
  python -m data.simulated --output flow_test --scenes 50 --stored-frames 3 --split 0,0,1

kinds (* marks those in which nothing moves):
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.simulated``."""
    parser = OneLineParser(
        prog="python -m data.simulated",
        description="Simulate gardens, rooms and streets: a dataset folder with exact motion, rendered by Blender.",
        epilog=EXAMPLES + _listed_kinds(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, SimulatedOptions()
    add("--output", required=True, type=Path, metavar="DATASET", help="dataset folder; an unfinished one is resumed")
    add("--scenes", type=count, default=default.scenes, metavar="N", help="scenes, a sequence each (default: 100)")
    add("--kinds", nargs="+", choices=tuple(KINDS), default=(), metavar="KIND", help="kinds of scene (default: all)")
    add_sequence_options(
        parser,
        default,
        rate="frame rate, which sets the speed of the motion",
        stored="render and keep, each as costly as the first; 0 keeps the motion alone, for train_unet.py",
        fewest_stored=0,
    )
    add(
        "--blender-python",
        type=Path,
        default=DEFAULT_PYTHON,
        metavar="PYTHON",
        help="interpreter that has bpy 4.5 (default: that of .venv-blender, which make simulated sets up)",
    )
    add("--workers", type=count, default=1, metavar="N", help="processes, each with a Blender (default: 1)")
    cost = "; every frame is rendered then, which takes minutes a scene"
    add_split_options(parser, things="scenes", full=default.full, full_note=cost)
    return parser


def _listed_kinds() -> str:
    names = [f"{name}*" if kind.still else name for name, kind in KINDS.items()]
    return "\n".join("  " + "  ".join(names[start : start + 6]) for start in range(0, len(names), 6))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(simulate_dataset, build_parser().parse_args(argv))


def simulate_dataset(arguments: argparse.Namespace) -> None:
    """Make or complete the dataset folder that the command line describes."""
    from data.simulated.dataset import build_dataset

    started = time.perf_counter()
    options, folder = options_of(SimulatedOptions, arguments), arguments.output
    blender = BlenderPython(arguments.blender_python)
    with naming_full_disks(folder):
        check_paths(inputs=[], files=[arguments.report], datasets=[folder])
        blender.check()
        with writing(folder) as existed, Workers(arguments.workers) as workers:
            open_dataset(folder, recorded_options(options), overwrite=arguments.overwrite)
            results = build_dataset(folder, workers, options=options, blender=blender, existed=existed)
        timings = {"sequences": time.perf_counter() - started}
        write_report(arguments.report, "data.simulated", arguments, {"timings_seconds": timings, "results": results})
