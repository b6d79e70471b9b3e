"""Coarse-to-fine variational optical flow: Brox et al. (2004) as in Ce Liu, "Beyond Pixels" (2009).

This is the project's own implementation, in float32 with numba, of the algorithm that the widely used `pyflow`
computes, with the same update order. Sixteen pairs are solved together, one a SIMD lane, so a pair of a batch costs far
less than a lone pair. `data.flow.pyflow` offers it under pyflow's own call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.flow.coarse2fine.parameters import Images, Parameters, Progress, _check_count, _check_images, _check_pairs


def coarse2fine_flow(
    im1: NDArray[Any],
    im2: NDArray[Any],
    alpha: float = 0.012,
    ratio: float = 0.75,
    min_width: int = 20,
    num_outer: int = 7,
    num_inner: int = 1,
    num_sor: int = 30,
    color_type: int = 0,
) -> NDArray[np.float32]:
    """Flow from one image to another; for many targets of one image, `coarse2fine_flow_batch` is much faster.

    Args:
        im1: ``[H, W, 3]`` (or ``[H, W]``, ``[H, W, 1]`` with ``color_type`` 1) float in [0, 1].
        im2: the same shape.
        alpha: weight of the smoothness term.
        ratio: size of a pyramid level over that of the next finer one, between 0 and 1.
        min_width: width in pixels at which the pyramid ends.
        num_outer: warps at the finest level; each coarser level has one more.
        num_inner: re-weightings between warps.
        num_sor: relaxation sweeps at the finest level; each coarser level has three more.
        color_type: 0 matches brightness, its gradient and two colour differences; 1 brightness and gradient only.

    Returns:
        ``[H, W, 2]`` float32 in pixels, x right and y down: ``im2[y + v, x + u]`` looks like ``im1[y, x]``.

    Raises:
        ValueError: images of different or unusable shape, values that are not finite, parameters out of range.
    """
    if np.shape(im1) != np.shape(im2):
        raise ValueError(f"both images must have one shape, got {np.shape(im1)} and {np.shape(im2)}")
    targets = np.asarray(im2)[None]
    return coarse2fine_flow_batch(im1, targets, alpha, ratio, min_width, num_outer, num_inner, num_sor, color_type)[0]


def coarse2fine_flow_batch(
    source: NDArray[Any],
    targets: Images,
    alpha: float = 0.012,
    ratio: float = 0.75,
    min_width: int = 20,
    num_outer: int = 7,
    num_inner: int = 1,
    num_sor: int = 30,
    color_type: int = 0,
    num_threads: int = 1,
    progress: Progress = None,
) -> NDArray[np.float32]:
    """Flow from one image to each of N others: what `coarse2fine_flow` gives for each, whatever N and the threads.

    Args:
        source: ``[H, W, 3]`` float in [0, 1]; other parameters as in `coarse2fine_flow`.
        targets: ``[N, H, W, 3]``.
        num_threads: groups of 16 targets solved at once. A group needs about 1.7 KB a pixel: 70 MB at 256x160.
        progress: called after each group with the number of targets it finished (for example `tqdm.update`).

    Returns:
        ``[N, H, W, 2]`` float32 in pixels.

    Raises:
        ValueError: as in `coarse2fine_flow`.
    """
    parameters = Parameters(alpha, ratio, min_width, num_outer, num_inner, num_sor, color_type)
    _check_count("num_threads", num_threads)
    first, others = _check_images(source, targets, color_type)
    from data.flow.coarse2fine.groups import solve_groups

    return solve_groups(first[None], others, parameters, num_threads, progress)


def coarse2fine_flow_pairs(
    sources: Images,
    targets: Images,
    alpha: float = 0.012,
    ratio: float = 0.75,
    min_width: int = 20,
    num_outer: int = 7,
    num_inner: int = 1,
    num_sor: int = 30,
    color_type: int = 0,
    num_threads: int = 1,
    progress: Progress = None,
) -> NDArray[np.float32]:
    """Flow of N pairs of images that share nothing: what `coarse2fine_flow` gives for each, to the last bit.

    For pairs of one source, `coarse2fine_flow_batch` is faster and needs a third of the memory.

    Args:
        sources: ``[N, H, W, 3]`` float in [0, 1]; other parameters as in `coarse2fine_flow`.
        targets: ``[N, H, W, 3]``: ``targets[n]`` belongs to ``sources[n]``.
        num_threads: groups of 16 pairs solved at once. A group needs about 4.5 KB a pixel: 180 MB at 256x160.
        progress: called after each group with the number of pairs it finished.

    Returns:
        ``[N, H, W, 2]`` float32 in pixels.

    Raises:
        ValueError: as in `coarse2fine_flow`.
    """
    parameters = Parameters(alpha, ratio, min_width, num_outer, num_inner, num_sor, color_type)
    _check_count("num_threads", num_threads)
    first, second = _check_pairs(sources, targets, color_type)
    from data.flow.coarse2fine.groups import solve_groups

    return solve_groups(first, second, parameters, num_threads, progress)
