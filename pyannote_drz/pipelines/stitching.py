"""From a file to chunks and back: where to listen, and how turns meet at the seams.

    chunk 0   |============ emitted ============|····|
    chunk 1                              |····|============ emitted ============|····|
    chunk 2                                         (shifted left to be full) |···|== emitted ==|

The dotted context is heard and written, because a voice at the edge of a chunk is hard to tell,
but what is said of it is left to the neighbour. The seam moves to where it cuts the fewest turns;
turns of one person that meet at a seam are one.
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


def alone(turn: Turn, turns: Iterable[Turn]) -> list[tuple[float, float]]:
    """Parts (start, end) of a turn during which no other speaker has a turn."""
    others = sorted(
        (max(other.start, turn.start), min(other.end, turn.end))
        for other in turns
        if other.speaker != turn.speaker and other.end > turn.start and other.start < turn.end
    )
    parts, start = [], turn.start
    for first, last in others:
        if first > start:
            parts.append((start, first))
        start = max(start, last)
    return parts + [(start, turn.end)] if start < turn.end else parts


def seam(left: list[Turn], right: list[Turn], nominal: float, width: float) -> float:
    """Where the left of two chunks leaves off and the right one goes on.

    Parameters
    ----------
    left, right : list of Turn
        What either has heard.
    nominal : float
        In seconds, in the middle of what both have heard.
    width : float
        At most that many seconds from there.

    Returns
    -------
    seam : float
        In seconds, where the fewest turns are cut, and of these instants the closest to `nominal`.
    """
    turns = left + right
    edges = {edge for turn in turns for edge in (turn.start, turn.end)}
    near = [edge for edge in edges if abs(edge - nominal) <= width] + [nominal]

    def cost(instant: float) -> tuple[int, float, float]:
        cuts = sum(turn.start < instant < turn.end for turn in turns)
        return cuts, abs(instant - nominal), instant

    return min(near, key=cost)


def rejoin(
    left: list[Turn], right: list[Turn], seam: float, both: tuple[float, float]
) -> tuple[list[Turn], list[Turn]]:
    """Give a turn that is cut by a seam, and changes its speaker there, to one of them.

    Parameters
    ----------
    left, right : list of Turn
    seam : float
        In seconds.
    both : (start, end)
        In seconds, what both chunks have heard.

    Returns
    -------
    left, right : list of Turn
        Turns that are mostly the same in what both have heard, of two people of whom neither goes
        on at the seam by themselves, have the speaker of the longer part.
    """
    left, right = list(left), list(right)
    ends = [i for i, turn in enumerate(left) if turn.start < seam < turn.end]
    starts = [i for i, turn in enumerate(right) if turn.start < seam < turn.end]
    before, after = {left[i].speaker for i in ends}, {right[i].speaker for i in starts}
    for i in ends:
        for j in starts:
            a, b = left[i], right[j]
            if a.speaker in after or b.speaker in before:
                continue
            (a_start, a_end), (b_start, b_end) = (
                (max(turn.start, both[0]), min(turn.end, both[1])) for turn in (a, b)
            )
            shared = min(a_end, b_end) - max(a_start, b_start)
            if shared > (max(a_end, b_end) - min(a_start, b_start)) / 2:
                speaker = a.speaker if seam - a.start >= b.end - seam else b.speaker
                left[i], right[j] = a._replace(speaker=speaker), b._replace(speaker=speaker)
                before.add(speaker)
                after.add(speaker)
    return left, right


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
