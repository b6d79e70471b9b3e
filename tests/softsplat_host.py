"""The CUDA kernels of softmax splatting on the processor: their source behind a shim, and a stand-in for CuPy.

The shim gives the few words of CUDA that the source uses a meaning in C++; a kernel runs thread after thread. The
stand-in has what `models.softsplat_cuda` uses of CuPy, so that everything but the GPU itself is under test.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models import softsplat_compiled, softsplat_cuda, softsplat_operators

SHIM = r"""
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <utility>
#define __device__
#define __global__
using std::exp;
using std::fabs;
using std::floor;

struct Dimensions { unsigned int x, y, z; };
static Dimensions blockIdx, blockDim, threadIdx;

static int atomicAdd(int* address, int value)
{
    const int before = *address;
    *address += value;
    return before;
}

static float half_to_float(unsigned short bits)
{
    const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
    const float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp(float(mantissa), -24));
}

static unsigned short float_to_half(float x)
{
    const int sign = std::signbit(x) ? 0x8000 : 0;
    const float size = std::fabs(x);
    if (x != x) return 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < std::ldexp(1.0f, -14)) return sign | int(std::nearbyint(std::ldexp(size, 24)));
    const int exponent = std::ilogb(size);
    return sign | (((exponent + 15) << 10) + int(std::nearbyint(std::ldexp(size, 10 - exponent))) - 1024);
}

template <std::size_t... I> void call(void* kernel, const long long* words, std::index_sequence<I...>)
{
    reinterpret_cast<void (*)(decltype((void)I, 0LL)...)>(kernel)(words[I]...);
}

template <std::size_t N> struct Call {
    static void with(void* kernel, const long long* words, std::size_t count)
    {
        if (count == N) call(kernel, words, std::make_index_sequence<N>());
        else Call<N - 1>::with(kernel, words, count);
    }
};

template <> struct Call<0> {
    static void with(void*, const long long*, std::size_t) { std::abort(); }
};

extern "C" void launch(void* kernel, const long long* words, int count, int blocks, int threads, int backwards)
{
    blockDim.x = threads;
    for (long long i = 0, all = 1LL * blocks * threads; i < all; ++i) {
        const long long thread = backwards ? all - 1 - i : i;
        blockIdx.x = static_cast<unsigned int>(thread / threads);
        threadIdx.x = static_cast<unsigned int>(thread % threads);
        Call<40>::with(kernel, words, count);
    }
}
"""


class HostKernels:
    """The compiled source. ``backwards`` runs the last thread first; ``launched`` lists the kernels that ran."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.backwards = False
        self.launched: list[str] = []
        self.compiled = 0

    def get_function(self, name: str):
        kernel = ctypes.cast(getattr(self.library, name), ctypes.c_void_p)

        def run(grid: tuple[int], block: tuple[int], words: tuple[int, ...]) -> None:
            assert all(type(word) is int for word in words)  # what CuPy passes as 64 bits
            self.launched.append(name)
            array = (ctypes.c_longlong * len(words))(*words)
            self.library.launch(kernel, array, len(words), grid[0], block[0], int(self.backwards))

        return run

    def compile(self) -> None:
        self.compiled += 1


def build(folder: Path) -> HostKernels:
    """Compile the kernels for the processor into a folder, once, or skip the test."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    shim, library = folder / "softsplat_shim.h", folder / "softsplat_kernels.so"
    if library.is_file():
        return HostKernels(library)
    shim.write_text(SHIM)
    source = str(softsplat_cuda.SOURCE)
    options = [
        "-std=c++14",
        "-O1",
        "-shared",
        "-fPIC",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-include",
        str(shim),
        "-x",
        "c++",
    ]
    result = subprocess.run(
        [compiler, *options, source, "-o", str(library)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return HostKernels(library)


def stand_in_for_cupy(kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let splatting on the CPU go through `models.softsplat_cuda` and the kernels compiled for the processor."""
    cupy = SimpleNamespace(
        RawModule=lambda code, options: kernels, cuda=SimpleNamespace(ExternalStream=lambda stream: nullcontext())
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(softsplat_operators, "_implementation", lambda tensor: softsplat_cuda)
    monkeypatch.setattr(softsplat_compiled, "is_usable", lambda: False)
    for name in ("_cupy", "_module", "_kernel"):  # with caches of their own, forgotten after the test
        cached = getattr(softsplat_cuda, name)
        monkeypatch.setattr(softsplat_cuda, name, functools.cache(cached.__wrapped__))
