"""What every optical flow estimator takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Flow = NDArray[np.float32]
Progress = Callable[[int], object] | None


class Solve(Protocol):
    """An estimator's function. A missing package or weights are a ValueError of one line that says how to get them."""

    def __call__(self, sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
        """Flow ``[N, H, W, 2]`` in pixels.

        Args:
            sources: RGB ``[N, H, W, 3]``, or one source for all targets, ``[1, H, W, 3]``.
            targets: ``[N, H, W, 3]``.
            num_threads: pairs, or groups of pairs, estimated at once; the result does not depend on it.
            progress: called with the number of targets just finished.
        """


def pairs_of(sources: Images, targets: Images) -> zip[tuple[Images, Images]]:
    """Each target with its source, where one source may be for all of them."""
    return zip(np.broadcast_to(sources, targets.shape), targets, strict=True)


def unit_floats(images: Images) -> NDArray[np.float32]:
    """uint8 as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
