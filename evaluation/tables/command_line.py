"""The options of evaluate.py, table by table, and what they are as values. Free of torch."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from baselines.registry import METHODS
from common.command_line import add_common_options, add_report_option, add_seed_option, options_of
from common.option_types import count, guidance, number, numbers, step_count, whole_number
from evaluation.groups import grouping
from evaluation.options import (
    PRETRAINED,
    AblationOptions,
    MotionOptions,
    RenderingOptions,
    SamplingOptions,
    StillnessOptions,
)
from evaluation.tables.rendering_rows import ROWS
from models.choices import DEFAULT_STEPS, RENDERERS, SAMPLERS, WINDS, wind_type

SPLITS = ("train", "validation", "test")
# Repeated from the packages, whose import would make --help slow; a test compares them.
PRESETS = ("tiny", "default")
DEFAULT_SAMPLERS = ("dpmsolver++:5,10,20,50", "ddim:20,50,100", "ddpm:100,1000")
DEFAULT_METHODS = tuple(name for name, method in METHODS.items() if method.default)
STEPS = f"sampling steps (default: the model's own, {DEFAULT_STEPS} where it names none)"
GUIDANCE = "weight of classifier-free guidance (default: the model's own, 1 where it names none)"
ALL_COLUMNS = "columns of the table (default: all)"
Options = TypeVar("Options")


# Options --------------------------------------------------------------------------------------------------------------


def add_rendering_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py rendering``."""
    add_table_options(parser)
    add = parser.add_argument
    add("--rows", type=names(ROWS), metavar="A,B,...", help=f"some of {', '.join(ROWS)} (default: all)")
    add(
        "--frames",
        choices=("all", "stored"),
        default="all",
        help="all frames of a sequence, as published, or only the sample that the dataset stores of training "
        "sequences (default: all)",
    )


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py motion``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "methods:\n" + "\n".join(f"  {name:<13} {method.summary}" for name, method in METHODS.items())
    add_table_options(parser)
    add = parser.add_argument
    add(
        "--methods",
        type=names(METHODS),
        metavar="A,B,...",
        default=DEFAULT_METHODS,
        help=f"rows of the table, listed below (default: {','.join(DEFAULT_METHODS)})",
    )
    add(
        "--method-checkpoint",
        type=named_folder,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="checkpoint of a learned baseline; may be given several times",
    )
    add(
        "--videos",
        type=named_folder,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="another row, of videos made elsewhere, <sequence id>.mp4 each; may be given several times",
    )
    add("--metrics", type=names(None), metavar="A,B,...", help=ALL_COLUMNS)
    add(
        "--wind",
        type=wind_type("own"),
        metavar="W",
        help=f"wind that a model trained with it is told: {', '.join(WINDS)}, a factor on the usual one, or own: as "
        "strong as the measured motion (default: the usual one)",
    )
    add_sampling_options(parser)
    add(
        "--skip-photo",
        action="store_true",
        help="leave the photo, frame 0 of real and generated videos alike, out of FID, FVD, DTFVD and diversity",
    )


def add_steps_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py sampling``."""
    add_table_options(parser)
    parser.set_defaults(split="validation")  # what is chosen by the table must not be chosen on the test split
    add = parser.add_argument
    add(
        "--samplers",
        type=sampler_steps,
        nargs="+",
        action="extend",
        metavar="NAME:STEPS,...",
        help=f"some of {', '.join(SAMPLERS)}, with numbers of steps (default: {' '.join(DEFAULT_SAMPLERS)})",
    )
    add(
        "--loop-guidance",
        type=numbers(number(0, 1e6), "0,5,15", distinct=True),
        metavar="U,...",
        default=(0.0,),
        help="strengths of loop guidance, each in rows of its own (default: 0)",
    )
    add(
        "--recurrence",
        type=numbers(whole_number(0, 100), "0,2", distinct=True),
        metavar="N,...",
        default=(0,),
        help="numbers of extra passes of each step under loop guidance, each in rows of its own (default: 0)",
    )
    add("--metrics", type=names(None), metavar="A,B,...", help=ALL_COLUMNS)
    add("--samples", type=count, default=2, help="samples of each photo, with the same seeds in all rows (default: 2)")
    add_guidance_options(parser)
    add("--no-intervals", action="store_true", help="leave out the interval of the Fréchet distance")


def add_stillness_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py stillness``."""
    add = parser.add_argument
    add("--photos", type=Path, required=True, metavar="DIR", help="folder of photos that nothing was trained on")
    add(
        "--maps",
        type=Path,
        metavar="DIR",
        help="class maps and mattes of the photos, made by python -m data.synthetic.maps; without them there are no "
        "regions, only whole photos",
    )
    add(
        "--still-photos",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="names of photos in which nothing should move, such as 'house_*'",
    )
    add_checkpoint_option(parser)
    add("--samples", type=count, default=2, help="samples of each photo (default: 2)")
    add("--steps", type=step_count, metavar="N", help=STEPS)
    add("--guidance", type=guidance, metavar="W", help=GUIDANCE)
    add("--output", type=Path, metavar="DIR", help="folder for a CSV of each photo's values and a sheet to look at")
    add_common_options(parser)


def add_ablation_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py ablation``."""
    add_data_options(parser)
    add = parser.add_argument
    add(
        "--output",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder of the rows' runs; an ablation that is there already is resumed",
    )
    add("--preset", choices=PRESETS, default="default", help="network and training (default: default)")
    add("--rows", type=names(None), metavar="A,B,...", help="rows to train and score (default: all)")
    add("--max-steps", type=count, metavar="N", help="steps of each training stage, in place of the preset's")
    add(
        "--run",
        type=named_folder,
        action="append",
        default=[],
        metavar="ROW=CHECKPOINT",
        help="score this checkpoint as a row instead of training it; may be given several times",
    )
    add("--metrics", type=names(None), metavar="A,B,...", help=ALL_COLUMNS)
    add_sampling_options(parser)


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py compare``."""
    parser.add_argument("first", type=Path, metavar="A.json", help="a report of evaluate.py")
    add = parser.add_argument
    add("second", type=Path, nargs="?", metavar="B.json", help="another report of the same table")
    add("--against", metavar="ROW", help="compare the other rows of A.json with this one, in place of B.json")
    add_seed_option(parser)
    add_report_option(parser)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """The options that the tables of one checkpoint share."""
    add_data_options(parser)
    add = parser.add_argument
    add("--output", type=Path, metavar="DIR", help="folder for per-sequence CSV, plots and videos to look at")
    add("--html", type=Path, metavar="FILE.html", help="one self-contained page with tables, plots and clips")
    add(
        "--group",
        type=grouping,
        action="append",
        default=[],
        dest="groups",
        metavar="COLUMN",
        help="figures of each group of sequences as well: a column of the manifest, or FILE.csv:COLUMN of a file whose "
        "column id, source or file names the sequences or their videos; may be given several times",
    )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that all tables share."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="dataset folder written by data.prepare")
    add("--split", default="test", choices=SPLITS, help="split to evaluate (default: %(default)s)")
    add_checkpoint_option(parser)
    add(
        "--weights",
        type=Path,
        metavar="DIR",
        help="folder with metric weights (default: where `python -m evaluation.networks fetch` puts them)",
    )
    add("--max-sequences", type=count, metavar="N", help="at most N sequences of each source video (default: all)")
    add_common_options(parser)


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """The weights that are judged."""
    parser.add_argument(
        "--checkpoint",
        default=PRETRAINED,
        metavar="DIR",
        help="weights to evaluate (default: those that come with the repository)",
    )


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """How the motion model is sampled and its motion rendered."""
    add = parser.add_argument
    add(
        "--samples",
        type=count,
        default=5,
        help="samples of each photo, for motion and diversity; the first one is rendered for the distances between "
        "sets (default: 5)",
    )
    add("--steps", type=step_count, metavar="N", help=STEPS)
    add_guidance_options(parser)
    add("--renderer", choices=RENDERERS, default="model", help="what turns motion into frames (default: model)")
    add("--no-intervals", action="store_true", help="leave out confidence intervals of FID, FVD and the like (faster)")


def add_guidance_options(parser: argparse.ArgumentParser) -> None:
    """Guidance, and how much of the measured motion takes part."""
    add = parser.add_argument
    add("--guidance", type=guidance, metavar="W", help=GUIDANCE)
    add(
        "--num-frequencies",
        type=count,
        default=16,
        metavar="K",
        help="lowest frequencies of the measured motion that are used (default: 16)",
    )


# From arguments to options --------------------------------------------------------------------------------------------


def rendering_options(arguments: argparse.Namespace) -> RenderingOptions:
    """What ``evaluate.py rendering`` was asked for."""
    return options_of(RenderingOptions, arguments)


def motion_options(arguments: argparse.Namespace) -> MotionOptions:
    """What ``evaluate.py motion`` was asked for."""
    return options_of(
        MotionOptions,
        arguments,
        method_checkpoints=tuple(arguments.method_checkpoint),
        videos=tuple(arguments.videos),
        intervals=not arguments.no_intervals,
    )


def sampling_options(arguments: argparse.Namespace) -> SamplingOptions:
    """What ``evaluate.py sampling`` was asked for."""
    asked = arguments.samplers or map(sampler_steps, DEFAULT_SAMPLERS)
    samplers = tuple(row for rows in asked for row in rows)
    return options_of(SamplingOptions, arguments, samplers=samplers, intervals=not arguments.no_intervals)


def stillness_options(arguments: argparse.Namespace) -> StillnessOptions:
    """What ``evaluate.py stillness`` was asked for."""
    return options_of(StillnessOptions, arguments)


def ablation_options(arguments: argparse.Namespace) -> AblationOptions:
    """What ``evaluate.py ablation`` was asked for."""
    given = tuple(arguments.run)
    return options_of(AblationOptions, arguments, given=given, intervals=not arguments.no_intervals)


# Argument types -------------------------------------------------------------------------------------------------------


def names(known: Iterable[str] | None) -> Callable[[str], tuple[str, ...]]:
    """Type of a comma-separated list of names, of the known ones where those are given."""
    expected = tuple(known or ())

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in found if expected and name not in expected]
        if unknown or not found:
            raise argparse.ArgumentTypeError(f"{text!r}: expected some of {', '.join(expected or ('names',))}")
        return found

    return parse


def sampler_steps(text: str) -> list[tuple[str, int]]:
    """``ddim:20,50`` -> [("ddim", 20), ("ddim", 50)]."""
    name, _, steps = text.partition(":")
    given = [number.strip() for number in steps.split(",")]
    if name not in SAMPLERS or not all(re.fullmatch("[0-9]{1,4}", number) and int(number) > 0 for number in given):
        message = "is not NAME:STEPS,... with whole numbers above 0 and one of"
        raise argparse.ArgumentTypeError(f"{text!r} {message} {', '.join(SAMPLERS)}")
    return [(name, int(number)) for number in given]


def named_folder(text: str) -> tuple[str, Path]:
    """``NAME=FOLDER`` -> (NAME, FOLDER)."""
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)
