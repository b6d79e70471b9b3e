"""Several frames at once on a CPU: threads that each compute on their own cores, and results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Generator[Result, None, None]:
    """``work`` of each item, in the order of the items, by several threads that are at most one item each ahead.

    A frame is many small steps, which PyTorch divides among cores badly; two frames divide well. What a caller does
    with a result, such as encoding it, goes on beside the work on the next ones.

    Args:
        workers: items in work at once, which share out PyTorch's threads; 1 works in the thread of the caller.

    Raises:
        Exception: what ``work`` raises, in the turn of its item; nothing further is begun then.
    """
    if workers == 1:
        yield from map(work, items)
        return
    # PyTorch keeps the number of threads for each thread that starts some.
    before = torch.get_num_threads()
    threads = max(1, before // workers)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # what the workers were told is what threads begun later would start with
