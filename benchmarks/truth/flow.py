"""True error of the flow estimators: on sequences whose flow is exact, such as simulated ones.

For each later frame that the files hold, the flow from the first frame is estimated and compared with the exact one.
Places are told apart: what is still seen in the later frame, what is hidden there, what moves, and what stands still.

Examples:
  python -m data.simulated --output simulated --scenes 50
  python -m benchmarks.truth.flow simulated
  python -m benchmarks.truth.flow simulated --estimators coarse2fine dis --report truth.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.output_paths import check_paths
from data.flow.comparison import NO_FLOW, installed_estimators
from data.flow.estimators import ESTIMATORS
from data.flow.interface import Flow

MOVING = 0.5  # pixels, above which a place moves
OUTLIER = 1.0  # pixels of error
Errors = dict[str, float | None]  # None where a scene has no such places
PLACES = ("all", "seen", "moving", "still", "hidden")


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    parser = benchmark_parser("truth.flow", __doc__, threads=1)
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset folder with exact flow")
    parser.add_argument("--estimators", nargs="+", choices=tuple(ESTIMATORS), metavar="NAME", help="default: installed")
    return run_script(measure, parser.parse_args(argv))


def measure(arguments: argparse.Namespace) -> None:
    """Print the table of the estimators and write the report."""
    from tqdm import tqdm

    from data.flow.estimators import estimate_flow

    require_cpu(arguments.device)
    check_paths(inputs=[arguments.dataset], files=[arguments.report])
    installed, missing = installed_estimators(arguments.estimators)
    names, scenes = (NO_FLOW, *installed), list(exact_scenes(arguments.dataset))
    errors: dict[str, list[Errors]] = {name: [] for name in names}
    for _, first, frames, truth, hidden in tqdm(scenes, unit=" scenes", dynamic_ncols=True):
        for name in names:
            flow = np.zeros_like(truth)
            if name != NO_FLOW:
                flow = estimate_flow(first, frames, estimator=name, num_threads=arguments.threads)
            errors[name].append(scene_errors(flow, truth, hidden))
    table = {name: mean_over_scenes(rows) for name, rows in errors.items()}
    print(f"Mean endpoint error in pixels, {len(scenes)} scenes of {arguments.dataset}:\n")
    print(format_table(table))
    for reason in missing.values():
        print(f"not available: {reason}")
    ids = [scene[0] for scene in scenes]
    results: dict[str, Any] = {"table": table, "scenes": {"ids": ids, "errors": errors}, "estimators": installed}
    write_report(arguments.report, "benchmarks.truth.flow", arguments, {"results": results})


def exact_scenes(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray, Flow, np.ndarray]]:
    """(id, first frame [H, W, 3], later frames [M, H, W, 3], exact flow [M, H, W, 2], hidden [M, H, W]) of each.

    Raises:
        ValueError: the folder has no sequence with exact flow and a mask of what is hidden.
    """
    from data.dataset.manifest import iterate_manifest
    from data.dataset.sequence_file import read_sequence, sequence_path

    found = False
    for row in iterate_manifest(folder):
        if row["status"] == "kept" and row.get("estimator") == "exact" and row["stored_frames"]:
            tensors = read_sequence(sequence_path(folder, row["id"]))
            if "hidden" in tensors:
                found = True
                first = tensors["first_frame"].permute(1, 2, 0).contiguous().numpy()
                frames = tensors["frames"].permute(0, 2, 3, 1).contiguous().numpy()
                flows = tensors["flows"].permute(0, 2, 3, 1).float().contiguous().numpy()
                yield row["id"], first, frames, flows, tensors["hidden"].numpy()
    if not found:
        raise ValueError(f"{folder}: no sequence with exact flow; make some with python -m data.simulated")


def scene_errors(flow: Flow, truth: Flow, hidden: np.ndarray) -> Errors:
    """Mean endpoint error in each of `PLACES`, and the share of ``outliers`` among what is seen.

    Args:
        flow, truth: [M, H, W, 2] in pixels.
        hidden: bool [M, H, W], what is not seen in the later frame.
    """
    error = np.linalg.norm(flow.astype(np.float64) - truth, axis=-1)
    moves = np.linalg.norm(truth, axis=-1) > MOVING
    masks = {"all": np.ones_like(hidden), "seen": ~hidden, "moving": moves & ~hidden, "still": ~moves & ~hidden}
    masks["hidden"] = hidden
    means = {name: float(error[mask].mean()) if mask.any() else None for name, mask in masks.items()}
    return {**means, "outliers": None if hidden.all() else float((error > OUTLIER)[~hidden].mean())}


def mean_over_scenes(rows: list[Errors]) -> Errors:
    """Means over the scenes that have such places, and ``standard_error`` of the mean over all places."""
    means: Errors = {}
    for name in (*PLACES, "outliers"):
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    every = [value for row in rows if (value := row["all"]) is not None]
    deviation = float(np.std(every, ddof=1)) if len(every) > 1 else 0.0
    return {**means, "standard_error": deviation / float(np.sqrt(len(every)))}


def format_table(table: Mapping[str, Errors]) -> str:
    """The table in Markdown."""
    heads = ["estimator", "all ± standard error", *PLACES[1:], f"seen, over {OUTLIER:g} px"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, row in table.items():
        cells = [_cell(row[place], ".3f") for place in PLACES]
        cells[0] += f" ± {row['standard_error']:.3f}"
        lines.append("| " + " | ".join([name, *cells, _cell(row["outliers"], ".1%")]) + " |")
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
