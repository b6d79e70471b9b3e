"""The CUDA kernels of softmax splatting on the processor: everything but the GPU itself is under test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from helpers.flow.cuda_on_host import HostKernels
from models.splatting.cuda import CudaSplatting, Launch
from models.splatting.operators import splatting_by
from models.splatting.sorted import new_result


def host_launch(kernels: HostKernels) -> Launch:
    """Runs the kernels compiled for the processor."""

    def launch(kernel: str, blocks: int, *, threads: int, words: Sequence[int], device: torch.device) -> None:
        kernels.get_function(kernel)((blocks,), (threads,), tuple(words))

    return launch


def splatting_on_host(
    kernels: HostKernels, result: Callable[[torch.Tensor], torch.Tensor] = new_result
) -> AbstractContextManager[None]:
    """Within this context splatting goes through the kernels; ``result`` makes the tensors they fill."""
    return splatting_by(CudaSplatting(host_launch(kernels), new_result=result))


def stand_in_for_cupy(kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What `models.splatting.cuda.CupyLaunch` uses of CuPy and of PyTorch's devices, where there are none."""
    cupy = SimpleNamespace(
        RawModule=lambda code, options: kernels, cuda=SimpleNamespace(ExternalStream=lambda stream: nullcontext())
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    return cupy
