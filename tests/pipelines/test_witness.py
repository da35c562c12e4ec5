"""Witness: sure pauses end turns, sure speech is somebody's, and doubt changes nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.encoders.segmentation import CLASSES, NUM_CLASSES, runs
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.pipelines.witness import (
    NOBODY_PROBABILITY,
    latest_starts,
    with_heard_edges,
    without_false_overlap,
    without_pauses,
)

from .speech import features_of

BIN_S = 0.02


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start, end, speaker, 0.5)


def heard_locally(local: list[tuple[int, ...]]) -> Features:
    """Features of positions, given which of PyanNet's local speakers are active in each."""
    classes = torch.tensor([CLASSES.index(speakers) for speakers in local])
    probabilities = torch.nn.functional.one_hot(classes, NUM_CLASSES).float()
    return features_of(local)._replace(probabilities=probabilities[:, None].repeat(1, 4, 1))


def times_of(turns: list[Turn]) -> list[tuple]:
    return [(round(one.start, 6), round(one.end, 6), one.speaker) for one in turns]


def doubtful(features: Features) -> Features:
    """The same, by a witness who is not sure."""
    either = torch.tensor([0.5, 0, 0, 0, 0.5, 0, 0])  # nobody, or two
    return features._replace(probabilities=0.6 * features.probabilities + 0.4 * either)


# ---- pauses -------------------------------------------------------------------------------------


def test_turns_end_where_pauses_begin():
    heard = features_of([(0,)] * 25 + [()] * 10 + [(0,)] * 10 + [()] * 6 + [(0, 1)] * 25)
    turns = [turn(0.0, 6.08, 0), turn(2.4, 3.0, 1), turn(2.16, 2.64, 2), turn(4.08, 6.08, 1)]
    left = without_pauses(turns, heard)
    expected = [
        turn(0.0, 2.0, 0),
        turn(2.8, 3.0, 1),
        turn(2.8, 6.08, 0),  # the next silence is shorter than half a second
        turn(4.08, 6.08, 1),
    ]
    assert [x for one in left for x in one] == pytest.approx([x for one in expected for x in one])
    assert without_pauses([], heard) == []
    assert without_pauses([turn(0.3, 1.2, 0)], Features.silence(20)) == []


def test_doubt_is_no_pause():
    heard = features_of([(0,)] * 10 + [()] * 20 + [(0,)] * 10)
    assert without_pauses([turn(0.0, 3.2, 0)], doubtful(heard)) == [turn(0.0, 3.2, 0)]
    assert len(without_pauses([turn(0.0, 3.2, 0)], heard)) == 2


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 100), st.integers(1, 100))
def test_pauses_are_all_that_goes(silent, first, length):
    """Long silences, to the bin, and what is hardly anything else."""
    heard = features_of([() if one else (0,) for one in silent])
    stop = min(first + length, 4 * len(silent))
    if first >= stop:
        return
    left = without_pauses([turn(first * BIN_S, stop * BIN_S, 0)], heard)
    bins = torch.zeros(4 * len(silent), dtype=torch.bool)
    for one in left:
        bins[round(one.start / BIN_S) : round(one.end / BIN_S)] = True
    expected = torch.zeros_like(bins)
    expected[first:stop] = True
    flags = torch.tensor(silent).repeat_interleave(4)
    for begin, end in runs(flags, 25):
        expected[begin:end] = False
    for begin, end in runs(expected):
        expected[begin:end] = flags[begin:end].float().mean() <= NOBODY_PROBABILITY
    assert torch.equal(bins, expected)


# ---- overlap ------------------------------------------------------------------------------------


def test_where_one_person_speaks_whoever_is_heard_there_stays():
    heard = heard_locally([(0,)] * 10 + [(0, 1)] * 5 + [(1,)] * 10)
    turns = [turn(0.0, 1.6, 0), turn(0.4, 2.0, 1)]  # of 0.8 to 1.2 s it is not that sure
    assert without_false_overlap(turns, heard) == [turn(0.0, 1.2, 0), turn(0.8, 2.0, 1)]
    assert without_false_overlap(turns[:1], heard) == turns[:1]
    assert without_false_overlap([], heard) == []


def test_three_at_once_and_blips_are_left():
    heard = heard_locally([(0,)] * 10 + [(0, 1)] * 10 + [(0,)] * 3)
    three = [turn(0.0, 1.6, 0), turn(0.2, 1.6, 1), turn(0.2, 1.6, 2)]
    assert without_false_overlap(three, heard) == three
    late = [turn(0.0, 1.76, 0), turn(0.8, 1.76, 1)]  # 0.16 s too long
    assert without_false_overlap(late, heard) == late


@given(
    st.lists(st.sampled_from([(), (0,), (1,), (2,), (0, 1), (1, 2)]), min_size=1, max_size=40),
    st.lists(
        st.tuples(st.integers(0, 150), st.integers(1, 80), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    ),
)
def test_only_second_speakers_go_and_everybody_is_still_told(locals_, spans):
    heard = heard_locally(locals_)
    num_bins = 4 * len(locals_)
    spans = [(a, min(a + length, num_bins), who) for a, length, who in spans if a < num_bins]
    turns = sorted(turn(a * BIN_S, b * BIN_S, who) for a, b, who in spans)

    def told(some: list[Turn]) -> torch.Tensor:
        bins = torch.zeros(3, num_bins, dtype=torch.bool)
        for one in some:
            bins[one.speaker, round(one.start / BIN_S) : round(one.end / BIN_S)] = True
        return bins

    before, after = told(turns), told(without_false_overlap(turns, heard))
    assert not (after & ~before).any()
    gone = before.sum(0) != after.sum(0)
    single = torch.tensor([len(one) == 1 for one in locals_]).repeat_interleave(4)
    assert (before.sum(0)[gone] == 2).all() and (after.sum(0)[gone] == 1).all()
    assert single[gone].all()
    for first, stop in runs(single & (before.sum(0) == 2), 10):
        assert gone[first:stop].all()
    assert without_false_overlap(turns, doubtful(heard)) == turns


# ---- edges --------------------------------------------------------------------------------------


def test_edges_are_where_they_are_heard():
    heard = heard_locally([()] * 5 + [(0,)] * 10 + [(0, 1)] * 5 + [(1,)] * 10 + [()] * 5)
    # 0 is heard from 0.4 to 1.6 s, 1 from 1.2 to 2.4 s
    turns = [turn(0.36, 1.64, 0), turn(1.22, 2.36, 1)]
    moved = with_heard_edges(turns, heard)
    assert times_of(moved) == [(0.4, 1.6, 0), (1.2, 2.4, 1)]
    assert with_heard_edges(moved, heard) == moved
    assert with_heard_edges([], heard) == []


def test_edges_that_are_told_elsewhere_stay_near():
    heard = heard_locally([()] * 5 + [(0,)] * 20 + [()] * 5)
    far = [turn(0.0, 2.4, 0), turn(0.8, 1.6, 0), turn(1.0, 1.06, 1)]
    expected = [(0.04, 2.34, 0), (0.78, 1.66, 0), (1.0, 1.06, 1)]
    assert times_of(with_heard_edges(far, heard)) == expected


@given(
    st.lists(st.sampled_from([(), (0,), (1,), (0, 1)]), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 150), st.integers(1, 80)), min_size=1, max_size=4),
)
def test_edges_move_a_little_and_no_turn_is_lost(locals_, spans):
    heard, num_bins = heard_locally(locals_), 4 * len(locals_)
    spans = sorted((a, min(a + length, num_bins)) for a, length in spans if a < num_bins)
    turns = [turn(a * BIN_S, b * BIN_S, who) for who, (a, b) in enumerate(spans)]
    moved = {one.speaker: one for one in with_heard_edges(turns, heard)}
    assert len(moved) == len(turns)
    for one in turns:
        new = moved[one.speaker]
        assert -0.021 < new.start - one.start < 0.041 and abs(new.end - one.end) < 0.061
        assert 0 <= new.start and new.end <= num_bins * BIN_S + 1e-9
        assert new.end - new.start > min(one.end - one.start, 0.1) - 1e-9


# ---- speech -------------------------------------------------------------------------------------


def test_speech_has_to_be_told():
    heard = features_of([()] * 10 + [(0,)] * 30 + [()] * 10 + [(0,)] * 15 + [(0, 1)] * 25)
    latest = latest_starts(heard)
    assert latest.shape == (360,)
    assert latest[0] == latest[39] == 40 + 25  # it begins at bin 40, and a turn 0.5 s later
    assert latest[80] == 80 + 25  # told up to there: go on
    assert latest[85] == 85 + 25  # 1.5 s before the end of the first speech
    assert latest[86] == latest[190] == 200 + 25  # what is left of it is too short
    assert latest[285] == 285 + 25
    assert set(latest[286:].tolist()) == {360}  # nothing has to be said


def test_doubt_has_not_to_be_told():
    heard = features_of([(0,)] * 50)
    assert (latest_starts(heard) < 200).any()
    assert (latest_starts(doubtful(heard)) == 200).all()
    assert (latest_starts(features_of([(0,)] * 18 + [()] * 18)) == 144).all()  # too short
    assert latest_starts(Features.silence(0)).shape == (0,)
