"""The tables that judge motion and rendering, and the ablation; docs/evaluation.md says what each figure means.

`rendering` renders real frames from the first one and the measured flow, beside the baselines.
`motion` compares videos, of the model and of what it has to beat, with real ones, and the motion itself.
`sampling` shows what samplers, numbers of steps and loop guidance give for what they cost.
`stillness` tells how much the model moves photos and regions that should stand still.
`ablation` trains and scores the variants of the paper's Table 2.
`benchmark` makes the paper's tables from a folder of clips: data, trainings, figures and a page.
`compare` tells which differences of two reports, or of the rows of one, are larger than chance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from common.command_line import OneLineParser, run_script, write_report
from common.output_paths import check_paths
from evaluation.tables.benchmark.command_line import add_benchmark_options, benchmark_options
from evaluation.tables.command_line import (
    ablation_options,
    add_ablation_options,
    add_compare_options,
    add_motion_options,
    add_rendering_options,
    add_steps_options,
    add_stillness_options,
    motion_options,
    rendering_options,
    sampling_options,
    stillness_options,
)

EXAMPLES = """examples:
  python -m evaluation.networks fetch                                     the weights of LPIPS, FID and FVD, once
  python evaluate.py rendering --data dataset --report rendering.json --html rendering.html
  python evaluate.py motion --data dataset --report motion.json --output figures
  python evaluate.py motion --data dataset --methods repeat,true-motion --videos theirs=their_videos/
  python evaluate.py motion --data dataset --methods model,gradient-16 --metrics localisation,amplitude_ratio
  python evaluate.py sampling --data dataset --max-sequences 1 --report sampling.json --html sampling.html
  python evaluate.py sampling --data dataset --samplers dpmsolver++:20 --loop-guidance 0,5,15 --recurrence 0,2
  python evaluate.py stillness --photos photos --maps maps --still-photos 'house_*' --output figures
  python evaluate.py ablation --data dataset --output runs/ablation --preset tiny --max-steps 200
  python evaluate.py benchmark clips/ --output benchmark --budget 120
  python evaluate.py compare before.json after.json
  python evaluate.py compare motion.json --against model
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = parser.add_subparsers(dest="table", required=True, metavar="TABLE")
    for name, (add_options, _, summary) in TABLES.items():
        add_options(tables.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(run_table, build_parser().parse_args(argv))


def run_table(arguments: argparse.Namespace) -> None:
    """The table that was chosen, once it is known that its results can be written and replace nothing that is read."""
    check_paths(
        inputs=input_paths(arguments),
        files=(arguments.report, getattr(arguments, "html", None)),
        folders=(getattr(arguments, "output", None),),
    )
    _, run, _ = TABLES[arguments.table]
    run(arguments)


def input_paths(arguments: argparse.Namespace) -> Iterable[Path]:
    """Everything that a table reads."""
    if arguments.table == "compare":
        return [path for path in (arguments.first, arguments.second) if path]
    if arguments.table == "benchmark":
        return [path for path in (*arguments.clips, arguments.real, arguments.weights) if path]
    if arguments.table == "stillness":
        return [path for path in (arguments.photos, arguments.maps, Path(arguments.checkpoint)) if path]
    named = (getattr(arguments, option, ()) for option in ("videos", "method_checkpoint", "run"))
    tables = (grouping.file for grouping in getattr(arguments, "groups", ()) if grouping.file)
    folders = [arguments.data, *tables, Path(arguments.checkpoint), *(folder for pairs in named for _, folder in pairs)]
    return [*folders, arguments.weights] if arguments.weights else folders


def rendering(arguments: argparse.Namespace) -> None:
    """`evaluate.py rendering`."""
    from evaluation.tables.rendering import evaluate_rendering

    finish(arguments, evaluate_rendering(rendering_options(arguments)))


def motion(arguments: argparse.Namespace) -> None:
    """`evaluate.py motion`."""
    from evaluation.tables.motion import evaluate_motion

    finish(arguments, evaluate_motion(motion_options(arguments)))


def sampling(arguments: argparse.Namespace) -> None:
    """`evaluate.py sampling`."""
    from evaluation.tables.sampling import evaluate_sampling

    finish(arguments, evaluate_sampling(sampling_options(arguments)))


def stillness(arguments: argparse.Namespace) -> None:
    """`evaluate.py stillness`."""
    from evaluation.tables.stillness import evaluate_stillness

    finish(arguments, evaluate_stillness(stillness_options(arguments)))


def ablation(arguments: argparse.Namespace) -> None:
    """`evaluate.py ablation`."""
    from evaluation.tables.ablation import evaluate_ablation

    finish(arguments, evaluate_ablation(ablation_options(arguments)))


def benchmark(arguments: argparse.Namespace) -> None:
    """`evaluate.py benchmark`."""
    from evaluation.report.text import format_table
    from evaluation.tables.benchmark.run import evaluate_benchmark

    reports = evaluate_benchmark(benchmark_options(arguments))
    for report in reports.values():
        print(format_table(report))
    write_report(arguments.report, "evaluate.py benchmark", arguments, {"tables": reports})


def compare(arguments: argparse.Namespace) -> None:
    """`evaluate.py compare`."""
    from evaluation.report.comparison_text import format_comparison
    from evaluation.tables.compare import compare_files

    comparison = compare_files(arguments.first, arguments.second, against=arguments.against, seed=arguments.seed)
    print(format_comparison(comparison))
    write_report(arguments.report, "evaluate.py compare", arguments, comparison)


def finish(arguments: argparse.Namespace, report: dict) -> None:
    """Print the table and write the report."""
    from evaluation.report.text import format_table

    print(format_table(report))
    write_report(arguments.report, f"evaluate.py {arguments.table}", arguments, report)


TABLES = {
    "rendering": (add_rendering_options, rendering, "judge rendered frames beside the baselines"),
    "motion": (add_motion_options, motion, "judge the motion and the videos of the model and of what it has to beat"),
    "sampling": (add_steps_options, sampling, "weigh samplers, steps and loop guidance against their cost"),
    "stillness": (
        add_stillness_options,
        stillness,
        "weigh motion where all should stand still against that of plants",
    ),
    "ablation": (add_ablation_options, ablation, "train and score the variants of the paper's Table 2"),
    "benchmark": (add_benchmark_options, benchmark, "make the tables of the paper from a folder of clips"),
    "compare": (add_compare_options, compare, "say which differences of reports, or of rows, are larger than chance"),
}


if __name__ == "__main__":
    sys.exit(main())
