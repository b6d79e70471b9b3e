"""A map over processes with a progress bar, for the slow parts of `data.prepare`."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any


def parallel_map(function: Callable, items: list, workers: int, unit: str, done: int = 0) -> list:
    """``[function(item) for item in items]`` with a progress bar, in processes if there are several workers and items.

    Ctrl-C, or an exception in a worker, stops all of them at once.
    """
    from tqdm import tqdm

    results: list[Any] = [None] * len(items)
    progress = tqdm(total=done + len(items), initial=done, unit=f" {unit}", dynamic_ncols=True, smoothing=0)
    if workers == 1 or len(items) < 2:
        with progress:
            for index, item in enumerate(items):
                results[index] = function(item)
                progress.update()
        return results
    # Spawned, because a forked copy of a process that has used torch's or OpenCV's threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, initializer=_start_worker)
    try:
        with progress:
            with _ignored_interrupts():  # the workers start here and inherit it: on Ctrl-C the parent stops them
                positions = {pool.submit(function, item): index for index, item in enumerate(items)}
            for future in as_completed(positions):
                results[positions[future]] = future.result()
                progress.update()
    except BaseException:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return results


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _start_worker() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
