"""Optical flow on a GPU: pairs a second, and how near its relaxation comes to the bandwidth of a copy."""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np
import torch

from benchmarks import flow as benchmark
from benchmarks.gpu.part import run_part
from benchmarks.gpu.results import Results
from common.cuda_kernels import Device

PART = "flow rates"
SIZES, PAIRS, REPEATS = ((256, 160), (512, 288)), 149, 3  # targets of one source: a sequence of 150 frames
CPU_PAIRS = 16  # for each thread: one in each SIMD lane
REHEARSED_SIZE, REHEARSED_PAIRS = (24, 16), 2


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status."""
    return run_part("flow_rates", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Rates of each size; then the same pairs on the processor, where numba is installed."""
    sizes = (REHEARSED_SIZE,) if options.rehearse else SIZES
    pairs, repeats = (REHEARSED_PAIRS, 1) if options.rehearse else (PAIRS, REPEATS)
    gpu = flow_device(options.rehearse)
    for width, height in sizes:
        threads = 1 if options.rehearse else os.cpu_count() or 1
        source, targets = benchmark.moving_texture(
            width, height, count=max(pairs, CPU_PAIRS * threads), seed=options.seed
        )
        copied = 1 << 16 if options.rehearse else benchmark.COPIED_BYTES
        found = benchmark.measure_device(
            gpu, source, targets=targets, pairs=pairs, repeats=repeats, copied_bytes=copied
        )
        size = f"{width}x{height}"
        moved, alone = found["half_sweep_bytes_moved"], found["half_sweep_bytes"]
        bandwidth, seconds = found["copy_bytes_per_second"], found["half_sweep_seconds"]
        if (width, height) == sizes[0]:
            results.add(PART, "copying within the device, by CuPy", value=bandwidth / 1e9, unit="GB/s")
        results.add(
            PART,
            f"half-sweep of the finest level, {pairs} pairs of {size}",
            value=1e6 * seconds,
            unit="us",
            share=moved / seconds / bandwidth,
            bytes=moved,
            note=f"a half-sweep launched alone would need {1e6 * alone / bandwidth:.0f} us at that bandwidth",
        )
        cpu, note = processor_rate(gpu, source, targets=targets, threads=threads)
        what = f"flow from one frame to {pairs} others, {size}, with transfers"
        results.add(PART, what, value=found["pairs_per_second"], unit="pairs/s", cpu=cpu, note=note)


def processor_rate(gpu: Device, source: np.ndarray, *, targets: np.ndarray, threads: int) -> tuple[float | None, str]:
    """Pairs a second of the processor, None without numba, and a note about it."""
    count = min(len(targets), CPU_PAIRS * threads)
    try:
        expected, seconds = benchmark.measure_processor(source, targets[:count], threads=threads)
    except ImportError as error:
        return None, f"the processor's flow needs numba ({error})"
    flows = benchmark.coarse2fine_cuda.coarse2fine_flow_batch_cuda(source, targets[:count], device=gpu)
    difference = float(np.hypot(*np.moveaxis(flows - expected, -1, 0)).mean())
    return count / seconds, f"{threads} threads; the flows differ by {difference:.1e} px in the mean"


def flow_device(rehearse: bool) -> Device:
    """The GPU, or the processor with the same kernels."""
    if rehearse:
        from benchmarks.gpu.host_kernels import flow_device as on_host

        return on_host()
    return benchmark.coarse2fine_cuda.cuda_device()


if __name__ == "__main__":
    sys.exit(main())
