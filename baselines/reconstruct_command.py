"""The command ``reconstruct`` of learned baselines: its options, and what is done about them. Needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.command_line import add_common_options, select_device, write_report
from common.output_paths import check_paths
from models.choices import resolve


def add_reconstruct_options(parser: argparse.ArgumentParser, *, layouts: Sequence[str], sheet: str) -> None:
    """Options that do not depend on the baseline.

    Args:
        layouts: how folders may be laid out.
        sheet: what the contact sheet shows.
    """
    add = parser.add_argument
    add("data", type=Path, metavar="FOLDER", help="videos in the layout that --layout names")
    add("--layout", choices=layouts, default="dataset", help="how the folder is laid out (default: dataset)")
    add("--split", choices=("train", "validation", "test"), default="validation", help="default: validation")
    add("--sheet", type=Path, metavar="FILE.png", help=f"write a contact sheet: {sheet}")
    add("--checkpoint", type=Path, required=True, metavar="RUN", help="run folder of `train`")
    add("--weights", type=Path, metavar="DIR", help="folder with the metrics' weights, searched before the cache")
    add_common_options(parser)


def report_reconstruction(arguments: argparse.Namespace, *, script: str, measure: str, **more: int) -> None:
    """Measure how well clips are drawn again; print and report the figures.

    Args:
        arguments: with the options of :func:`add_reconstruct_options`.
        script: the command's name in the report.
        measure: ``module:function`` that measures, imported only now.
        more: further arguments of that function.
    """
    inputs = [arguments.data, arguments.checkpoint, arguments.weights]
    check_paths(inputs=inputs, files=[arguments.sheet, arguments.report])
    from baselines.reconstruction import figure_lines

    results = resolve(measure)(
        arguments.data,
        arguments.checkpoint,
        layout=arguments.layout,
        split=arguments.split,
        sheet_path=arguments.sheet,
        weights=arguments.weights,
        device=select_device(arguments.device),
        **more,
    )
    write_report(arguments.report, script, arguments, results)
    for line in figure_lines(results):
        print(line)
