"""Threads: work that is many equal parts keeps every core busy with a part of its own.

Two threads of one core each encode 1.9 times as fast as one operation after another on two cores:
most operations are too small to be shared (recipes/speed).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")

MOST_THREADS = 8  # each needs memory of its own; what there is beyond is shared by operations


def num_workers(device: torch.device) -> int:
    """How many items `mapped` has under way at once."""
    return min(torch.get_num_threads(), MOST_THREADS) if device.type == "cpu" else 1


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """`function` of each item, in order; several at once on a CPU.

    Items are taken as they are needed. Results do not depend on how many threads there are, as long
    as `function` does not.

    Parameters
    ----------
    function : callable
        Called in other threads: autocast and gradient modes are its own.
    items : iterable
    device : torch.device
        Where `function` computes; what is no CPU is busy with one item at a time.
    """
    num_threads, workers = torch.get_num_threads(), num_workers(device)
    items = iter(items)
    first = list(islice(items, 2))
    items = chain(first, items)
    if workers == 1 or len(first) < 2:  # one item alone has all threads for its operations
        yield from map(function, items)
        return
    torch.set_num_threads(num_threads // workers)
    pool = ThreadPoolExecutor(workers)
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)
