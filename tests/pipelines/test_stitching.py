import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.pipelines.stitching import (
    Turn,
    alone,
    clip,
    exclusive,
    merge,
    rejoin,
    seam,
    together,
)


def test_clip():
    turns = [Turn(0, 2, 0, 0.5), Turn(1, 9, 1, 0.5), Turn(8, 9, 0, 0.5)]
    assert clip(turns, 2, 8) == [Turn(2, 8, 1, 0.5)]


def test_alone():
    turns = [Turn(0, 10, 0, 1), Turn(2, 4, 1, 1), Turn(3, 5, 2, 1), Turn(9, 12, 1, 1)]
    assert alone(turns[0], turns) == [(0, 2), (5, 9)]
    assert alone(turns[1], turns) == []
    assert alone(turns[3], turns) == [(10, 12)]
    assert alone(turns[0], turns[:1]) == [(0, 10)]  # its own turns are no overlap


def test_the_seam_is_where_the_fewest_turns_are_cut():
    left = [Turn(3, 9.5, 0, 1.0)]
    right = [Turn(9.2, 9.4, 1, 1.0), Turn(11, 15, 1, 1.0)]
    assert seam(left, right, nominal=9.3, width=1) == 9.5
    assert seam(left, right, nominal=9.25, width=0.06) == 9.2  # one is cut, of two
    assert seam([Turn(0, 20, 0, 1.0)], [], nominal=9.0, width=1) == 9.0  # no way around


def test_a_turn_cut_by_a_seam_has_one_speaker():
    left, right = [Turn(2, 11, 0, 1.0)], [Turn(8, 12, 1, 1.0), Turn(12, 13, 0, 1.0)]
    left, right = rejoin(left, right, seam=9, both=(8, 11))
    assert [turn.speaker for turn in left + right] == [0, 0, 0]  # 7 s before, 3 s after

    both_go_on = [Turn(2, 11, 0, 1.0)], [Turn(8, 12, 1, 1.0), Turn(8, 13, 0, 1.0)]
    assert rejoin(*both_go_on, seam=9, both=(8, 11)) == both_go_on
    something_else = [Turn(2, 9.1, 0, 1.0)], [Turn(8.8, 12, 1, 1.0)]
    assert rejoin(*something_else, seam=9, both=(8, 11)) == something_else


def test_merge_joins_what_touches():
    turns = [Turn(4, 8, 0, 0.9), Turn(0, 4, 0, 0.5), Turn(4, 5, 1, 0.2)]
    assert merge(turns) == [Turn(0, 8, 0, pytest.approx(0.7)), Turn(4, 5, 1, 0.2)]


def test_merge_fills_short_pauses_only():
    turns = [Turn(0, 1, 0, 1.0), Turn(1.25, 2, 0, 1.0), Turn(2.5, 3, 0, 1.0)]
    assert merge(turns, min_duration_off=0.5) == [Turn(0, 2, 0, 1.0), Turn(2.5, 3, 0, 1.0)]


def test_the_surer_speaker_has_the_floor():
    turns = [Turn(0, 10, 0, 0.75), Turn(3, 4, 1, 0.875), Turn(9, 12, 2, 0.25)]
    assert exclusive(turns) == [
        Turn(0, 3, 0, 0.75),
        Turn(3, 4, 1, 0.875),
        Turn(4, 10, 0, 0.75),
        Turn(10, 12, 2, 0.25),
    ]


TURNS = st.lists(
    st.builds(
        lambda start, length, speaker, percent: Turn(
            start / 4, (start + length) / 4, speaker, percent / 100
        ),
        st.integers(0, 100),
        st.integers(1, 30),
        st.integers(0, 3),
        st.integers(1, 100),
    ),
    max_size=12,
)


@given(TURNS)
def test_exclusive_covers_the_same_time_once(turns):
    alone = exclusive(turns)

    assert all(a.end <= b.start for a, b in zip(alone, alone[1:], strict=False))
    for quarter in range(140):
        t = quarter / 4 + 0.125
        speakers = {turn.speaker for turn in turns if turn.start < t < turn.end}
        floor = {turn.speaker for turn in alone if turn.start < t < turn.end}
        assert floor <= speakers and len(floor) == min(1, len(speakers))


@given(TURNS)
def test_turns_are_together_with_all_that_overlap_them(turns):
    turns = sorted(turns)
    groups = list(together(turns))
    assert [row for rows in groups for row in rows] == list(range(len(turns)))
    for rows in groups:
        for row in rows:
            assert alone(turns[row], [turns[i] for i in rows]) == alone(turns[row], turns)
