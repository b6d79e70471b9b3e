"""How fast `data.flow.coarse2fine.cuda` is on this GPU: pairs per second, memory bandwidth, ratio to the processor.

Examples:
  python -m benchmarks.flow
  python -m benchmarks.flow --sizes 1280x720 --pairs 32 --report speed.json
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import benchmark_parser
from common.command_line import run_script, write_report
from common.cuda_kernels import Device
from common.option_types import parse_size
from data.flow.coarse2fine import cuda as coarse2fine_cuda
from data.flow.coarse2fine.regions import Regions, plan_regions

# Bytes a pixel that a half-sweep of its own must move, had each colour its own arrays: half of the pixels read two
# right-hand sides, a12 and two scales and read and write their increment, all weights are read, and the increments of
# the other half.
HALF_SWEEP_BYTES = 0.5 * (5 * 4 + 2 * 8) + 4 + 0.5 * 8
COPIED_BYTES = 1 << 28


def main(argv: list[str] | None = None) -> int:
    """Measure, print a paragraph for each size, and return the exit status."""
    every = os.cpu_count() or 1
    parser = benchmark_parser("flow", __doc__, threads=every)
    sizes, text = [(256, 160), (512, 288)], "sizes of the frames (default: 256x160 512x288)"
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=sizes, metavar="WxH", help=text)
    parser.add_argument("--pairs", type=int, default=149, metavar="N", help="targets of one source (default: 149)")
    parser.add_argument("--cpu-pairs", type=int, metavar="N", help="pairs for the processor (default: 16 a thread)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the fastest counts (default: 5)")
    return run_script(_measure_all, parser.parse_args(argv))


def _measure_all(arguments: argparse.Namespace) -> None:
    if arguments.device not in ("auto", "cuda"):
        raise ValueError(f"--device {arguments.device}: this measures a GPU; use auto or cuda")
    for name in ("pairs", "threads", "repeats"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    cpu_pairs = 16 * arguments.threads if arguments.cpu_pairs is None else arguments.cpu_pairs
    if cpu_pairs < 1:
        raise ValueError(f"--cpu-pairs must be at least 1, got {cpu_pairs}")
    device = coarse2fine_cuda.cuda_device()
    results = {}
    for width, height in arguments.sizes:
        source, targets = moving_texture(width, height, count=max(arguments.pairs, cpu_pairs), seed=arguments.seed)
        result = measure(
            device,
            source,
            targets=targets,
            pairs=arguments.pairs,
            cpu_pairs=cpu_pairs,
            threads=arguments.threads,
            repeats=arguments.repeats,
        )
        print(describe((width, height), result), flush=True)
        results[f"{width}x{height}"] = result
    write_report(arguments.report, "benchmarks.flow", arguments, {"results": results})


def moving_texture(
    width: int, height: int, *, count: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A smooth random picture ``[H, W, 3]`` and ``count`` of the same, swaying by up to two pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves, phases, colors = (
        random.uniform(-0.6, 0.6, (12, 2)),
        random.uniform(0, 6.28, 12),
        random.uniform(-1, 1, (12, 3)),
    )
    at = waves[:, 0, None, None] * x + waves[:, 1, None, None] * y + phases[:, None, None]
    basis = np.concatenate([np.sin(at), np.cos(at)]).reshape(24, -1).astype(np.float32)
    angles = 2 * np.pi * np.arange(count) / max(count, 2)

    def pictures(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float32]:
        # sin(at - shift) = sin(at) cos(shift) - cos(at) sin(shift): one matrix product makes all of them.
        shift = np.outer(u, waves[:, 0]) + np.outer(v, waves[:, 1])
        factors = 0.08 * np.concatenate([np.cos(shift), -np.sin(shift)], axis=1)[:, None] * np.tile(colors, (2, 1)).T
        images = 0.5 + (factors.reshape(-1, 24).astype(np.float32) @ basis).reshape(len(u), 3, height, width)
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).clip(0, 1)

    return pictures(np.zeros(1), np.zeros(1))[0], pictures(2 * np.sin(angles), np.sin(2 * angles))


def measure(
    device: Device,
    source: NDArray[np.float32],
    *,
    targets: NDArray[np.float32],
    pairs: int,
    cpu_pairs: int,
    threads: int,
    repeats: int,
) -> dict[str, Any]:
    """Seconds, pairs per second and bytes per second of both, and the mean endpoint difference between them."""
    flows = coarse2fine_cuda.coarse2fine_flow_batch_cuda(source, targets[:cpu_pairs], device=device)  # warms up, too
    result = measure_device(device, source, targets=targets, pairs=pairs, repeats=repeats)
    expected, cpu_seconds = measure_processor(source, targets[:cpu_pairs], threads=threads)
    return result | {
        "cpu_threads": threads,
        "cpu_pairs_per_second": cpu_pairs / cpu_seconds,
        "times_as_fast": result["pairs_per_second"] / (cpu_pairs / cpu_seconds),
        "mean_endpoint_difference": float(np.hypot(*np.moveaxis(flows - expected, -1, 0)).mean()),
    }


def measure_processor(
    source: NDArray[np.float32], targets: NDArray[np.float32], *, threads: int
) -> tuple[NDArray[np.float32], float]:
    """Flow ``[N, H, W, 2]`` of all pairs by `data.flow.coarse2fine`, which needs numba, and the seconds it took."""
    from data.flow.coarse2fine.cpu import coarse2fine_flow_batch

    coarse2fine_flow_batch(source, targets[:1])  # compiles
    begin = time.perf_counter()
    return coarse2fine_flow_batch(source, targets, num_threads=threads), time.perf_counter() - begin


def measure_device(
    device: Device,
    source: NDArray[np.float32],
    *,
    targets: NDArray[np.float32],
    pairs: int,
    repeats: int,
    copied_bytes: int = COPIED_BYTES,
) -> dict[str, Any]:
    """Seconds and bytes of ``pairs`` pairs, frames and flow in the processor's memory; the first call warms up."""
    height, width = source.shape[:2]
    coarse2fine_cuda.coarse2fine_flow_batch_cuda(source, targets[:1], device=device)
    seconds = _fastest(
        lambda: coarse2fine_cuda.coarse2fine_flow_batch_cuda(source, targets[:pairs], device=device), repeats
    )
    sweeps = 30
    regions = plan_regions(width, height, sweeps)
    relaxation = _relaxation_seconds(device, width, height, pairs, sweeps, repeats)
    return {
        "pairs": pairs,
        "seconds": seconds,
        "pairs_per_second": pairs / seconds,
        "copy_bytes_per_second": copy_bandwidth(device, repeats, size=copied_bytes),
        "half_sweep_seconds": relaxation / (2 * sweeps),
        "half_sweep_bytes": pairs * width * height * HALF_SWEEP_BYTES,
        "half_sweep_bytes_moved": pairs
        * relaxation_bytes(width, height, regions=regions, sweeps=sweeps)
        / (2 * sweeps),
        "sweeps_a_launch": regions.sweeps,
    }


def relaxation_bytes(width: int, height: int, *, regions: Regions, sweeps: int) -> int:
    """Bytes that `relax` moves for one pair: the system and the last increment of all regions in, the new one out."""
    launches = len(list(regions.launches(sweeps)))
    # Of each region only what lies in the picture is read, so an overlap counts twice and what is beyond does not.
    overlap_x, overlap_y = ((count - 1) * 2 * regions.halo for count in (regions.across, regions.down))
    read = (width + overlap_x) * (height + overlap_y)
    return launches * 24 * read + (launches - 1) * 8 * (read + width * height) + 16 * width * height


def copy_bandwidth(device: Device, repeats: int, *, size: int = COPIED_BYTES) -> float:
    """Bytes per second, read and written, of copying within the device."""
    first, second = device.zeros(size // 4), device.zeros(size // 4)

    def copy() -> None:
        for _ in range(10):
            device.copy(second, first)
        device.synchronize()

    copy()
    return 10 * 2 * size / _fastest(copy, repeats)


def _relaxation_seconds(device: Device, width: int, height: int, pairs: int, sweeps: int, repeats: int) -> float:
    """Of all sweeps of one iteration at the finest level. The system is all zeros, which takes no less time."""
    workspace = coarse2fine_cuda.Workspace(device, 1, pairs, width * height, 5)

    def relax() -> None:
        for _ in range(10):
            coarse2fine_cuda.relax(device, workspace, pairs=pairs, size=(width, height), num_sweeps=sweeps, add=True)
        device.synchronize()

    relax()
    return _fastest(relax, repeats) / 10


def _fastest(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def describe(size: tuple[int, int], result: dict[str, Any]) -> str:
    """A paragraph about one size."""
    bandwidth, half_sweep = result["copy_bytes_per_second"], result["half_sweep_seconds"]
    alone, moved = result["half_sweep_bytes"], result["half_sweep_bytes_moved"]
    return (
        f"{size[0]}x{size[1]}: {result['pairs_per_second']:.0f} pairs/s in a batch of {result['pairs']}, "
        f"{result['times_as_fast']:.1f} times the processor's {result['cpu_pairs_per_second']:.1f} "
        f"({result['cpu_threads']} threads); mean endpoint difference {result['mean_endpoint_difference']:.1e} px\n"
        f"  a half-sweep of the finest level: {1e6 * half_sweep:.1f} us; done alone it must move {alone / 1e6:.1f} MB, "
        f"{1e6 * alone / bandwidth:.1f} us at the {bandwidth / 1e9:.0f} GB/s of a copy; "
        f"{result['sweeps_a_launch']} sweeps a launch move {moved / 1e6:.1f} MB each half, "
        f"{moved / half_sweep / 1e9:.0f} GB/s or {100 * moved / half_sweep / bandwidth:.0f} % of a copy"
    )


if __name__ == "__main__":
    sys.exit(main())
