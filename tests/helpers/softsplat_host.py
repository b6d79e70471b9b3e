"""The CUDA kernels of softmax splatting on the processor: a stand-in for CuPy.

It has what `models.splatting.cuda` uses of CuPy, so that everything but the GPU itself is under test.
"""

from __future__ import annotations

import functools
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from helpers.cuda_on_host import HostKernels
from models.splatting import compiled as softsplat_compiled
from models.splatting import cuda as softsplat_cuda
from models.splatting import operators as softsplat_operators


def stand_in_for_cupy(kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let splatting on the CPU go through `models.splatting.cuda` and the kernels compiled for the processor."""
    cupy = SimpleNamespace(
        RawModule=lambda code, options: kernels, cuda=SimpleNamespace(ExternalStream=lambda stream: nullcontext())
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(softsplat_operators, "_implementation", lambda tensor: softsplat_cuda)
    monkeypatch.setattr(softsplat_compiled, "is_usable", lambda: False)
    for name in ("_cupy", "_module", "_kernel", "_stream"):  # with caches of their own, forgotten after the test
        cached = getattr(softsplat_cuda, name)
        monkeypatch.setattr(softsplat_cuda, name, functools.cache(cached.__wrapped__))
