"""Workers: conversations of a corpus made in parallel, one thread in each process."""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import NamedTuple

import torch

from ..mixing import Simulator
from .corpus import Corpus, Ingredients

_corpus: Corpus  # of this worker
_simulator: Simulator


class Made(NamedTuple):
    """What is told of a conversation when it is there."""

    index: int
    speech_s: float  # of all speakers
    reused_s: float  # of it, heard a second time because no voice was long enough


def make_all(
    corpus: Corpus, ingredients: Ingredients, indices: Sequence[int], jobs: int
) -> Iterator[Made]:
    """Make conversations, in any order.

    When the caller stops early, by Ctrl-C say, conversations under way are finished and no other
    is begun.

    Parameters
    ----------
    corpus : Corpus
    ingredients : Ingredients
    indices : sequence of int
    jobs : int
        Processes. The files are the same for any number.

    Raises
    ------
    ValueError
        If a conversation cannot be drawn.
    OSError
        If a file cannot be written, or a process was killed.
    """
    if not indices:
        return
    # Not forked: threads of torch do not survive that, and macOS and Windows do otherwise anyway.
    pool = ProcessPoolExecutor(
        min(jobs, len(indices)), get_context("spawn"), _set_up, (corpus, ingredients)
    )
    # Ctrl-C goes to all processes of a terminal; workers inherit that they do not care.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        futures = [pool.submit(_make, index) for index in indices]
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise OSError(
            f"a worker was killed, most likely for want of memory: try fewer than {jobs} jobs."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _set_up(corpus: Corpus, ingredients: Ingredients) -> None:
    global _corpus, _simulator
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    _corpus, _simulator = corpus, ingredients.simulator()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers: they do so themselves."""
    parent_process().join()
    os._exit(1)


def _make(index: int) -> Made:
    conversation = _corpus.make(_simulator, index)
    speech_s = sum(turn.end_s - turn.start_s for turn in conversation.turns)
    return Made(index, speech_s, conversation.reused_s)
