"""Transitions: how one turn follows another.

The floor is held by whoever's turn ends last among those begun so far. The next turn to begin is

    hold           the same speaker again, after a pause
    switch         somebody else, after a gap
    interruption   somebody else, before the floor is free, and keeps it
    backchannel    somebody else, begun and ended while the floor is held

the four that FastMSS counts too (Interspeech 2026, arXiv 2605.15442).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .turns import Turn

KINDS = ("hold", "switch", "interruption", "backchannel")
HOLD, SWITCH, INTERRUPTION, BACKCHANNEL = range(4)


class Transition(NamedTuple):
    """A turn, and the one that held the floor when it began."""

    kind: int  # of KINDS
    floor: Turn
    turn: Turn

    @property
    def seconds(self) -> float:
        """Pause (hold), gap (switch), or overlap with the floor (the other two), in seconds."""
        if self.kind in (HOLD, SWITCH):
            return self.turn.start_s - self.floor.end_s
        return min(self.floor.end_s, self.turn.end_s) - self.turn.start_s


def transitions(turns: Sequence[Turn]) -> Iterator[Transition]:
    """Transitions of a conversation, one for every turn but the first.

    Parameters
    ----------
    turns : sequence of Turn
        Sorted, without overlap of a speaker with himself (see `turns.merge_gaps`).
    """
    floor = None
    for turn in turns:
        if floor is None:
            floor = turn
            continue
        if turn.start_s >= floor.end_s:
            kind = HOLD if turn.speaker == floor.speaker else SWITCH
        else:
            kind = INTERRUPTION if turn.end_s > floor.end_s else BACKCHANNEL
        yield Transition(kind, floor, turn)
        if turn.end_s > floor.end_s:
            floor = turn
