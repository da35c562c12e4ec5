"""Items of work on several threads."""

import threading
import time

import pytest
import torch

from pyannote_drz.models.parallel import mapped, num_workers

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def num_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_order(num_threads):
    def slow(item: int) -> int:
        time.sleep(0.01 * (item % 3))
        return item**2

    assert list(mapped(slow, range(20), CPU)) == [item**2 for item in range(20)]
    assert torch.get_num_threads() == num_threads


def test_each_thread_computes_alone(num_threads):
    seen = set(mapped(lambda _: torch.get_num_threads(), range(8), CPU))
    assert seen == {1}


def test_items_are_taken_as_they_are_needed(num_threads):
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    most = num_workers(CPU) + 1
    results = mapped(lambda item: item, items(), CPU)
    first = next(results)
    results.close()
    assert first == 0 and len(taken) <= most


def test_errors_come_out_and_threads_go(num_threads):
    def fails(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    before = threading.active_count()
    with pytest.raises(ValueError, match="three"):
        list(mapped(fails, range(10), CPU))
    assert threading.active_count() == before
    assert torch.get_num_threads() == num_threads


def test_devices_that_are_busy_with_one_item_get_one(num_threads):
    here = threading.get_ident()
    seen = set(mapped(lambda _: threading.get_ident(), range(4), torch.device("meta")))
    assert seen == {here} and num_workers(torch.device("meta")) == 1
