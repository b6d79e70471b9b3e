"""The coarse-to-fine flow of `data.flow.coarse2fine` on NVIDIA GPUs: many pairs at once, relaxed in red-black order.

The order of relaxation is all that differs: with the same number of sweeps, in float32, flow differs from the
processor's by about 1e-4 px in the mean. The kernels of ``kernels.cu`` do a whole batch of pairs a launch: one
warps, differentiates and builds the linear system of an iteration, one does several sweeps in registers and shared
memory, all of them where a level is at most 64x64 pixels. `benchmarks.flow` measures it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.cuda_kernels import CupyDevice, Device
from data.flow.coarse2fine.parameters import (
    Images,
    Parameters,
    Progress,
    blur_taps,
    expect_images,
    expect_pairs,
    level_origin,
    pyramid_sizes,
)
from data.flow.coarse2fine.regions import REGION_WIDTH, Regions, plan_regions

SOURCE = Path(__file__).with_name("kernels.cu")
PURPOSE = ("coarse2fine-cuda", "use coarse2fine, the same algorithm on the processor")
BLOCK = 256  # threads
TILE_WIDTH, TILE_HEIGHT = 32, 16  # pixels a block of `linearise` makes
MOST_PIXELS = 1 << 24  # of a chunk of pairs: enough to keep any GPU busy
SHARE_OF_MEMORY = 0.7  # of what is free


def coarse2fine_flow_batch_cuda(
    source: NDArray[Any],
    targets: Images,
    *,
    parameters: Parameters = Parameters(),  # noqa: B008 - frozen
    progress: Progress = None,
    device: Device | None = None,
) -> NDArray[np.float32]:
    """Flow from one image to each of N others, as `data.flow.coarse2fine.cpu.coarse2fine_flow_batch`, on a GPU.

    Args:
        source: ``[H, W, 3]`` float in [0, 1].
        targets: ``[N, H, W, 3]``.
        progress: called with the number of targets just finished, after each chunk that fits the free memory of the
            device (about 120 bytes a pixel and pair).
        device: where to compute; CuPy's current device by default.

    Returns:
        ``[N, H, W, 2]`` float32 in pixels, x right and y down.

    Raises:
        ValueError: as there; no CuPy, no GPU, or too little memory for a pair.
    """
    first, others = expect_images(source, targets, parameters.color_type)
    return _solve_in_chunks(
        first[None], others, own_sources=False, parameters=parameters, progress=progress, device=device
    )


def coarse2fine_flow_pairs_cuda(
    sources: Images,
    targets: Images,
    *,
    parameters: Parameters = Parameters(),  # noqa: B008 - frozen
    progress: Progress = None,
    device: Device | None = None,
) -> NDArray[np.float32]:
    """Flow of N pairs of images that share nothing, both ``[N, H, W, 3]``; about 200 bytes a pixel and pair.

    Everything else is as in `coarse2fine_flow_batch_cuda`.
    """
    first, others = expect_pairs(sources, targets, parameters.color_type)
    return _solve_in_chunks(first, others, own_sources=True, parameters=parameters, progress=progress, device=device)


# ---- The algorithm, a chunk of pairs at a time ----


def _solve_in_chunks(
    sources: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    own_sources: bool,
    parameters: Parameters,
    progress: Progress,
    device: Device | None,
) -> NDArray[np.float32]:
    """``sources`` ``[N or 1, H, W, C]``, ``targets`` ``[N, H, W, C]`` -> ``[N, H, W, 2]``."""
    device = cuda_device() if device is None else device
    height, width = targets.shape[1:3]
    flows = np.empty((len(targets), height, width, 2), np.float32)
    need = bytes_of_a_pair(width, height, own_sources, parameters)
    most = max(min(int(SHARE_OF_MEMORY * device.free_bytes()) // need, MOST_PIXELS // (width * height)), 1)
    begin = 0
    while begin < len(targets):
        left = len(targets) - begin
        count = -(-left // -(-left // most))  # chunks of nearly one size
        part = slice(begin, begin + count)
        try:
            flows[part] = _solve(device, sources[part] if own_sources else sources, targets[part], parameters)
        except MemoryError as error:  # others may have taken what was free; CuPy's error is one of these, too
            if count == 1:
                raise ValueError(
                    f"a pair of {width}x{height} needs {need / 1e6:.0f} MB of the GPU's memory, which are not free; "
                    "end other programs there, choose smaller frames, or use coarse2fine"
                ) from error
            most = count // 2
            continue
        begin += count
        if progress is not None:
            progress(count)
    return flows


def _planes(parameters: Parameters) -> int:
    """Of a picture: RGB or brightness."""
    return 3 if parameters.color_type == 0 else 1


def bytes_of_a_pair(width: int, height: int, own_source: bool, parameters: Parameters) -> int:
    """Device memory for each pair of a chunk; a source that all pairs share is not counted."""
    sizes = pyramid_sizes(width, height, parameters.ratio, parameters.min_width)
    area, all_levels = width * height, sum(w * h for w, h in sizes)
    pictures = 3 * area + _planes(parameters) * all_levels  # as uploaded, and the pyramid
    # Features, system, two increments, two flows; a source has features, too, and smoothed ones.
    values = pictures + (parameters.channels + 6 + 4 + 4) * area
    return 4 * (values + (pictures + 2 * parameters.channels * area if own_source else 0))


def _solve(
    device: Device, sources: NDArray[np.float32], targets: NDArray[np.float32], parameters: Parameters
) -> NDArray[np.float32]:
    pairs, height, width = targets.shape[:3]
    sizes = pyramid_sizes(width, height, parameters.ratio, parameters.min_width)
    source_pyramid = _pyramid(device, sources, sizes, parameters)
    target_pyramid = _pyramid(device, targets, sizes, parameters)
    workspace = Workspace(device, len(sources), pairs, width * height, parameters.channels)
    for level in reversed(range(len(sizes))):
        if level < len(sizes) - 1:
            _upsample(device, workspace, pairs, sizes[level + 1], sizes[level], 1.0 / parameters.ratio)
        _solve_level(
            device,
            workspace,
            source_pyramid.pop(),
            target_pyramid.pop(),
            (len(sources), pairs),
            sizes[level],
            level,
            parameters,
        )
    return device.download(workspace.flow, 2 * targets[..., 0].size).reshape(pairs, height, width, 2)


class Workspace:
    """Arrays that all levels use, as large as the finest needs them. Flow is 0 at first."""

    def __init__(self, device: Device, sources: int, pairs: int, area: int, channels: int) -> None:
        self.source_features = device.zeros(sources * channels * area)
        self.smoothed = device.zeros(sources * channels * area)
        self.features = device.zeros(pairs * channels * area)
        self.system = device.zeros(6 * pairs * area)
        self.increments = [device.zeros(2 * pairs * area) for _ in range(2)]
        self.flow, self.coarse_flow = (device.zeros(2 * pairs * area) for _ in range(2))


def _pyramid(
    device: Device, images: NDArray[np.float32], sizes: Sequence[tuple[int, int]], parameters: Parameters
) -> list[Any]:
    """Planar pictures of each level, finest first (specification steps 1 and 2)."""
    count, height, width, channels = images.shape
    planes, area = _planes(parameters), height * width
    pictures = [device.zeros(count * planes * area)]
    _each(device, "planar", count * area, device.upload(images), pictures[0], count * area, area, channels, planes)
    widths = [size[0] for size in sizes]
    for level, (width, height) in enumerate(sizes[1:], 1):
        parent, rate, sigma = level_origin(level, widths, parameters.ratio)
        taps = np.append(blur_taps(sigma), np.float32(0))  # the kernel reads one behind the last
        size = count * planes * width * height
        pictures.append(device.zeros(size))
        _each(
            device,
            "shrink",
            size,
            pictures[parent],
            device.upload(taps),
            pictures[level],
            size,
            height,
            width,
            *sizes[parent][::-1],
            len(taps) - 2,
            float(rate),
        )
    return pictures


def _upsample(
    device: Device, workspace: Workspace, pairs: int, coarse: tuple[int, int], fine: tuple[int, int], gain: float
) -> None:
    workspace.flow, workspace.coarse_flow = workspace.coarse_flow, workspace.flow
    size = pairs * math.prod(fine)
    _each(device, "upsample", size, workspace.coarse_flow, workspace.flow, size, *fine[::-1], *coarse[::-1], gain)


def _solve_level(
    device: Device,
    workspace: Workspace,
    sources: Any,
    targets: Any,
    counts: tuple[int, int],
    size: tuple[int, int],
    level: int,
    parameters: Parameters,
) -> None:
    """Refine ``workspace.flow`` in place on one pyramid level (specification steps 3 to 7)."""
    (width, height), (num_sources, pairs), channels = size, counts, parameters.channels
    area = width * height
    for pictures, out, count in (
        (sources, workspace.source_features, num_sources),
        (targets, workspace.features, pairs),
    ):
        _each(device, "features", count * area, pictures, out, count * area, height, width, _planes(parameters))
    values = num_sources * channels * area
    _each(device, "smooth", values, workspace.source_features, workspace.smoothed, values, height, width)
    tiles = -(-width // TILE_WIDTH) * -(-height // TILE_HEIGHT)
    for _ in range(parameters.num_outer + level):
        increment = None
        for inner in range(parameters.num_inner):
            device.launch(
                "linearise",
                pairs * tiles,
                BLOCK,
                workspace.features,
                workspace.source_features,
                workspace.smoothed,
                workspace.flow,
                increment,
                workspace.system,
                pairs,
                height,
                width,
                channels,
                int(num_sources > 1),
                float(parameters.alpha),
            )
            last = inner == parameters.num_inner - 1
            sweeps = parameters.num_sor + 3 * level
            increment = relax(device, workspace, pairs=pairs, size=size, num_sweeps=sweeps, add=last)


def relax(
    device: Device,
    workspace: Workspace,
    *,
    pairs: int,
    size: tuple[int, int],
    num_sweeps: int,
    add: bool,
    regions: Regions | None = None,
) -> Any:
    """Relax from an increment of 0, which is then added to the flow or, without ``add``, returned.

    Args:
        size: (W, H) of the level.
        regions: of its pictures; by default those that take the least time.
    """
    width, height = size
    regions = regions or plan_regions(width, height, num_sweeps)
    launches = list(regions.launches(num_sweeps))
    before = None
    for number, sweeps in enumerate(launches):
        after = None if add and number == len(launches) - 1 else workspace.increments[number % 2]
        device.launch(
            "relax",
            pairs * regions.across * regions.down,
            regions.threads,
            workspace.system,
            before,
            after,
            workspace.flow,
            pairs,
            height,
            width,
            regions.down,
            regions.across,
            regions.rows - 2 * regions.halo,
            REGION_WIDTH - 2 * regions.halo,
            regions.halo,
            sweeps,
        )
        before = after
    return before


def _each(device: Device, kernel: str, threads: int, *arguments: Any) -> None:
    """Launch a kernel with at least one thread for each of its results."""
    device.launch(kernel, -(-threads // BLOCK), BLOCK, *arguments)


@functools.cache
def cuda_device() -> CupyDevice:
    """CuPy's current device with the kernels, compiled once a process.

    Raises:
        ValueError: no CuPy, or no GPU.
    """
    return CupyDevice(SOURCE, PURPOSE)
