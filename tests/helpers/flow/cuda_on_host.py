"""CUDA kernels on the processor: their source behind a shim that gives the few words of CUDA they use a meaning in C++.

Blocks run one after the other. Without barriers a block's threads do too; with them each thread has a stack of its own
and runs up to the next barrier before the next thread's turn. Either way a kernel can be run with the last block and
thread first: a result that depends on the order shows a race.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

SHIM = r"""
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <utility>
#include <vector>
#include <setjmp.h>
#include <ucontext.h>
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(threads)
using std::exp;
using std::fabs;
using std::floor;
using std::fmaf;

struct Dimensions { unsigned int x, y, z; };
static Dimensions blockIdx, blockDim, threadIdx;

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

inline int atomicAdd(int* address, int value)
{
    const int before = *address;
    *address += value;
    return before;
}

inline float half_to_float(unsigned short bits)
{
    const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
    const float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp(float(mantissa), -24));
}

inline unsigned short float_to_half(float x)
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

struct Launch { void* kernel; const long long* words; int count; };
static Launch launched;

static void run_thread() { Call<40>::with(launched.kernel, launched.words, launched.count); }

// A thread with a stack of its own. It is started once and runs its part of block after block.
struct Thread { ucontext_t start; jmp_buf place; std::vector<char> stack; bool started, finished; };
static std::vector<Thread*> threads;
static jmp_buf scheduler;
static std::size_t current;

static void leave()
{
    if (_setjmp(threads[current]->place) == 0) _longjmp(scheduler, 1);
}

static void live()
{
    for (;;) {
        run_thread();
        threads[current]->finished = true;
        leave();
    }
}

inline void __syncthreads() { leave(); }

static void resume()
{
    Thread& thread = *threads[current];
    if (_setjmp(scheduler) != 0) return;
    if (thread.started) _longjmp(thread.place, 1);
    thread.started = true;
    getcontext(&thread.start);
    thread.stack.resize(1 << 16);
    thread.start.uc_stack.ss_sp = thread.stack.data();
    thread.start.uc_stack.ss_size = thread.stack.size();
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, live, 0);
    setcontext(&thread.start);
}

static void run_block_with_barriers(std::size_t size, bool backwards)
{
    while (threads.size() < size) threads.push_back(new Thread());
    for (std::size_t t = 0; t < size; ++t) threads[t]->finished = false;
    for (std::size_t running = size; running > 0;) {
        for (std::size_t i = 0; i < size; ++i) {
            current = backwards ? size - 1 - i : i;
            if (threads[current]->finished) continue;
            threadIdx.x = static_cast<unsigned int>(current);
            resume();
            running -= threads[current]->finished;
        }
    }
}

extern "C" void launch(
    void* kernel, const long long* words, int count, int blocks, int size, int backwards, int with_barriers)
{
    launched = {kernel, words, count};
    blockDim.x = size;
    for (int block = 0; block < blocks; ++block) {
        blockIdx.x = backwards ? blocks - 1 - block : block;
        if (with_barriers) {
            run_block_with_barriers(size, backwards);
            continue;
        }
        for (int thread = 0; thread < size; ++thread) {
            threadIdx.x = backwards ? size - 1 - thread : thread;
            run_thread();
        }
    }
}
"""


class HostKernels:
    """The compiled source. ``backwards`` runs the last thread first; ``launched`` lists the kernels that ran."""

    def __init__(self, library: Path, with_barriers: bool) -> None:
        self.library = ctypes.CDLL(str(library))
        self.with_barriers = with_barriers
        self.backwards = False
        self.launched: list[str] = []
        self.compiled = 0

    def get_function(self, name: str):
        kernel = ctypes.cast(getattr(self.library, name), ctypes.c_void_p)

        def run(grid: tuple[int], block: tuple[int], words: tuple[int, ...]) -> None:
            assert all(type(word) is int for word in words)  # what CuPy passes as 64 bits
            self.launched.append(name)
            array = (ctypes.c_longlong * len(words))(*words)
            self.library.launch(
                kernel, array, len(words), grid[0], block[0], int(self.backwards), int(self.with_barriers)
            )

        return run

    def compile(self) -> None:
        self.compiled += 1


def build(folder: Path, source: Path) -> HostKernels:
    """Compile kernels for the processor into a folder, once, or skip the test."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    library, shim = folder / f"{source.parent.name}_{source.stem}.so", folder / "cuda_on_host.h"
    with_barriers = "__syncthreads" in source.read_text()
    if not library.is_file():
        shim.write_text(SHIM)
        options = ["-std=c++14", "-O2" if with_barriers else "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        # A checked longjmp takes a thread's own stack for a fault; `#pragma unroll` is for CUDA's compilers.
        options += ["-U_FORTIFY_SOURCE", "-Wno-unused-function", "-Wno-unknown-pragmas", "-include", str(shim)]
        command = [compiler, *options, "-x", "c++", str(source), "-o", str(library)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
    return HostKernels(library, with_barriers)


# ---- NVIDIA's compilers ----


def compile_with_nvcc(source: Path, folder: Path) -> str:
    """The PTX that nvcc makes of kernels, or skip the test."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc here")
    options = ["-ptx", "--std=c++14", "-Werror", "all-warnings"]
    command = [nvcc, *options, str(source), "-o", str(folder / "kernels.ptx")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return (folder / "kernels.ptx").read_text()


def compile_with_nvrtc(source: Path) -> str:
    """The PTX of NVRTC, which is what CuPy uses; it comes with PyTorch's CUDA packages and needs no GPU."""
    nvrtc = _find_nvrtc()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    name = source.name.encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), name, 0, None, None) == 0
    options = (ctypes.c_char_p * 2)(b"--std=c++14", b"--gpu-architecture=compute_80")
    status = nvrtc.nvrtcCompileProgram(program, 2, options)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    assert nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
    ptx = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetPTX(program, ptx) == 0
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode()


def _find_nvrtc() -> ctypes.CDLL:
    packages = Path(torch.__file__).parents[1] / "nvidia"
    for pattern in ("*/lib/libnvrtc.so.*", "*/lib64/libnvrtc.so.*"):
        for path in sorted([*packages.glob(pattern), *Path("/usr/local").glob(pattern)]):
            if "builtins" in path.name:
                continue
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
    pytest.skip("no NVRTC here")
