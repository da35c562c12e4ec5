import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from pyannote_drz.pipelines.silences import loudness, spoken
from pyannote_drz.pipelines.stitching import Turn

BIN_S = 0.02
spans = st.tuples(st.integers(0, 99), st.integers(1, 50)).map(lambda s: (s[0], min(100, sum(s))))
speech = st.lists(st.floats(0, 1, width=32), min_size=100, max_size=100).map(np.array)


@given(spans, speech, st.floats(0, 1))
def test_what_is_left_is_what_is_probable(span, speech, threshold):
    first, stop = span
    turn = Turn(first * BIN_S, stop * BIN_S, 2, 0.7)
    parts = spoken(turn, speech, threshold, BIN_S)
    inside = {first + int(bin_) for bin_ in np.flatnonzero(speech[first:stop] >= threshold)}
    covered = [range(round(part.start / BIN_S), round(part.end / BIN_S)) for part in parts]
    assert set().union(*covered) == inside
    assert all(left.stop < right.start for left, right in zip(covered, covered[1:], strict=False))
    assert all(part.speaker == 2 and part.probability == 0.7 for part in parts)


def test_loudness_is_that_of_turns():
    speech = np.full(100, 0.9)
    speech[:50] = 0.75
    assert loudness([Turn(0.0, 1.0, 0, 0.5)], speech, BIN_S) == approx(0.75)
    assert loudness([Turn(0.0, 2.0, 0, 0.5)], speech, BIN_S) == approx(0.9)


def test_a_head_that_is_sure_of_nothing_has_no_say():
    speech = np.full(100, 0.6)
    assert loudness([Turn(0.0, 2.0, 0, 0.5)], speech, BIN_S) == 0.0
    assert loudness([], speech, BIN_S) == 0.0


def test_a_pause_is_cut_out_and_nothing_else_moves():
    speech = np.ones(100)
    speech[40:60] = 0.1
    turn = Turn(0.2, 1.8, 0, 0.9)
    cut = spoken(turn, speech, 0.5, BIN_S)
    assert [part.start for part in cut] == approx([0.2, 1.2])
    assert [part.end for part in cut] == approx([0.8, 1.8])
    assert spoken(turn, speech, 0.05, BIN_S) == [turn]
    assert spoken(turn, np.zeros(100), 0.5, BIN_S) == []
