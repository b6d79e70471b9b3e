"""What every part of a run has in common: its command line, its device and its clock."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.results import Results
from common.command_line import OneLineParser, run_script, select_device

CPU = torch.device("cpu")


Body = Callable[..., None]  # of a part's options and the device, with ``results=`` to add to


def run_part(name: str, description: str, *, body: Body, argv: list[str] | None) -> int:
    """Read a part's command line, do it, and return the exit status.

    Args:
        name: of the part, as in the report.
        description: its module's docstring.
        body: called with the options, the device and the results to add to.
    """
    layout = argparse.RawDescriptionHelpFormatter
    example = f"example:\n  python -m benchmarks.{name} results --rehearse"
    parser = OneLineParser(
        prog=f"python -m benchmarks.{name}", description=description, epilog=example, formatter_class=layout
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the best there is")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, and CUDA kernels compiled for the CPU")
    parser.add_argument("--dataset", type=Path, metavar="FILE.pack", help="of benchmarks.pack, to train on")
    parser.add_argument("--seconds", type=float, default=300.0, help="that training may take (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")

    def work(options: argparse.Namespace) -> None:
        body(options, select_device(options.device), results=Results(options.out))

    return run_script(work, parser.parse_args(argv))


def splatting(rehearse: bool) -> contextlib.AbstractContextManager[None]:
    """How splatting is done: as this device does it, or in a rehearsal by the GPU's kernels on the processor."""
    if not rehearse:
        return contextlib.nullcontext()
    from benchmarks.gpu.host_kernels import splatting_kernels

    return splatting_kernels()


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(work: Callable[[], object], device: torch.device, *, repeats: int, calls: int = 1) -> float:
    """Seconds of a call, the fastest of ``repeats`` measurements of ``calls`` in a row, after one to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(device)
        seconds.append((time.perf_counter() - begin) / calls)
    return min(seconds)


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Bytes a second, read and written, of copying ``size`` bytes within a device: the yardstick of all shares."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / fastest(lambda: target.copy_(source), device, repeats=5, calls=4)


def smooth_noise(shape: tuple[int, ...], size: tuple[int, int], *, scale: float, seed: int) -> Tensor:
    """Smooth random numbers ``[*shape, H, W]`` on the CPU, made from noise on a grid sixteen times as coarse.

    Args:
        size: (H, W).
        scale: standard deviation of the noise.
    """
    height, width = size
    count = int(torch.tensor(shape).prod())
    coarse = torch.randn(
        count, 1, max(2, height // 16), max(2, width // 16), generator=torch.Generator().manual_seed(seed)
    )
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
    return scale * fine.reshape(*shape, height, width)


def device_facts(device: torch.device) -> dict[str, Any]:
    """What the figures of a part belong to."""
    if device.type != "cuda":
        return {"device": f"the processor, {torch.get_num_threads()} threads"}
    properties = torch.cuda.get_device_properties(device)
    return {"device": properties.name, "multiprocessors": properties.multi_processor_count}
