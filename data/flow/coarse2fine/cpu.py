"""The coarse-to-fine flow on the CPU, from one image to many or of pairs: sixteen at once, one a SIMD lane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.flow.coarse2fine.parameters import (
    Images,
    Parameters,
    Progress,
    expect_count,
    expect_images,
    expect_pairs,
)


def coarse2fine_flow_batch(
    source: NDArray[Any],
    targets: Images,
    *,
    parameters: Parameters = Parameters(),  # noqa: B008 - frozen
    num_threads: int = 1,
    progress: Progress = None,
) -> NDArray[np.float32]:
    """Flow from one image to each of N others; a pair's flow depends neither on N nor on the threads.

    Args:
        source: ``[H, W, 3]`` (or ``[H, W]``, ``[H, W, 1]`` with ``color_type`` 1) float in [0, 1].
        targets: ``[N, H, W, 3]``, or as the source.
        num_threads: groups of 16 targets solved at once. A group needs about 1.7 KB a pixel: 70 MB at 256x160.
        progress: called after each group with the number of targets it finished (for example `tqdm.update`).

    Returns:
        ``[N, H, W, 2]`` float32 in pixels, x right and y down: ``targets[n, y + v, x + u]`` looks like
        ``source[y, x]``.

    Raises:
        ValueError: images of different or unusable shape, values that are not finite.
    """
    expect_count("num_threads", num_threads)
    first, others = expect_images(source, targets, parameters.color_type)
    from data.flow.coarse2fine.groups import solve_groups

    return solve_groups(first[None], others, parameters=parameters, num_threads=num_threads, progress=progress)


def coarse2fine_flow_pairs(
    sources: Images,
    targets: Images,
    *,
    parameters: Parameters = Parameters(),  # noqa: B008 - frozen
    num_threads: int = 1,
    progress: Progress = None,
) -> NDArray[np.float32]:
    """Flow of N pairs of images that share nothing: what `coarse2fine_flow_batch` gives for each, to the last bit.

    For pairs of one source, `coarse2fine_flow_batch` is faster and needs a third of the memory.

    Args:
        sources: ``[N, H, W, 3]`` float in [0, 1].
        targets: ``[N, H, W, 3]``: ``targets[n]`` belongs to ``sources[n]``.
        num_threads: groups of 16 pairs solved at once. A group needs about 4.5 KB a pixel: 180 MB at 256x160.
        progress: called after each group with the number of pairs it finished.

    Returns:
        ``[N, H, W, 2]`` float32 in pixels.

    Raises:
        ValueError: as in `coarse2fine_flow_batch`.
    """
    expect_count("num_threads", num_threads)
    first, second = expect_pairs(sources, targets, parameters.color_type)
    from data.flow.coarse2fine.groups import solve_groups

    return solve_groups(first, second, parameters=parameters, num_threads=num_threads, progress=progress)
