"""From a file to chunks and back: where to listen, and how turns meet at the seams.

    chunk 0   |============ emitted ============|····|
    chunk 1                              |····|============ emitted ============|····|
    chunk 2                                         (shifted left to be full) |···|== emitted ==|

The dotted context is heard and written, because a voice at the edge of a chunk is hard to tell,
but what is said of it is left to the neighbour. Turns of one person that meet at a seam are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Turn(NamedTuple):
    """Somebody speaks.

    start, end : float, in seconds
    speaker : int
    probability : float
    """

    start: float
    end: float
    speaker: int
    probability: float


class Chunk(NamedTuple):
    """Samples `start` to `stop` are heard, turns between `first` and `last` are emitted."""

    start: int
    stop: int
    first: int
    last: int


def split(num_samples: int, duration: int, context: int, tail: int = 0) -> list[Chunk]:
    """Cover a file with chunks.

    Parameters
    ----------
    num_samples : int
        In the file.
    duration : int
        Longest chunk, in samples.
    context : int
        Samples at inner edges that are heard and not emitted, less than half of `duration`.
    tail : int, optional
        A file that is fewer samples than this longer than a chunk is one chunk all the same.

    Returns
    -------
    chunks : list of Chunk
        Their emitted parts tile the file. All are of full duration, unless the file is shorter.
    """
    if num_samples - duration < max(tail, 1):
        return [Chunk(0, min(num_samples, duration), 0, num_samples)]
    chunks, emitted = [], 0
    while emitted < num_samples:
        start = min(max(emitted - context, 0), num_samples - duration)
        stop = start + duration
        last = num_samples if stop == num_samples else stop - context
        chunks.append(Chunk(start, stop, emitted, last))
        emitted = last
    return chunks


def clip(turns: Iterable[Turn], first: float, last: float) -> list[Turn]:
    """Parts of turns between `first` and `last`, in seconds."""
    clipped = (
        turn._replace(start=max(turn.start, first), end=min(turn.end, last)) for turn in turns
    )
    return [turn for turn in clipped if turn.start < turn.end]


def merge(turns: Iterable[Turn], min_duration_off: float = 0.0) -> list[Turn]:
    """Join turns of one speaker that touch, or are less than `min_duration_off` seconds apart.

    Returns
    -------
    turns : list of Turn
        Sorted. The probability of joined turns is the mean of their seconds.
    """
    merged: list[Turn] = []
    latest: dict[int, int] = {}  # speaker -> index of the last turn
    for turn in sorted(turns):
        i = latest.get(turn.speaker)
        if i is not None:
            before = merged[i]
            gap = turn.start - before.end
            if gap <= 0 or gap < min_duration_off:
                a, b = before.end - before.start, turn.end - turn.start
                merged[i] = before._replace(
                    end=max(before.end, turn.end),
                    probability=(a * before.probability + b * turn.probability) / (a + b),
                )
                continue
        latest[turn.speaker] = len(merged)
        merged.append(turn)
    return merged


def exclusive(turns: Iterable[Turn]) -> list[Turn]:
    """Turns without overlap: where several speak, the most probable turn has the floor."""
    waiting = sorted(turns, reverse=True)  # the next one last
    edges = sorted({edge for turn in waiting for edge in (turn.start, turn.end)})
    pieces, speaking = [], []
    for start, end in pairwise(edges):
        speaking = [turn for turn in speaking if turn.end > start]
        while waiting and waiting[-1].start <= start:
            speaking.append(waiting.pop())
        if speaking:
            floor = max(speaking, key=lambda turn: turn.probability)
            pieces.append(floor._replace(start=start, end=end))
    return merge(pieces)
