"""Softmax splatting on NVIDIA GPUs: launches the kernels of ``kernels.cu`` through CuPy.

The kernels read and write PyTorch's memory in place, on PyTorch's current stream. They are compiled once a machine
(CuPy keeps the result on disk) for all shapes and strides: float32, float16 and bfloat16 with sums in float32, and
float64.

``plan`` makes a list for each target of the pixels that land on it, in three kernels: count, fill, weigh. In ``splat``
each output pixel sums its list; in ``splat_backward`` each input pixel gathers its gradient from its four corners. No
floating-point number is added atomically. Only the order within a list varies from run to run, and with it the last bit
of a sum; under `torch.use_deterministic_algorithms` the lists are sorted.

The methods of :class:`CudaSplatting` implement the operators of :mod:`models.splatting.operators`, where their
arguments are described.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from common.cuda_kernels import CompiledKernels, NoKernelsError, import_cupy
from models.splatting.reference import MODES
from models.splatting.sorted import new_result

SOURCE = Path(__file__).with_name("kernels.cu")
BLOCK = 128  # threads
GATHER_CHANNELS = 8  # channels that a thread of `splat` takes, at most; the kernel has the same number
BACKWARD_CHANNELS = 16  # channels that a thread of `splat_backward` takes, at most; it writes three numbers a pixel


class Launch(Protocol):
    """Runs a kernel with so many blocks of threads on a device; ``words`` are its arguments, 64 bits each."""

    def __call__(
        self, kernel: str, blocks: int, *, threads: int, words: Sequence[int], device: torch.device
    ) -> None: ...


class CudaSplatting:
    """Splatting by the kernels.

    Args:
        launch: runs them.
        new_result: makes the uninitialised tensor that ``splat`` and ``splat_backward`` fill for some values.
    """

    def __init__(self, launch: Launch, *, new_result: Callable[[Tensor], Tensor] = new_result) -> None:
        self._launch, self._new_result = launch, new_result

    def plan(
        self, flow: Tensor, importance: Tensor | None, *, mode: str
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        batch, _, height, width = flow.shape
        size = batch * height * width
        flow = flow.contiguous()
        importance = flow.new_empty(0) if importance is None else importance.contiguous()
        counts = torch.zeros(size + 1, dtype=torch.int32, device=flow.device)
        source = torch.empty(4 * size, dtype=torch.int32, device=flow.device)
        weight = flow.new_empty(4 * size)
        peak = flow.new_empty(size + 1 if mode == "softmax" else 0)
        total = flow.new_empty(size + 1 if mode != "summation" else 0)
        coverage = flow.new_empty(batch, 1, height, width)
        self._run("count", flow.dtype, size, flow, counts, size, height, width)
        begin = torch.cumsum(counts, 0, dtype=torch.int32)
        self._run("fill", flow.dtype, size, flow, begin.clone(), source, weight, size, height, width)
        if torch.are_deterministic_algorithms_enabled():
            self._run("sort_lists", flow.dtype, size, begin, source, weight, size)
        number = MODES.index(mode)
        self._run("weigh", flow.dtype, size, importance, begin, source, weight, peak, total, coverage, size, number)
        return begin, source, weight, peak, total, coverage

    def splat(self, values: Tensor, begin: Tensor, *, source: Tensor, weight: Tensor) -> Tensor:
        output = self._new_result(values)
        size, shape, lanes = _grid(values, GATHER_CHANNELS)
        arguments: list[Tensor | int | None] = [values, *values.stride(), begin, source, weight]
        arguments += [output, *output.stride(), size, *shape, lanes, _pixels_first(output)]
        self._run("splat", values.dtype, _threads(size, lanes), *arguments)
        return output

    def splat_backward(
        self,
        gradient: Tensor,
        values: Tensor,
        *,
        output: Tensor,
        flow: Tensor,
        importance: Tensor | None,
        peak: Tensor,
        total: Tensor,
        mode: str,
        needs_values: bool,
        needs_motion: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, _, height, width = values.shape
        size, shape, lanes = _grid(values, BACKWARD_CHANNELS)
        values_gradient = self._new_result(values) if needs_values else None
        motion = flow.new_zeros(lanes, batch, 3, height, width) if needs_motion else None
        arguments: list[Tensor | int | None] = [gradient, *gradient.stride()]
        arguments += [values, *values.stride(), output, *output.stride()]
        arguments += [flow.contiguous(), None if importance is None else importance.contiguous(), peak, total]
        arguments += [
            values_gradient,
            *(values.stride() if values_gradient is None else values_gradient.stride()),
            motion,
        ]
        arguments += [size, *shape, lanes, _pixels_first(output), MODES.index(mode)]
        self._run("splat_backward", values.dtype, _threads(size, lanes), *arguments)
        if values_gradient is None:
            values_gradient = values.new_empty(0)
        if motion is None:
            return values_gradient, flow.new_empty(0), flow.new_empty(0)
        flow_gradient, importance_gradient = (part.sum(0) for part in motion.split([2, 1], dim=2))
        return values_gradient, flow_gradient, flow.new_empty(0) if importance is None else importance_gradient

    def _run(self, kernel: str, dtype: torch.dtype, threads: int, *arguments: Tensor | int | None) -> None:
        """Run a kernel with at least as many threads on the first tensor's device."""
        if threads == 0:
            return
        device = next(a.device for a in arguments if isinstance(a, Tensor))
        # Addresses and integers alike are passed as 64 bits, which is how CuPy passes Python's integers.
        words = [0 if a is None else a.data_ptr() if isinstance(a, Tensor) else int(a) for a in arguments]
        name = f"{kernel}_{str(dtype).removeprefix('torch.')}"
        self._launch(name, -(-threads // BLOCK), threads=BLOCK, words=words, device=device)


class CupyLaunch:
    """Launches the kernels through CuPy on PyTorch's current stream.

    Raises:
        NoKernelsError: CuPy is missing or can't compile them.
    """

    def __init__(self) -> None:
        self._kernels = CompiledKernels(SOURCE)
        self._streams: dict[int, Any] = {}

    def __call__(self, kernel: str, blocks: int, *, threads: int, words: Sequence[int], device: torch.device) -> None:
        """See :class:`Launch`."""
        stream = torch.cuda.current_stream(device).cuda_stream
        with torch.cuda.device(device), self._stream(stream):
            self._kernels.launch(kernel, blocks, threads=threads, words=words)

    def _stream(self, address: int) -> Any:
        """CuPy's view of a stream of PyTorch's, to be entered any number of times.

        Kept, because CuPy 14 warns each time that one is made. What it names in place of it,
        `cupy.cuda.Stream.from_external`, would destroy PyTorch's stream together with the view.
        """
        if address not in self._streams:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._streams[address] = import_cupy().cuda.ExternalStream(address)
        return self._streams[address]


@functools.cache
def cuda_splatting() -> CudaSplatting | None:
    """Splatting by the kernels on PyTorch's devices; None, which is said once, where CuPy is missing or of no use."""
    try:
        return CudaSplatting(CupyLaunch())
    except NoKernelsError as error:
        warnings.warn(
            f"splatting runs without its CUDA kernels because {error}; "
            "install the cupy package of your CUDA version (requirements-gpu.txt)",
            stacklevel=2,
        )
        return None


def _grid(values: Tensor, channels_each: int) -> tuple[int, tuple[int, int, int], int]:
    """Number of pixels; channels, height and width; threads for each pixel."""
    batch, channels, height, width = values.shape
    return batch * height * width, (channels, height, width), -(-channels // channels_each)


def _threads(size: int, lanes: int) -> int:
    """Threads of a kernel in which ``lanes`` of them share the channels of a pixel: whole blocks of pixels."""
    return -(-size // BLOCK) * BLOCK * lanes


def _pixels_first(tensor: Tensor) -> int:
    """Whether neighbouring threads take neighbouring pixels (1) or channels (0) of a tensor."""
    return int(tensor.stride(3) <= tensor.stride(1))
