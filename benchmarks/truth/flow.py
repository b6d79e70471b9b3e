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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import benchmark_parser, require_cpu
from benchmarks.truth.scenes import MOVING, Figures, exact_scenes, format_table, mean_over_scenes
from common.command_line import run_script, write_report
from common.output_paths import check_paths
from data.flow.comparison import NO_FLOW, installed_estimators
from data.flow.estimators import ESTIMATORS
from data.flow.interface import Flow

if TYPE_CHECKING:
    from torch import Tensor

OUTLIER = 1.0  # pixels of error
PLACES = ("all", "seen", "moving", "still", "hidden")
COLUMNS = {place: (place, ".3f") for place in PLACES} | {"outliers": (f"seen, over {OUTLIER:g} px", ".1%")}


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
    names, ids = (NO_FLOW, *installed), []
    errors: dict[str, list[Figures]] = {name: [] for name in names}
    for scene in tqdm(exact_scenes(arguments.dataset), unit=" scenes", dynamic_ncols=True):
        ids.append(scene.id)
        first, frames = (_channels_last(pictures).numpy() for pictures in (scene.first, scene.frames))
        truth, hidden = _channels_last(scene.flow).numpy(), scene.hidden.numpy()
        for name in names:
            flow = np.zeros_like(truth)
            if name != NO_FLOW:
                flow = estimate_flow(first, frames, estimator=name, num_threads=arguments.threads)
            errors[name].append(scene_errors(flow, truth, hidden))
    table = {name: mean_over_scenes(rows, names=list(COLUMNS), first="all") for name, rows in errors.items()}
    print(f"Mean endpoint error in pixels, {len(ids)} scenes of {arguments.dataset}:\n")
    print(format_table(table, row_head="estimator", columns=COLUMNS))
    for reason in missing.values():
        print(f"not available: {reason}")
    results: dict[str, Any] = {"table": table, "scenes": {"ids": ids, "errors": errors}, "estimators": installed}
    write_report(arguments.report, "benchmarks.truth.flow", arguments, {"results": results})


def _channels_last(pictures: Tensor) -> Tensor:
    return pictures.movedim(-3, -1).contiguous()


def scene_errors(flow: Flow, truth: Flow, hidden: np.ndarray) -> Figures:
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


if __name__ == "__main__":
    sys.exit(main())
