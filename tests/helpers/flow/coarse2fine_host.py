"""A device for `data.flow.coarse2fine.cuda` that is the processor: NumPy memory, kernels compiled for the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.cuda_kernels import number_word
from data.flow.coarse2fine.cuda import SOURCE
from helpers.flow.cuda_on_host import HostKernels, build


class HostDevice:
    """``free`` is what the device says is free; ``room`` the bytes a chunk of pairs gets before memory is exhausted.

    ``taken_at_most`` counts the bytes of a chunk, none of which are given back before its end; ``launches`` lists
    ``(kernel, blocks, threads)``.
    """

    def __init__(self, folder: Path, free: int = 1 << 40) -> None:
        self.kernels: HostKernels = build(folder, SOURCE)
        self.free = free
        self.room: int | None = None
        self.launches: list[tuple[str, int, int]] = []
        self._functions: dict = {}
        self.taken_at_most = 0
        self._taken = 0

    def _take(self, count: int) -> None:
        self._taken += 4 * count
        self.taken_at_most = max(self.taken_at_most, self._taken)
        if self.room is not None and self._taken > self.room:
            self._taken = 0
            raise MemoryError

    def zeros(self, count: int) -> np.ndarray:
        self._take(count)
        return np.zeros(count, np.float32)

    def upload(self, array: np.ndarray) -> np.ndarray:
        assert array.dtype == np.float32
        self._take(array.size)
        return np.ascontiguousarray(array).ravel()

    def download(self, array: np.ndarray, count: int) -> np.ndarray:
        self._taken = 0
        return array[:count].copy()

    def copy(self, to: np.ndarray, source: np.ndarray) -> None:
        np.copyto(to, source)

    def free_bytes(self) -> int:
        return self.free

    def synchronize(self) -> None:
        pass

    def launch(self, kernel: str, blocks: int, threads: int, *arguments: object) -> None:
        self.launches.append((kernel, blocks, threads))
        if kernel not in self._functions:
            self._functions[kernel] = self.kernels.get_function(kernel)
        words = tuple(a.ctypes.data if isinstance(a, np.ndarray) else number_word(a) for a in arguments)
        self._functions[kernel]((blocks,), (threads,), words)
