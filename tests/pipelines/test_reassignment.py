"""Turns of two speakers of the file, whose voices are at right angles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.pipelines.chunks import ChunkResult
from pyannote_drz.pipelines.reassignment import KNOWN_S, LEAST_S, reassign
from pyannote_drz.pipelines.stitching import Turn


def chunk(*turns: tuple[float, float, int, float]) -> ChunkResult:
    """Turns (start, end, voice, seconds heard alone)."""
    embeddings = np.zeros((len(turns), 193), dtype=np.float32)
    for row, (_, _, voice, alone_s) in enumerate(turns):
        embeddings[row, [voice, -1]] = alone_s
    return ChunkResult([Turn(start, end, 0, 0.9) for start, end, *_ in turns], embeddings)


KNOWN = chunk((0, 5, 0, 5.0), (5, 10, 1, 5.0))


def labels_of(*turns: tuple[float, float, int, float], named: list[int]) -> list[int]:
    return reassign([KNOWN, chunk(*turns)], [[0, 1], named])[1]


def test_a_turn_goes_to_whom_it_sounds_like():
    assert labels_of((0, 3, 0, 3.0), (4, 6, 1, 2.0), named=[0, 0]) == [0, 1]


def test_what_is_hardly_heard_stays():
    assert labels_of((0, 3, 1, 0.9 * LEAST_S), named=[0]) == [0]


def test_whoever_speaks_at_the_same_time_does_not_speak_twice():
    assert labels_of((0, 3, 1, 1.0), (1, 4, 1, 1.0), named=[0, 1]) == [0, 1]


def test_who_has_said_nothing_else_is_not_judged():
    """Nor is anything given to somebody of whom hardly anything is known."""
    assert reassign([KNOWN, chunk((0, 3, 0, 3.0))], [[0, 1], [2]])[1] == [2]
    little = chunk((0, 5, 0, 5.0), (5, 6, 1, 0.9 * KNOWN_S))
    assert reassign([little, chunk((0, 3, 0, 3.0))], [[0, 1], [1]])[1] == [1]


def test_nobody():
    assert reassign([], []) == []
    assert reassign([chunk()], [[]]) == [[]]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=8))
def test_every_turn_keeps_a_speaker_of_the_file(turns):
    spoken = chunk(*((3.0 * k, 3.0 * k + 2, voice, 2.0) for k, (voice, _) in enumerate(turns)))
    before = [[0, 1], [name for _, name in turns]]
    after = reassign([KNOWN, spoken], before)
    assert [len(some) for some in after] == [len(some) for some in before]
    assert {k for some in after for k in some} <= {k for some in before for k in some}
