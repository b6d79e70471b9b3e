"""OpenCV's estimators: dense inverse search and DeepFlow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from data.flow.interface import Flow, Images, Progress

DIS_MIN_SIDE = 16  # pixels; below, its pyramid has no level


def solve_dis(sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
    """OpenCV's dense inverse search (Kroeger et al. 2016), preset medium."""
    import cv2

    height, width = targets.shape[1:3]
    if min(height, width) < DIS_MIN_SIDE:
        raise ValueError(f"dis needs images of at least {DIS_MIN_SIDE} x {DIS_MIN_SIDE} pixels, got {width} x {height}")

    def create() -> Any:
        return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    return _solve_pairs(create, sources, targets, num_threads=num_threads, progress=progress)


def dis_parameters() -> dict[str, Any]:
    """Preset, and OpenCV's version."""
    import cv2

    return {"preset": "medium", "opencv": cv2.__version__}


def solve_deepflow(sources: Images, targets: Images, *, num_threads: int, progress: Progress) -> Flow:
    """DeepFlow (Weinzaepfel et al. 2013) of OpenCV's contrib modules, which leaves deep matching out."""
    return _solve_pairs(_deepflow(), sources, targets, num_threads=num_threads, progress=progress)


def deepflow_parameters() -> dict[str, Any]:
    """OpenCV's version: DeepFlow runs with its own settings."""
    import cv2

    _deepflow()
    return {"opencv": cv2.__version__}


def _deepflow() -> Callable[[], Any]:
    import cv2

    create = getattr(getattr(cv2, "optflow", None), "createOptFlow_DeepFlow", None)
    if create is None:
        raise ValueError(
            "deepflow needs OpenCV's contrib modules: pip uninstall opencv-python-headless, then "
            f"pip install 'opencv-contrib-python-headless=={cv2.__version__}.*'"
        )
    return create


def _solve_pairs(
    create: Callable[[], Any], sources: Images, targets: Images, *, num_threads: int, progress: Progress
) -> Flow:
    """Run an OpenCV estimator, which looks at gray images, on every pair."""
    import cv2

    gray_sources = [cv2.cvtColor(source, cv2.COLOR_RGB2GRAY) for source in sources]
    flows = np.empty((*targets.shape[:3], 2), np.float32)

    def solve(index: int) -> int:
        gray_source = gray_sources[index if len(sources) > 1 else 0]
        # An estimator object keeps buffers between calls: one a pair, so that threads and order cannot matter.
        flows[index] = create().calc(gray_source, cv2.cvtColor(targets[index], cv2.COLOR_RGB2GRAY), None)
        return 1

    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        for count in pool.map(solve, range(len(targets))):
            if progress is not None:
                progress(count)
    return flows
