"""Planning a splat on the CPU in compiled loops: the result of :mod:`models.splatting.sorted` in a fifth of the time.

A counting sort orders the corners of each image by target: it counts how many land on each target, computes where each
target's entries begin, and puts every corner into its place. Images are independent, so threads divide them among
themselves and the result does not depend on the number of threads. numba compiles the loops at the first call and
caches them. Without numba, and for tensors that are not on the CPU, the sorted form is used.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from models.splatting.reference import MODES


def plan(
    flow: Tensor, importance: Tensor | None, *, mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`models.splatting.operators.plan`; an image's entries are in the order of its pixels."""
    batch, _, height, width = flow.shape
    size = batch * height * width
    begin = torch.zeros(size + 1, dtype=torch.int32)
    source = torch.empty(4 * size, dtype=torch.int32)
    weight, coverage = flow.new_empty(4 * size), flow.new_empty(batch, 1, height, width)
    peak = flow.new_full((size + 1 if mode == "softmax" else 0,), -torch.inf)
    total = flow.new_zeros(size + 1 if mode != "summation" else 0)
    if size == 0:
        return begin, source, weight, peak, total, coverage
    loops = _loops()
    code, pixels = MODES.index(mode), height * width
    vectors, covered = flow.contiguous().numpy(), coverage.view(batch, pixels).numpy()
    # Modes that use no importance need an array of its type, which has no effect.
    levels = (flow[:, 0] if importance is None else importance[:, 0]).contiguous().numpy()
    starts, sources, weights, peaks, totals = (t.numpy() for t in (begin, source, weight, peak, total))

    def of(image: int, values: np.ndarray, more: int = 0) -> np.ndarray:
        return values[image * pixels : (image + 1) * pixels + more]

    def count(image: int) -> None:
        loops.count(vectors[image], levels[image], covered[image], of(image, starts, 1), of(image, peaks), code)

    def fill(image: int) -> None:
        loops.fill(
            vectors[image],
            levels[image],
            of(image, starts, 1),
            sources,
            weights,
            of(image, peaks),
            of(image, totals),
            image * pixels,
            code,
        )

    _for_each(batch, count)
    torch.cumsum(begin, 0, dtype=torch.int32, out=begin)
    _for_each(batch, fill)
    end = int(begin[-1])
    source[end:], weight[end:] = 0, 0  # entries of corners that land nowhere
    return begin, source, weight, peak, total, coverage


@functools.cache
def is_usable() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def _loops() -> ModuleType:
    from models.splatting import loops as softsplat_loops  # imports numba, which takes half a second

    return softsplat_loops


def _for_each(count: int, work: Callable[[int], None]) -> None:
    """Call ``work`` for 0, 1, … by as many threads as PyTorch uses; the loops let go of Python's lock."""
    threads = min(count, torch.get_num_threads())
    if threads == 1:
        for index in range(count):
            work(index)
        return
    list(_pool(threads).map(work, range(count)))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="softsplat")
