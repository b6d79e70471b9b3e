"""Memory and kernels of an NVIDIA GPU through CuPy, behind the few words that a driver of kernels needs.

A driver takes its device as an argument, so it runs as well on anything else that has these words: the tests give it
the processor and the same kernels compiled for it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Argument = Any  # an array of the device, a Python int or float, or None for an array that is not there


class Device(Protocol):
    """Arrays are flat float32 and belong to the device; launches run one after the other, in order."""

    def zeros(self, count: int) -> Any: ...

    def upload(self, array: NDArray[np.float32]) -> Any: ...

    def download(self, array: Any, count: int) -> NDArray[np.float32]:
        """The first values of an array, after all launches."""

    def copy(self, to: Any, source: Any) -> None: ...

    def free_bytes(self) -> int: ...

    def synchronize(self) -> None: ...

    def launch(self, kernel: str, blocks: int, threads: int, *arguments: Argument) -> None: ...


class NoKernelsError(Exception):
    """CuPy can't be imported, or can't compile kernels; the message says why, to be part of a sentence."""


def import_cupy() -> ModuleType:
    """CuPy.

    Raises:
        NoKernelsError: it is not installed, or does not fit the machine.
    """
    try:
        import cupy
    except ImportError as error:
        raise NoKernelsError(f"CuPy can't be imported ({error})") from error
    return cupy


class CompiledKernels:
    """A file of CUDA kernels, compiled by CuPy for all shapes; CuPy keeps the result on disk.

    Args:
        source: file of kernels, all of whose arguments are 64 bits wide.

    Raises:
        NoKernelsError: there is no CuPy, or the kernels don't compile.
    """

    def __init__(self, source: Path) -> None:
        try:
            self._module = import_cupy().RawModule(code=source.read_text(), options=("--std=c++14",))
            self._module.compile()
        except NoKernelsError:
            raise
        except Exception as error:  # whatever CuPy, NVRTC and the driver may raise
            raise NoKernelsError(f"CuPy can't compile them ({_line(error)})") from error
        self._kernels: dict[str, Any] = {}

    def launch(self, kernel: str, blocks: int, *, threads: int, words: Sequence[int]) -> None:
        """Run a kernel on CuPy's current stream with so many blocks of threads; its arguments are 64 bits each."""
        if kernel not in self._kernels:
            self._kernels[kernel] = self._module.get_function(kernel)
        self._kernels[kernel]((blocks,), (threads,), tuple(words))


class CupyDevice:
    """CuPy's current device and stream.

    Args:
        source: file of CUDA kernels, see :class:`CompiledKernels`.
        purpose: what the error messages say needs a GPU, and what to do without one.

    Raises:
        ValueError: CuPy is not installed, there is no CUDA device, or the kernels don't compile.
    """

    def __init__(self, source: Path, purpose: tuple[str, str]) -> None:
        name, instead = purpose
        how = f"pip install the cupy package of your CUDA version (requirements-gpu.txt), or {instead}"
        try:
            self._cupy = import_cupy()
            self._expect_gpu(name, instead)
            self._kernels = CompiledKernels(source)
        except NoKernelsError as error:
            raise ValueError(f"{name} needs CUDA kernels, but {error}; {how}") from error

    def _expect_gpu(self, name: str, instead: str) -> None:
        try:
            count = self._cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # of the driver, the runtime or CuPy, as the machine has it
            raise ValueError(f"{name} needs an NVIDIA GPU, and CUDA finds none ({_line(error)}); {instead}") from error
        if count == 0:
            raise ValueError(f"{name} needs an NVIDIA GPU, and CUDA finds none; {instead}")

    def zeros(self, count: int) -> Any:
        return self._cupy.zeros(count, np.float32)

    def upload(self, array: NDArray[np.float32]) -> Any:
        return self._cupy.asarray(np.ascontiguousarray(array)).ravel()

    def download(self, array: Any, count: int) -> NDArray[np.float32]:
        return array[:count].get()

    def copy(self, to: Any, source: Any) -> None:
        self._cupy.copyto(to, source)

    def free_bytes(self) -> int:
        return self._cupy.cuda.Device().mem_info[0] + self._cupy.get_default_memory_pool().free_bytes()

    def synchronize(self) -> None:
        self._cupy.cuda.get_current_stream().synchronize()

    def launch(self, kernel: str, blocks: int, threads: int, *arguments: Argument) -> None:
        words = [number_word(a) if a is None or isinstance(a, int | float) else a.data.ptr for a in arguments]
        self._kernels.launch(kernel, blocks, threads=threads, words=words)


def number_word(value: int | float | None) -> int:
    """A number as 64 bits, which is how CuPy passes Python's integers to a kernel; a float as the bits of a double."""
    if isinstance(value, float):
        return int(struct.unpack("<q", struct.pack("<d", value))[0])
    return 0 if value is None else int(value)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
