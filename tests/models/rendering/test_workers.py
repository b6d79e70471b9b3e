"""Frames rendered side by side: in order, the same as one after the other, and stopped at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import torch

from models.rendering.workers import in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_at_most_one_item_each_ahead(workers: int) -> None:
    taken: list[int] = []

    def items():
        for item in count():
            taken.append(item)
            yield item

    results = in_order(lambda item: item * item, items(), workers=workers)
    for expected in range(20):
        assert next(results) == expected * expected
        assert len(taken) <= expected + 1 + workers
    results.close()
    left = len(taken)
    assert [thread for thread in threading.enumerate() if "ThreadPool" in thread.name] == []
    assert left <= 20 + workers


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_in_its_turn_and_ends_the_work(workers: int) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise FloatingPointError("frame 3 is not finite")
        return item

    results = in_order(work, range(1000), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(FloatingPointError, match="frame 3"):
        next(results)
    assert max(begun) <= 3 + workers


def test_threads_are_shared_out_and_the_callers_stay_as_they_were() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        before = torch.get_num_threads()
        inside = set(in_order(lambda _: torch.get_num_threads(), range(8), workers=2))
        assert inside == {3}
        assert torch.get_num_threads() == before
        with ThreadPoolExecutor(1) as later:  # as the next request of a server
            assert later.submit(torch.get_num_threads).result() == before
    finally:
        torch.set_num_threads(usual)
