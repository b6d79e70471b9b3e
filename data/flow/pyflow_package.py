"""pathak22's package pyflow as an estimator, where somebody has built it: ``--flow pyflow``.

It is the C++ implementation of the algorithm in `data.flow.coarse2fine`. `data.flow.like_pyflow` is something else: our
own implementation under pyflow's call.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np

from data.flow.coarse2fine.parameters import Parameters
from data.flow.interface import Flow, Images, Progress, pairs_of


def solve_pyflow(sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
    """Flow by pyflow, pair by pair: it holds the interpreter lock, so that threads would not help it."""
    estimate = _pyflow().coarse2fine_flow
    parameters = tuple(asdict(Parameters()).values())
    flows = np.empty((*targets.shape[:3], 2), np.float32)
    for index, (source, target) in enumerate(pairs_of(sources, targets)):
        u, v, _ = estimate(source.astype(np.float64) / 255, target.astype(np.float64) / 255, *parameters)
        flows[index, ..., 0], flows[index, ..., 1] = u, v
        if progress is not None:
            progress(1)
    return flows


def pyflow_parameters() -> dict[str, Any]:
    """Parameters, and pyflow's version if it was installed as a package."""
    _pyflow()
    try:
        return {**asdict(Parameters()), "pyflow": version("pyflow")}
    except PackageNotFoundError:  # built in its own folder, as its instructions say
        return asdict(Parameters())


def _pyflow() -> ModuleType:
    where = "build it from github.com/pathak22/pyflow, or use coarse2fine: the same algorithm, many times faster"
    try:
        import pyflow
    except ImportError as error:
        raise ValueError(f"pyflow is not installed; {where}") from error
    if not hasattr(pyflow, "coarse2fine_flow"):
        raise ValueError(
            f"the installed pyflow has no coarse2fine_flow: PyPI's package of that name is an unrelated tool; {where}"
        )
    return pyflow
