"""The coarse-to-fine flow as an estimator of `data.flow.estimators`, on the CPU and on a GPU."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from data.flow.coarse2fine.parameters import Parameters
from data.flow.interface import Flow, Images, Progress, unit_floats


def solve_coarse2fine(sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
    """Flow on the CPU, sixteen pairs at once."""
    from data.flow.coarse2fine.cpu import coarse2fine_flow_batch, coarse2fine_flow_pairs

    if len(sources) == 1:
        first, others = unit_floats(sources[0]), unit_floats(targets)
        return coarse2fine_flow_batch(first, others, num_threads=num_threads, progress=progress)
    return coarse2fine_flow_pairs(
        unit_floats(sources), unit_floats(targets), num_threads=num_threads, progress=progress
    )


def coarse2fine_parameters() -> dict[str, Any]:
    """The algorithm's parameters."""
    return asdict(Parameters())


def solve_coarse2fine_cuda(sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
    """Flow on a GPU, with red-black relaxation; it works on all pairs at once whatever ``num_threads``."""
    from data.flow.coarse2fine.cuda import coarse2fine_flow_batch_cuda, coarse2fine_flow_pairs_cuda

    if len(sources) == 1:
        return coarse2fine_flow_batch_cuda(unit_floats(sources[0]), unit_floats(targets), progress=progress)
    return coarse2fine_flow_pairs_cuda(unit_floats(sources), unit_floats(targets), progress=progress)


def coarse2fine_cuda_parameters() -> dict[str, Any]:
    """Parameters, the order of relaxation and CuPy's version; the kernels are tried on a tiny pair."""
    blank = np.zeros((1, 16, 16, 3), np.uint8)
    solve_coarse2fine_cuda(blank, blank, num_threads=1, progress=None)
    import cupy

    return {**asdict(Parameters()), "order": "red-black", "cupy": cupy.__version__}
