"""Processes that share the work of making a dataset folder: on this machine, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_sentinel
from pathlib import Path
from typing import Any

from common.command_line import MachineFailure
from data.dask_cluster import CONNECT_SECONDS, dask_client


def available_cores() -> int:
    """Cores that this process may use, which on clusters are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


AHEAD = 2  # items a worker: one that it works on, one that waits for it
DASK_AHEAD = 100  # besides: without waiting work, a cluster that grows by demand would not grow
WINDOWS_PROCESSES = 61  # for more of them Windows can't wait at once


class WorkerDiedError(MachineFailure):
    """Worker processes ended without a result; the message is one line that says what to try."""


class Workers:
    """Processes that work on items; started at the first `map` that needs them. A context manager.

    Leaving it by an exception, Ctrl-C among them, stops local processes at once. They also end by themselves when this
    process is killed.

    Args:
        count: local processes; 1 works in this process.
        dask: address or scheduler file of a Dask cluster, whose workers are used instead.
        connect_seconds: how long to wait for the scheduler's answer.
    """

    def __init__(self, count: int = 1, *, dask: str | None = None, connect_seconds: float = CONNECT_SECONDS) -> None:
        self.count = count
        self.remote = dask is not None
        self._client = dask_client(dask, connect_seconds) if dask is not None else None
        self._executor: Executor | None = None
        self._asked = -1e9  # time at which the cluster's size was asked for
        self._window = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        failed = kind is not None
        if isinstance(self._executor, ProcessPoolExecutor):
            if failed:
                for process in list((getattr(self._executor, "_processes", None) or {}).values()):
                    process.terminate()
            self._executor.shutdown(wait=True, cancel_futures=failed)
        if self._client is not None:
            self._client.close()  # the cluster then forgets what it has not begun

    @property
    def processes(self) -> int:
        """Local processes that are running."""
        return len(getattr(self._executor, "_processes", None) or {})

    def map(
        self,
        function: Callable,
        items: Iterable,
        *,
        total: int,
        unit: str,
        done: int = 0,
        brief: bool = False,
        resource: Callable[[], Any] | None = None,
    ) -> Generator[tuple, None, None]:
        """Pairs ``(item, function(item))`` in the order in which they are finished, with a progress bar.

        An exception of ``function`` ends it.

        Args:
            function: can be pickled, as the items and results can.
            total: number of items.
            unit: what the progress bar counts.
            done: the count that the progress bar begins at.
            brief: no trace of the progress bar remains.
            resource: class of what each worker makes once, keeps from item to item and passes to ``function`` as the
                second argument; in this process its ``close()`` is called at the end.

        Raises:
            WorkerDiedError: see there.
        """
        from tqdm import tqdm

        with (
            closing(self._results(function, items, total, resource)) as results,
            tqdm(
                total=done + total,
                initial=done,
                unit=f" {unit}",
                dynamic_ncols=True,
                smoothing=0,
                leave=not brief,
                disable=None if brief else False,
            ) as progress,
        ):
            for result in results:
                progress.update()
                yield result

    def _results(
        self, function: Callable, items: Iterable, total: int, resource: Callable[[], Any] | None
    ) -> Generator[tuple, None, None]:
        if not self.remote and (self.count == 1 or total < 2):
            yield from _results_here(function, items, resource)
            return
        if self._executor is None:
            self._executor = self._start()
        try:
            yield from self._from_window(self._executor, _Call(function, resource), items)
        except BrokenProcessPool as error:
            raise WorkerDiedError("a worker process died, perhaps for lack of memory; try fewer --workers") from error
        except CancelledError as error:
            raise WorkerDiedError("the Dask scheduler was lost; start it and run the same command again") from error
        except ImportError as error:
            if not self.remote:
                raise
            raise ValueError(
                f"a Dask worker can't import what it needs ({error}); "
                "start the workers with the checkout in PYTHONPATH and the same packages installed"
            ) from error
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # distributed's, which need not be installed
                raise
            raise WorkerDiedError("Dask workers died, perhaps for lack of memory; give each more of it") from error

    def _start(self) -> Executor:
        if self._client is not None:
            return self._client.get_executor(pure=False)  # what was computed once may have been deleted since
        # Spawned, because a forked copy of a process that has used torch's or OpenCV's threads may hang.
        context = multiprocessing.get_context("spawn")
        # The executor starts a process when an item finds none idle: few videos to scan start few, many sequences all.
        count = min(self.count, WINDOWS_PROCESSES) if sys.platform == "win32" else self.count
        return ProcessPoolExecutor(count, context, initializer=_start_worker)

    def _from_window(self, executor: Executor, call: _Call, items: Iterable) -> Iterator[tuple]:
        pending: dict[Any, Any] = {}
        iterator = iter(items)
        exhausted = False
        while pending or not exhausted:
            while not exhausted and len(pending) < self._window_size():
                try:
                    item = next(iterator)
                except StopIteration:
                    exhausted = True
                    break
                with _held_back_interrupts():
                    if self.remote:
                        # Only the worker unpacks it: a scheduler need not be able to import this program.
                        future = executor.submit(pickle.loads, pickle.dumps(_PickledCall(call, item)))
                    else:
                        future = executor.submit(call, item)
                pending[future] = item
            for future in wait(pending, return_when=FIRST_COMPLETED).done if pending else ():
                yield pending.pop(future), future.result()

    def _window_size(self) -> int:
        if self._client is None:
            return AHEAD * self.count
        if time.monotonic() - self._asked > 5:  # workers come and go
            self._window = AHEAD * sum(self._client.nthreads().values()) + DASK_AHEAD
            self._asked = time.monotonic()
        return self._window


def _results_here(
    function: Callable, items: Iterable, resource: Callable[[], Any] | None
) -> Generator[tuple, None, None]:
    """Pairs ``(item, function(item))``, computed in this process."""
    if resource is None:
        yield from ((item, function(item)) for item in items)
        return
    with closing(resource()) as held:
        for item in items:
            yield item, function(item, held)


_resources = threading.local()  # .held: class -> what this worker keeps from item to item


@dataclass(frozen=True)
class _Call:
    """What a worker does with an item."""

    function: Callable
    resource: Callable[[], Any] | None

    def __call__(self, item: Any) -> Any:
        if self.resource is None:
            return self.function(item)
        held: dict = _resources.__dict__.setdefault("held", {})
        if self.resource not in held:
            held[self.resource] = self.resource()
        return self.function(item, held[self.resource])


@contextmanager
def _held_back_interrupts() -> Iterator[None]:
    """Worker processes start with Ctrl-C blocked, which they inherit here: the parent stops them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """What a local worker does first."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    # A killed parent can't stop its workers, and they would wait for it for ever.
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _use_one_thread()


def _end_with(sentinel: int) -> None:
    wait_for_sentinel([sentinel])
    os._exit(1)


def _use_one_thread() -> None:
    """Keep libraries from starting a thread a core in each process: those to be loaded, and those that are."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ[name] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


_worker_ready = threading.Event()


class _PickledCall:
    """A call that is made where its pickle is unpacked; what unpacking gives is the result."""

    def __init__(self, call: _Call, item: Any) -> None:
        self.parts = call, item

    def __reduce__(self) -> tuple[Callable, tuple[_Call, Any]]:
        return _run_on_worker, self.parts


def _run_on_worker(call: _Call, item: Any) -> Any:
    if not _worker_ready.is_set():
        _use_one_thread()
        _worker_ready.set()
    return call(item)


def expect_visible(*paths: str | Path) -> None:
    """Raise a ValueError that names this machine if a path does not exist on it."""
    for path in paths:
        if not os.path.lexists(path):
            raise ValueError(
                f"{path}: not there on {socket.gethostname()}; with --dask, videos and dataset folder "
                "have to be on storage that all machines share, under one path"
            )
