"""One interface over the optical flow estimators that a dataset can be prepared with.

`ESTIMATORS` maps a name to a function ``(source, targets, num_threads, progress) -> flow``; its keys are the choices of
``python -m data.prepare --flow``. Packages are imported when an estimator is used, so a missing one costs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Flow = NDArray[np.float32]
Progress = Callable[[int], object] | None
PairEstimator = Callable[[Images, Images], NDArray[Any]]

COARSE2FINE_PARAMETERS: dict[str, Any] = {
    "alpha": 0.012,
    "ratio": 0.75,
    "min_width": 20,
    "num_outer": 7,
    "num_inner": 1,
    "num_sor": 30,
    "color_type": 0,
}


def estimate_flow(
    source: Images,
    targets: Images,
    estimator: str = "coarse2fine",
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
    _expect_estimator(estimator)
    source, targets = np.asarray(source), np.asarray(targets)
    if source.ndim != 3 or source.shape[2] != 3 or targets.shape[1:] != source.shape or targets.ndim != 4:
        raise ValueError(
            f"expected a source [H, W, 3] and targets [N, H, W, 3], got {source.shape} and {targets.shape}"
        )
    if source.dtype != np.uint8 or targets.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {source.dtype} and {targets.dtype}")
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    if len(targets) == 0:
        return np.empty((0, *source.shape[:2], 2), np.float32)
    return ESTIMATORS[estimator](source, targets, num_threads, progress)


def estimator_parameters(name: str) -> dict[str, Any]:
    """What a manifest should record of an estimator: its parameters, and the version of a package that does the work.

    Raises:
        ValueError: unknown estimator.
    """
    _expect_estimator(name)
    if name in ("coarse2fine", "pyflow"):
        return dict(COARSE2FINE_PARAMETERS)
    import cv2

    parameters: dict[str, Any] = {"opencv": cv2.__version__}
    return {"preset": "medium", **parameters} if name == "dis" else parameters


def _expect_estimator(name: str) -> None:
    if name not in ESTIMATORS:
        raise ValueError(f"unknown flow estimator {name!r}; choose one of {', '.join(ESTIMATORS)}")


def _coarse2fine(source: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    from data.coarse2fine import coarse2fine_flow_batch

    return coarse2fine_flow_batch(
        source.astype(np.float32) / 255,
        targets.astype(np.float32) / 255,
        **COARSE2FINE_PARAMETERS,
        num_threads=num_threads,
        progress=progress,
    )


def _dis(source: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    import cv2

    if min(source.shape[:2]) < 16:
        raise ValueError(f"dis needs images of at least 16 x 16 pixels, got {source.shape[1]} x {source.shape[0]}")
    # An estimator object keeps buffers between calls: one a pair, so that threads and order cannot matter.
    return _pair_by_pair(
        lambda: cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), source, targets, num_threads, progress
    )


def _deepflow(source: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    import cv2

    create = getattr(getattr(cv2, "optflow", None), "createOptFlow_DeepFlow", None)
    if create is None:
        raise ValueError(
            "deepflow needs OpenCV's contrib modules: replace opencv-python-headless by opencv-contrib-python-headless"
        )
    return _pair_by_pair(create, source, targets, num_threads, progress)


def _pair_by_pair(
    create: Callable[[], Any], source: Images, targets: Images, num_threads: int, progress: Progress
) -> Flow:
    """Run an OpenCV estimator, which looks at gray images, on every pair."""
    import cv2

    gray_source = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
    flows = np.empty((*targets.shape[:3], 2), np.float32)

    def solve(index: int) -> int:
        flows[index] = create().calc(gray_source, cv2.cvtColor(targets[index], cv2.COLOR_RGB2GRAY), None)
        return 1

    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        for count in pool.map(solve, range(len(targets))):
            if progress is not None:
                progress(count)
    return flows


def _pyflow(source: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """pathak22's pyflow, which holds the interpreter lock: threads would not help it."""
    where = "build it from github.com/pathak22/pyflow, or use coarse2fine: the same algorithm, many times faster"
    try:
        import pyflow
    except ImportError as error:
        raise ValueError(f"pyflow is not installed; {where}") from error
    if not hasattr(pyflow, "coarse2fine_flow"):
        raise ValueError(
            f"the installed pyflow has no coarse2fine_flow: PyPI's package of that name is an unrelated tool; {where}"
        )
    parameters = tuple(COARSE2FINE_PARAMETERS.values())
    first = source.astype(np.float64) / 255
    flows = np.empty((*targets.shape[:3], 2), np.float32)
    for index, target in enumerate(targets):
        u, v, _ = pyflow.coarse2fine_flow(first, target.astype(np.float64) / 255, *parameters)
        flows[index, ..., 0], flows[index, ..., 1] = u, v
        if progress is not None:
            progress(1)
    return flows


ESTIMATORS: dict[str, Callable[[Images, Images, int, Progress], Flow]] = {
    "coarse2fine": _coarse2fine,
    "dis": _dis,
    "deepflow": _deepflow,
    "pyflow": _pyflow,
}
