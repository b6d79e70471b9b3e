"""Scenes whose later frames come with exact flow, such as simulated ones, and a table of means over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Figures = dict[str, float | None]  # None where a scene has no such places
MOVING = 0.5  # pixels, above which a place moves


@dataclass(frozen=True)
class ExactScene:
    """One sequence: tensors as they lie in its file."""

    id: str
    first: Tensor  # uint8 [3, H, W]
    frames: Tensor  # uint8 [M, 3, H, W], later ones
    flow: Tensor  # [M, 2, H, W] in pixels, from the first frame to each
    backward_flow: Tensor  # [M, 2, H, W] in pixels, from each to the first frame
    hidden: Tensor  # bool [M, H, W], what of the first frame is not seen in the later one
    volume: Tensor  # [K, 4, H, W], the spectral volume


def exact_scenes(folder: Path) -> Iterator[ExactScene]:
    """The scenes of a dataset folder that have exact flow and a mask of what is hidden.

    Raises:
        ValueError: there is none.
    """
    from data.dataset.manifest import iterate_manifest
    from data.dataset.sequence_file import read_sequence, sequence_path

    found = False
    for row in iterate_manifest(folder):
        if row["status"] == "kept" and row.get("estimator") == "exact" and row["stored_frames"]:
            tensors = read_sequence(sequence_path(folder, row["id"]))
            if "hidden" in tensors:
                found = True
                yield ExactScene(
                    id=row["id"],
                    first=tensors["first_frame"],
                    frames=tensors["frames"],
                    flow=tensors["flows"].float(),
                    backward_flow=tensors["backward_flows"].float(),
                    hidden=tensors["hidden"],
                    volume=tensors["spectral_volume"].float(),
                )
    if not found:
        raise ValueError(f"{folder}: no sequence with exact flow; make some with python -m data.simulated")


def mean_over_scenes(rows: Sequence[Figures], *, names: Sequence[str], first: str) -> Figures:
    """Means over the scenes that have such places, and ``standard_error`` of the mean of ``first``."""
    means: Figures = {}
    for name in names:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    every = [value for row in rows if (value := row[first]) is not None]
    deviation = float(np.std(every, ddof=1)) if len(every) > 1 else 0.0
    return {**means, "standard_error": deviation / float(np.sqrt(len(every)))}


def format_table(table: Mapping[str, Figures], *, row_head: str, columns: Mapping[str, tuple[str, str]]) -> str:
    """The table in Markdown.

    Args:
        columns: head and format of each figure; the first one comes with its standard error.
    """
    names = list(columns)
    heads = [columns[name][0] for name in names]
    heads[0] += " ± standard error"
    lines = ["| " + " | ".join([row_head, *heads]) + " |", "|" + "---|" * (len(heads) + 1)]
    for name, row in table.items():
        cells = ["-" if (value := row[key]) is None else format(value, columns[key][1]) for key in names]
        cells[0] += f" ± {row['standard_error']:{columns[names[0]][1]}}"
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)
