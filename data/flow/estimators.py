"""One interface over the optical flow estimators that a dataset can be prepared with.

`ESTIMATORS` lists them; its keys are the choices of ``python -m data.prepare --flow``.
``python -m data.flow compare CLIP...`` shows what they cost and how they differ (`data.flow.comparison`), and
``python -m data.flow middlebury FOLDER`` measures errors against known flow (`data.flow.middlebury`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.flow.coarse2fine.estimator import (
    coarse2fine_cuda_parameters,
    coarse2fine_parameters,
    solve_coarse2fine,
    solve_coarse2fine_cuda,
)
from data.flow.interface import Flow, Images, Progress, Solve
from data.flow.opencv import deepflow_parameters, dis_parameters, solve_deepflow, solve_dis
from data.flow.pyflow_package import pyflow_parameters, solve_pyflow
from data.flow.raft import raft_parameters, solve_raft


@dataclass(frozen=True)
class Estimator:
    """An entry of `ESTIMATORS`."""

    solve: Solve
    parameters: Callable[[], dict[str, Any]]  # what results depend on; ValueError: what is missing and how to get it


ESTIMATORS = {
    "coarse2fine": Estimator(solve_coarse2fine, coarse2fine_parameters),
    "coarse2fine-cuda": Estimator(solve_coarse2fine_cuda, coarse2fine_cuda_parameters),
    "pyflow": Estimator(solve_pyflow, pyflow_parameters),
    "dis": Estimator(solve_dis, dis_parameters),
    "deepflow": Estimator(solve_deepflow, deepflow_parameters),
    "raft": Estimator(solve_raft, raft_parameters),
}
DEFAULT_ESTIMATOR = "coarse2fine"


def estimate_flow(
    source: Images,
    targets: Images,
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    num_threads: int = 1,
    progress: Progress = None,
) -> Flow:
    """Flow from one image to each of N others.

    Args:
        source: uint8 ``[H, W, 3]``, RGB.
        targets: uint8 ``[N, H, W, 3]``.
        estimator: a key of `ESTIMATORS`.
        num_threads: pairs, or groups of pairs, estimated at once; the result does not depend on it.
        progress: called with the number of targets just finished (for example `tqdm.update`).

    Returns:
        ``[N, H, W, 2]`` float32 in pixels, x right and y down: ``targets[n, y + v, x + u]`` looks like
        ``source[y, x]``.

    Raises:
        ValueError: unknown estimator, one that is not installed (with how to get it), or unusable images.
    """
    source, targets = np.asarray(source), np.asarray(targets)
    if source.ndim != 3 or source.shape[2] != 3 or targets.shape[1:] != source.shape or targets.ndim != 4:
        raise ValueError(
            f"expected a source [H, W, 3] and targets [N, H, W, 3], got {source.shape} and {targets.shape}"
        )
    return _solve(source[None], targets, estimator=estimator, num_threads=num_threads, progress=progress)


def estimate_flow_pairs(
    sources: Images,
    targets: Images,
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    num_threads: int = 1,
    progress: Progress = None,
) -> Flow:
    """Flow of N pairs that share nothing: from ``sources[n]`` to ``targets[n]``, both uint8 ``[N, H, W, 3]``.

    Otherwise as `estimate_flow`, which is faster where the pairs have one source.
    """
    sources, targets = np.asarray(sources), np.asarray(targets)
    if sources.ndim != 4 or sources.shape[3] != 3 or targets.shape != sources.shape:
        raise ValueError(f"expected sources and targets [N, H, W, 3], got {sources.shape} and {targets.shape}")
    return _solve(sources, targets, estimator=estimator, num_threads=num_threads, progress=progress)


def estimator_parameters(name: str) -> dict[str, Any]:
    """What a manifest should record of an estimator: parameters, versions, the hash of weights; fit for JSON.

    Raises:
        ValueError: unknown estimator, or one that is not installed, with how to get it.
    """
    _expect_estimator(name)
    return ESTIMATORS[name].parameters()


def _solve(sources: Images, targets: Images, *, estimator: str, num_threads: int, progress: Progress) -> Flow:
    _expect_estimator(estimator)
    if sources.dtype != np.uint8 or targets.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {sources.dtype} and {targets.dtype}")
    if 0 in targets.shape[1:3]:
        raise ValueError(f"images without pixels have no flow, got {targets.shape[2]} x {targets.shape[1]}")
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    if len(targets) == 0:
        return np.empty((*targets.shape[:3], 2), np.float32)
    return ESTIMATORS[estimator].solve(sources, targets, num_threads=num_threads, progress=progress)


def _expect_estimator(name: str) -> None:
    if name not in ESTIMATORS:
        raise ValueError(f"unknown flow estimator {name!r}; choose one of {', '.join(ESTIMATORS)}")
