"""The tables that judge motion and rendering, and the ablation; docs/evaluation.md says what each figure means.

`rendering` renders real frames from the first one and the measured flow, beside the baselines.
`motion` compares videos, of the model and of what it has to beat, with real ones, and the motion itself.
`sampling` says what samplers, numbers of steps and loop guidance give for what they cost.
`ablation` trains and scores the variants of the paper's Table 2.
`compare` says which differences of two reports are larger than chance.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from baselines.registry import METHODS
from common.command_line import add_common_options, check_writable, run_script, write_report

PRETRAINED = Path(__file__).parent / "models" / "pretrained"
SPLITS = ("train", "validation", "test")
# Repeated from the packages, whose import would make --help slow; a test compares them.
RENDERERS = ("model", "softmax", "average", "linear", "remap")
ROWS = ("model", "average-splatting", "linear-splatting", "softmax-splatting", "remap", "repeat")
DEFAULT_METHODS = tuple(method.name for method in METHODS.values() if method.default)
PRESETS = ("tiny", "default")
SAMPLERS = ("dpmsolver++", "ddim", "ddpm")
DEFAULT_SAMPLERS = ("dpmsolver++:5,10,20,50", "ddim:20,50,100", "ddpm:100,1000")
EXAMPLES = """examples:
  python -m evaluation.networks fetch                                     the weights of LPIPS, FID and FVD, once
  python evaluate.py rendering --data dataset --report rendering.json --html rendering.html
  python evaluate.py motion --data dataset --report motion.json --output figures
  python evaluate.py motion --data dataset --methods repeat,true-motion --videos theirs=their_videos/
  python evaluate.py motion --data dataset --methods model,gradient-16 --metrics localisation,amplitude_ratio
  python evaluate.py sampling --data dataset --max-sequences 1 --report sampling.json --html sampling.html
  python evaluate.py sampling --data dataset --samplers dpmsolver++:20 --loop-guidance 0,5,15 --recurrence 0,2
  python evaluate.py ablation --data dataset --output runs/ablation --preset tiny --max-steps 200
  python evaluate.py compare before.json after.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables = parser.add_subparsers(dest="table", required=True, metavar="rendering|motion|sampling|ablation|compare")
    for name, add_options in SUBCOMMANDS.items():
        table = tables.add_parser(
            name, help=f"{name} --help lists its options", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add_options(table)
    return parser


def add_rendering_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py rendering``."""
    add_table_options(parser)
    add = parser.add_argument
    add("--rows", type=_names(ROWS), metavar="A,B,...", help=f"of {', '.join(ROWS)} (default: all)")
    add("--frames", choices=("all", "stored"), default="all", help="all frames of a sequence, as published, or only "
        "the sample that the dataset stores of training sequences (default: all)")  # fmt: skip


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py motion``."""
    parser.epilog = "methods:\n" + "\n".join(f"  {name:<13} {method.summary}" for name, method in METHODS.items())
    add_table_options(parser)
    add = parser.add_argument
    add("--methods", type=_names(tuple(METHODS)), metavar="A,B,...", default=DEFAULT_METHODS,
        help=f"rows of the table, listed below (default: {','.join(DEFAULT_METHODS)})")  # fmt: skip
    add("--method-checkpoint", type=_named_folder, action="append", default=[], metavar="NAME=DIR",
        help="checkpoint of a learned baseline; may be given several times")  # fmt: skip
    add("--videos", type=_named_folder, action="append", default=[], metavar="NAME=FOLDER",
        help="a row for videos made elsewhere, <sequence id>.mp4 each; may be given several times")  # fmt: skip
    add("--metrics", type=_names(None), metavar="A,B,...", help="only these columns (default: all)")
    add_sampling_options(parser)


def add_steps_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py sampling``."""
    add_table_options(parser)
    parser.set_defaults(split="validation")  # what is chosen by the table must not be chosen on the test split
    add = parser.add_argument
    add("--samplers", type=_sampler_steps, nargs="+", action="extend", metavar="NAME:STEPS,...",
        help=f"of {', '.join(SAMPLERS)}, with numbers of steps (default: {' '.join(DEFAULT_SAMPLERS)})")  # fmt: skip
    add("--loop-guidance", type=_numbers(float), metavar="U,...", default=(0.0,),
        help="strengths of loop guidance, each in rows of its own (default: 0)")  # fmt: skip
    add("--recurrence", type=_numbers(int), metavar="N,...", default=(0,),
        help="extra passes of each step under loop guidance, each in rows of their own (default: 0)")  # fmt: skip
    add("--metrics", type=_names(None), metavar="A,B,...", help="only these columns (default: all)")
    add("--samples", type=_count, default=2, help="samples a photo, the same seeds in all rows (default: 2)")
    add("--guidance", type=float, metavar="W", help="classifier-free guidance (default: the model's, mostly 1)")
    add("--num-frequencies", type=_count, default=16, metavar="K", help="of the measured motion (default: 16)")
    add("--no-intervals", action="store_true", help="leave out the interval of the Fréchet distance")


def add_ablation_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py ablation``."""
    add_data_options(parser)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="RUN", help="folder of the rows' runs; gone on with if there")
    add("--preset", choices=PRESETS, default="default", help="network and training (default: default)")
    add("--rows", type=_names(None), metavar="A,B,...", help="rows to train and score (default: all)")
    add("--max-steps", type=int, metavar="N", help="steps of each training stage, in place of the preset's")
    add("--run", type=_named_folder, action="append", default=[], metavar="ROW=CHECKPOINT",
        help="score this checkpoint as a row instead of training it")  # fmt: skip
    add("--metrics", type=_names(None), metavar="A,B,...", help="only these columns (default: all)")
    add_sampling_options(parser)


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py compare``."""
    parser.add_argument("first", type=Path, metavar="A.json", help="a report of evaluate.py")
    parser.add_argument("second", type=Path, metavar="B.json", help="another report of the same table")
    add_common_options(parser)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """What the tables of one checkpoint share."""
    add_data_options(parser)
    add = parser.add_argument
    add("--output", type=Path, metavar="DIR", help="folder for per-sequence CSV, plots and videos to look at")
    add("--html", type=Path, metavar="FILE.html", help="one self-contained page with tables, plots and clips")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """What all tables share."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="dataset folder written by data.prepare")
    add("--split", default="test", choices=SPLITS, help="default: %(default)s")
    add("--checkpoint", default=PRETRAINED, metavar="DIR", help="default: the weights that come with the repository")
    add("--weights", type=Path, metavar="DIR", help="folder with metric weights (default: where `python -m "
        "evaluation.networks fetch` puts them)")  # fmt: skip
    add("--max-sequences", type=_count, metavar="N", help="at most N sequences of each source video (default: all)")
    add_common_options(parser)


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """How the motion model is sampled and its motion rendered."""
    add = parser.add_argument
    add("--samples", type=_count, default=5, help="samples a photo, for motion and diversity; the first one is "
        "rendered for the distances between sets (default: 5)")  # fmt: skip
    add("--steps", type=_count, default=20, help="sampling steps (default: 20)")
    add("--guidance", type=float, metavar="W", help="classifier-free guidance (default: the model's, mostly 1)")
    add("--num-frequencies", type=_count, default=16, metavar="K", help="of the measured motion (default: 16)")
    add("--renderer", choices=RENDERERS, default="model", help="what turns motion into frames (default: model)")
    add("--no-intervals", action="store_true", help="leave out confidence intervals of FID, FVD and the like (faster)")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    return run_script(run_table, arguments)


def run_table(arguments: argparse.Namespace) -> None:
    """The subcommand chosen, once it is known that its results can be written."""
    check_writable(getattr(arguments, "html", None))
    check_writable(getattr(arguments, "output", None), folder=True)
    COMMANDS[arguments.table](arguments)


def rendering(arguments: argparse.Namespace) -> None:
    """`evaluate.py rendering`."""
    from evaluation.tables.rendering import evaluate_rendering

    finish(arguments, evaluate_rendering(arguments))


def motion(arguments: argparse.Namespace) -> None:
    """`evaluate.py motion`."""
    from evaluation.tables.motion import evaluate_motion

    finish(arguments, evaluate_motion(arguments))


def sampling(arguments: argparse.Namespace) -> None:
    """`evaluate.py sampling`."""
    from evaluation.tables.sampling import evaluate_sampling

    chosen = arguments.samplers or map(_sampler_steps, DEFAULT_SAMPLERS)
    arguments.samplers = [row for rows in chosen for row in rows]
    finish(arguments, evaluate_sampling(arguments))


def ablation(arguments: argparse.Namespace) -> None:
    """`evaluate.py ablation`."""
    from evaluation.tables.ablation import evaluate_ablation

    finish(arguments, evaluate_ablation(arguments))


def compare(arguments: argparse.Namespace) -> None:
    """`evaluate.py compare`."""
    from evaluation.tables.compare import compare

    compare(arguments)


def finish(arguments: argparse.Namespace, report: dict) -> None:
    """Print the table and write the report."""
    from evaluation.report.text import format_table

    print(format_table(report))
    write_report(arguments.report, f"evaluate.py {arguments.table}", arguments, report)


SUBCOMMANDS = {
    "rendering": add_rendering_options,
    "motion": add_motion_options,
    "sampling": add_steps_options,
    "ablation": add_ablation_options,
    "compare": add_compare_options,
}
COMMANDS = {"rendering": rendering, "motion": motion, "sampling": sampling, "ablation": ablation, "compare": compare}


def _names(known: tuple[str, ...] | None):
    """argparse type of a comma-separated list of names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in names if known and name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"{text!r}: expected some of {', '.join(known or ('names',))}")
        return names

    return parse


def _sampler_steps(text: str) -> list[tuple[str, int]]:
    """``ddim:20,50`` -> [("ddim", 20), ("ddim", 50)]."""
    name, _, steps = text.partition(":")
    numbers = [number.strip() for number in steps.split(",")]
    if name not in SAMPLERS or not all(number.isdigit() and int(number) > 0 for number in numbers):
        message = "is not NAME:STEPS,... with whole numbers above 0 and one of"
        raise argparse.ArgumentTypeError(f"{text!r} {message} {', '.join(SAMPLERS)}")
    return [(name, int(number)) for number in numbers]


def _numbers(kind: type):
    """argparse type of a comma-separated list of numbers from 0 on."""

    def parse(text: str) -> tuple:
        try:
            values = tuple(dict.fromkeys(kind(part) for part in text.split(",")))
        except ValueError:
            values = ()
        if not values or not all(0 <= value < float("inf") for value in values):
            kinds = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"{text!r}: expected {kinds} from 0 on, such as 0,2")
        return values

    return parse


def _named_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
