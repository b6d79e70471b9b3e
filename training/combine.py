"""A checkpoint's weights plus what trainings have changed in others: means of runs, a student that follows its teacher.

A checkpoint is written whose weights are ``BASE + sum_i w_i (TUNED_i - FROM_i)``. With a BASE that is each FROM and
weights that sum to one, that is the mean of the tuned weights ("model soups", Wortsman et al. 2022). A student that was
distilled from FROM can take over what FROM has learned since ("task arithmetic", Ilharco et al. 2023). All have to be
of one architecture. Everything but the weights is BASE's.

examples:
  python -m training.combine runs/old --add 0.5 runs/seed_0 runs/old --add 0.5 runs/seed_1 runs/old --output runs/mean
  python -m training.combine runs/student --add 1 runs/tuned runs/teacher --output runs/tuned_student
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.command_line import OneLineParser, run_script
from common.option_types import number
from common.output_paths import check_paths

if TYPE_CHECKING:
    from torch import Tensor


parse_weight = number(-1e6, 1e6)


class _Change(argparse.Action):
    """``W TUNED FROM`` as a number and two paths."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            change = parse_weight(values[0]), Path(values[1]), Path(values[2])
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, f"{error}; two checkpoint folders follow it") from None
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), change])


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(
        "python -m training.combine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="checkpoint folder to change")
    parser.add_argument(
        "--add",
        nargs=3,
        action=_Change,
        required=True,
        metavar=("W", "TUNED", "FROM"),
        help="add W times the difference between two checkpoints; repeat it for several",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="checkpoint folder to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(_combine, build_parser().parse_args(argv))


def _combine(arguments: argparse.Namespace) -> None:
    read = [arguments.base, *(folder for _, *pair in arguments.add for folder in pair)]
    check_paths(folders=[arguments.output], inputs=read)
    combine(arguments.base, arguments.add, arguments.output)
    print(f"{arguments.output}: {arguments.base} and {len(arguments.add)} differences")


def combine(base: Path, changes: Sequence[tuple[float, Path, Path]], output: Path) -> None:
    """Write ``base`` plus weighted differences (weight, tuned, from) to a checkpoint folder.

    Raises:
        ValueError: a folder without a checkpoint, or one of another kind or architecture than ``base``.
    """
    from common.checkpoint import load_checkpoint, load_config, save_checkpoint
    from models.checkpoints import PARTS

    kind = load_config(base, PARTS)["kind"]
    config, start = load_checkpoint(base, kind)
    sums = {name: tensor.double() for name, tensor in start.items() if tensor.is_floating_point()}
    # What trainings have in common, mostly where they began, is read once.
    read = functools.lru_cache(maxsize=2)(functools.partial(_fitting, kind=kind, like=start, base=base))
    for weight, tuned, origin in changes:
        after, before = read(tuned), read(origin)
        for name in sums:
            difference = after[name].double() - before[name].double()
            if difference.isfinite().all():  # a limit that there is none of is infinite, and stays BASE's
                sums[name] += weight * difference
    tensors = {name: sums[name].to(tensor.dtype) if name in sums else tensor for name, tensor in start.items()}
    added = [{"weight": weight, "tuned": tuned.name, "from": origin.name} for weight, tuned, origin in changes]
    training = {**config["training"], "combined": {"base": base.name, "added": added}}
    save_checkpoint(output, kind, model_config=config["model"], tensors=tensors, training=training)


def _fitting(folder: Path, *, kind: str, like: dict[str, Tensor], base: Path) -> dict[str, Tensor]:
    from common.checkpoint import load_checkpoint

    tensors = load_checkpoint(folder, kind)[1]
    other = next((name for name in like if name not in tensors or tensors[name].shape != like[name].shape), None)
    if other is not None or len(tensors) != len(like):
        raise ValueError(f"{folder}: of another architecture than {base} ({other or 'it has more tensors'})")
    return tensors


if __name__ == "__main__":
    sys.exit(main())
