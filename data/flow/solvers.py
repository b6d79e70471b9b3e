"""The optical flow estimators of `data.flow.estimators`, except RAFT (`data.flow.raft`): one function each.

All have the form `Solve`. Their packages are imported when an estimator is used, so a missing one costs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Flow = NDArray[np.float32]
Progress = Callable[[int], object] | None
# (sources [1 or N, H, W, 3], targets [N, H, W, 3], num_threads, progress) -> flow [N, H, W, 2]; one source is for all
# targets. A missing package or weights are a ValueError of one line that says how to get them.
Solve = Callable[[Images, Images, int, Progress], Flow]

COARSE2FINE_PARAMETERS: dict[str, Any] = {
    "alpha": 0.012,
    "ratio": 0.75,
    "min_width": 20,
    "num_outer": 7,
    "num_inner": 1,
    "num_sor": 30,
    "color_type": 0,
}
DIS_MIN_SIDE = 16  # pixels; below, its pyramid has no level


def solve_coarse2fine(sources: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """This project's own estimator on the CPU: sixteen pairs at once."""
    from data.flow import coarse2fine

    options = {**COARSE2FINE_PARAMETERS, "num_threads": num_threads, "progress": progress}
    if len(sources) == 1:
        return coarse2fine.coarse2fine_flow_batch(unit_floats(sources[0]), unit_floats(targets), **options)
    return coarse2fine.coarse2fine_flow_pairs(unit_floats(sources), unit_floats(targets), **options)


def solve_coarse2fine_cuda(sources: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """The same on a GPU, with red-black relaxation; it works on all pairs at once whatever ``num_threads``."""
    from data.flow.coarse2fine import cuda as coarse2fine_cuda

    options = {**COARSE2FINE_PARAMETERS, "progress": progress}
    if len(sources) == 1:
        return coarse2fine_cuda.coarse2fine_flow_batch_cuda(unit_floats(sources[0]), unit_floats(targets), **options)
    return coarse2fine_cuda.coarse2fine_flow_pairs_cuda(unit_floats(sources), unit_floats(targets), **options)


def coarse2fine_cuda_parameters() -> dict[str, Any]:
    """Parameters, the order of relaxation and CuPy's version; the kernels are tried on a tiny pair."""
    blank = np.zeros((1, 16, 16, 3), np.uint8)
    solve_coarse2fine_cuda(blank, blank, 1, None)
    import cupy

    return {**COARSE2FINE_PARAMETERS, "order": "red-black", "cupy": cupy.__version__}


def solve_pyflow(sources: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """pathak22's pyflow, which holds the interpreter lock: threads would not help it."""
    estimate = _pyflow().coarse2fine_flow
    parameters = tuple(COARSE2FINE_PARAMETERS.values())
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
        return {**COARSE2FINE_PARAMETERS, "pyflow": version("pyflow")}
    except PackageNotFoundError:  # built in its own folder, as its instructions say
        return dict(COARSE2FINE_PARAMETERS)


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


def solve_dis(sources: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """OpenCV's dense inverse search (Kroeger et al. 2016), preset medium."""
    import cv2

    height, width = targets.shape[1:3]
    if min(height, width) < DIS_MIN_SIDE:
        raise ValueError(f"dis needs images of at least {DIS_MIN_SIDE} x {DIS_MIN_SIDE} pixels, got {width} x {height}")

    def create() -> Any:
        return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    return _solve_with_opencv(create, sources, targets, num_threads, progress)


def dis_parameters() -> dict[str, Any]:
    """Preset, and OpenCV's version."""
    import cv2

    return {"preset": "medium", "opencv": cv2.__version__}


def solve_deepflow(sources: Images, targets: Images, num_threads: int, progress: Progress) -> Flow:
    """DeepFlow (Weinzaepfel et al. 2013) of OpenCV's contrib modules, which leaves deep matching out."""
    return _solve_with_opencv(_deepflow(), sources, targets, num_threads, progress)


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


def _solve_with_opencv(
    create: Callable[[], Any], sources: Images, targets: Images, num_threads: int, progress: Progress
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


def pairs_of(sources: Images, targets: Images) -> zip[tuple[Images, Images]]:
    """Each target with its source, where one source may be for all of them."""
    return zip(np.broadcast_to(sources, targets.shape), targets, strict=True)


def unit_floats(images: Images) -> NDArray[np.float32]:
    """uint8 as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
