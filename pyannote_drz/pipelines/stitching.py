"""Stitching: turns of chunks become turns of the file.

The seam of two chunks, which both have heard what is around it, moves to where it cuts the fewest
turns; turns of one speaker that meet there are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ..prompting import POSITION_S

if TYPE_CHECKING:
    from .chunks import Chunk


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


def together(turns: Sequence[Turn]) -> Iterator[list[int]]:
    """Rows of sorted turns between two moments at which nobody speaks."""
    rows, end = [], float("-inf")
    for row, turn in enumerate(turns):
        if rows and turn.start >= end:
            yield rows
            rows = []
        rows.append(row)
        end = max(end, turn.end)
    if rows:
        yield rows


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


def stitch(
    chunks: list[Chunk], turns: list[list[Turn]], min_duration_off: float = 0.0
) -> list[Turn]:
    """Turns of the file: those of each chunk between two seams, merged.

    Parameters
    ----------
    chunks : list of Chunk
    turns : list of list of Turn
        Of each chunk, in seconds of the file; of global speakers.
    min_duration_off : float, optional
        See `merge`.
    """
    turns = [list(some) for some in turns]
    seams = [chunks[0].first * POSITION_S]
    for c, (left, right) in enumerate(pairwise(chunks)):
        both = right.start * POSITION_S, left.stop * POSITION_S
        # Half of the context stays, whichever way the seam moves.
        context_s = (left.stop - left.last) * POSITION_S
        at = seam(turns[c], turns[c + 1], left.last * POSITION_S, context_s / 2)
        turns[c], turns[c + 1] = rejoin(turns[c], turns[c + 1], at, both)
        seams.append(at)
    seams.append(chunks[-1].last * POSITION_S)
    told = (clip(some, *edges) for some, edges in zip(turns, pairwise(seams), strict=True))
    return merge((turn for some in told for turn in some), min_duration_off)
