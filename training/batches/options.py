"""Options that both training scripts have: datasets and their shares, validation folders, how often to save."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path

CACHE_LIMIT = 4e9  # bytes of a dataset kept in memory; larger ones are read as training goes


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """``--data``, ``--shares`` and ``--validation``."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="DATASET", help="dataset folders: film, layered photos")
    add("--shares", type=parse_shares, help="of each folder in the batches, such as 0.7,0.3 (default: equal ones)")
    add("--validation", type=Path, nargs="+", metavar="DATASET",
        help="folders whose validation split is evaluated on (default: those of --data that have one)")  # fmt: skip


def add_saving_options(parser: argparse.ArgumentParser) -> None:
    """``--save-every`` and ``--evaluate-every``."""
    add = parser.add_argument
    add("--save-every", type=float, default=3.0, metavar="MINUTES", help="how often the state is saved (default: 3)")
    add("--evaluate-every", type=int, default=500, metavar="N", help="steps between evaluations (default: 500)")


def parse_shares(text: str) -> list[float]:
    """``0.5,0.5`` -> [0.5, 0.5]."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are not numbers separated by commas, such as 0.5,0.5") from None


def check_numbers(arguments: argparse.Namespace, positive: Iterable[str], not_negative: Iterable[str] = ()) -> None:
    """Refuse numbers that make no sense, by their attributes' names; None passes."""
    rules = [(name, "be positive") for name in positive] + [(name, "not be negative") for name in not_negative]
    for name, rule in rules:
        value = getattr(arguments, name)
        if value is None or (math.isfinite(value) and (value > 0 or (value == 0 and rule == "not be negative"))):
            continue
        raise ValueError(f"--{name.replace('_', '-')} {value}: must {rule}")


def check_shares(arguments: argparse.Namespace) -> None:
    """Refuse ``--shares`` that are not one for each folder of ``--data``."""
    if arguments.shares and len(arguments.shares) != len(arguments.data):
        raise ValueError(f"--shares: {len(arguments.shares)} for {len(arguments.data)} folders of --data")


def available_splits(folder: Path) -> list[str]:
    """Splits of a dataset folder that hold sequences, in the order train, validation, test."""
    from data.dataset.manifest import load_manifest

    there = {row["split"] for row in load_manifest(folder) if row["status"] == "kept"}
    return [split for split in ("train", "validation", "test") if split in there]


def input_paths(arguments: argparse.Namespace) -> list[Path | None]:
    """Files and folders that a training reads, None for what was not given."""
    single = (getattr(arguments, name, None) for name in ("init", "weights", "vgg_weights", "image_encoder"))
    return [*arguments.data, *(arguments.validation or ()), *single]


def validation_folders(arguments: argparse.Namespace) -> list[Path]:
    """Folders to evaluate on: those of ``--validation``, else those of ``--data`` that have a validation split."""
    if arguments.validation is not None:
        return arguments.validation
    return [folder for folder in arguments.data if "validation" in available_splits(folder)]
