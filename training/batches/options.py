"""Options that training scripts have: datasets and their shares, validation folders, how a run is carried out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.option_types import count, few, not_negative, number, numbers

CACHE_LIMIT = 4e9  # bytes of a dataset kept in memory; larger ones are read as training goes


@dataclass(frozen=True)
class DataOptions:
    """Which dataset folders are trained and evaluated on."""

    folders: tuple[Path, ...]
    shares: tuple[float, ...] | None = None  # share of each folder in the batches; equal by default
    validation: tuple[Path, ...] | None = None  # folders whose validation split is evaluated on
    all_splits: bool = False  # train on validation and test sequences too

    def __post_init__(self) -> None:
        if self.shares is not None and len(self.shares) != len(self.folders):
            raise ValueError(f"--shares: {len(self.shares)} for {len(self.folders)} folders of --data")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> DataOptions:
        """From the options of :func:`add_data_options`."""
        return cls(
            folders=tuple(arguments.data),
            shares=None if arguments.shares is None else tuple(arguments.shares),
            validation=None if arguments.validation is None else tuple(arguments.validation),
            all_splits=getattr(arguments, "all_splits", False),
        )

    @property
    def names(self) -> list[str]:
        """Names of the dataset folders, for the checkpoint."""
        return [folder.name for folder in self.folders]

    def item_weights(self, sizes: Sequence[int]) -> list[float]:
        """How often to draw each item of folders that hold so many, relative to others, for the folders' shares."""
        shares = self.shares or [1.0] * len(self.folders)
        return [share / size for share, size in zip(shares, sizes, strict=True) for _ in range(size)]

    def validation_folders(self) -> list[Path]:
        """Folders to evaluate on: those asked for, else those trained on that have a validation split."""
        if self.validation is not None:
            return list(self.validation)
        return [folder for folder in self.folders if "validation" in available_splits(folder)]


def add_data_options(
    parser: argparse.ArgumentParser, *, data: str = "dataset folders, such as film and layered photos"
) -> None:
    """``--data``, described by a text of its own, ``--shares`` and ``--validation``."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="DATASET", help=data)
    add(
        "--shares",
        type=parse_shares,
        help="share of each folder in the batches, such as 0.7,0.3 (default: equal shares)",
    )
    add(
        "--validation",
        type=Path,
        nargs="+",
        metavar="DATASET",
        help="folders whose validation split is used for evaluation (default: those of --data that have one)",
    )


def add_run_options(
    parser: argparse.ArgumentParser, *, goals: tuple[str, ...], logs: tuple[str, ...] = ("csv", "tensorboard")
) -> None:
    """``--gradient-accumulation``, ``--save-every``, ``--evaluate-every``, ``--keep-best`` and ``--log``.

    Args:
        goals: choices of ``--keep-best``.
        logs: choices of ``--log``.
    """
    add = parser.add_argument
    add(
        "--gradient-accumulation",
        type=few,
        default=1,
        metavar="N",
        help="divide each process's share of a batch into N parts, whose gradients are added up (default: 1)",
    )
    add(
        "--save-every",
        type=not_negative,
        default=3.0,
        metavar="MINUTES",
        help="minutes between saved states (default: 3)",
    )
    add("--evaluate-every", type=count, default=500, metavar="N", help="steps between evaluations (default: 500)")
    add(
        "--keep-best",
        choices=goals,
        help="also keep the checkpoint that validates best by this, in best/ of the run folder or of its stage",
    )
    add(
        "--log",
        choices=logs,
        default="csv",
        help="csv: only tables (default); tensorboard: also scalars and pictures in OUTPUT/tensorboard"
        + ("; wandb: these are sent to Weights & Biases as well" if "wandb" in logs else ""),
    )


def add_precision_option(parser: argparse.ArgumentParser) -> None:
    """``--precision``, of the forward pass."""
    parser.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="precision of the forward pass (default: auto, bfloat16 where the hardware is made for it)",
    )


parse_shares = numbers(number(1e-6, 1e6), "0.5,0.5")


def available_splits(folder: Path) -> list[str]:
    """Splits of a dataset folder that hold sequences, in the order train, validation, test."""
    from data.dataset.manifest import load_manifest

    there = {row["split"] for row in load_manifest(folder) if row["status"] == "kept"}
    return [split for split in ("train", "validation", "test") if split in there]


def input_paths(arguments: argparse.Namespace) -> list[Path | None]:
    """Files and folders that a training reads, None for what was not given."""
    single = (getattr(arguments, name, None) for name in ("init", "distill", "weights", "vgg_weights", "image_encoder"))
    return [*arguments.data, *(arguments.validation or ()), *single]
