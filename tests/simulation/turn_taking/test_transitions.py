"""Transitions: which turn follows which."""

import pytest

from pyannote_drz.simulation import Turn
from pyannote_drz.simulation.turn_taking.transitions import KINDS, transitions


def test_kinds():
    turns = [
        Turn(0, 4, 0),
        Turn(1, 2, 1),  # inside
        Turn(3, 6, 1),  # keeps the floor
        Turn(7, 8, 1),  # goes on
        Turn(8, 9, 0),  # without a gap
    ]
    found = [(KINDS[t.kind], t.seconds, t.floor) for t in transitions(turns)]
    assert found == [
        ("backchannel", 1, turns[0]),
        ("interruption", 1, turns[0]),
        ("hold", 1, turns[2]),
        ("switch", 0, turns[3]),
    ]


@pytest.mark.parametrize("turns", [[], [Turn(0, 1, 0)]])
def test_nothing_follows(turns):
    assert list(transitions(turns)) == []
