"""Turns: the contract of all sources."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.simulation import (
    BoundedTurns,
    MixedTurns,
    RandomTurns,
    ReplayedTurns,
    Turn,
    read_rttm,
)
from pyannote_drz.simulation.turn_taking.turns import MERGE_GAP_S, cut_window


def check(turns, duration_s):
    assert turns == sorted(turns)
    assert all(0 <= t.start_s < t.end_s <= duration_s for t in turns)
    arrivals = list(dict.fromkeys(t.speaker for t in turns))
    assert arrivals == list(range(len(arrivals)))
    for speaker in arrivals:
        own = [t for t in turns if t.speaker == speaker]
        for one, two in pairwise(own):
            assert two.start_s - one.end_s >= MERGE_GAP_S - 1e-9


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.floats(0, 4), st.floats(0, 4), st.floats(1, 40))
def test_random_turns(seed, speakers, silence, interrupt, duration_s):
    source = RandomTurns(1, speakers, silence, interrupt)
    check(source.sample(np.random.default_rng(seed), duration_s), duration_s)
    assert source.sample(np.random.default_rng(seed), duration_s) == source.sample(
        np.random.default_rng(seed), duration_s
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda start, length, speaker: Turn(start, start + length, speaker),
            st.floats(0, 50),
            st.floats(0.01, 9),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 2**32),
)
def test_replayed_turns(meeting, seed):
    source = ReplayedTurns([meeting])
    check(source.sample(np.random.default_rng(seed), 10.0), 10.0)


def test_cut_window():
    turns = [Turn(0, 3, 7), Turn(3.2, 6, 7), Turn(5, 8, 2), Turn(20, 21, 1)]
    assert cut_window(turns, 1, 6) == [Turn(0, 5, 0), Turn(4, 6, 1)]


def test_windows_begin_in_the_middle_of_turns():
    rng = np.random.default_rng(0)
    starts = [RandomTurns(2, 4).sample(rng, 10.0) for _ in range(200)]
    assert np.mean([bool(t) and t[0].start_s == 0 for t in starts]) > 0.5
    assert np.mean([bool(t) and max(x.end_s for x in t) == 10 for t in starts]) > 0.5


def test_mixed_turns():
    source = MixedTurns([ReplayedTurns([[Turn(0, 10, 0)]]), RandomTurns(4, 4)], [1, 0])
    assert source.sample(np.random.default_rng(0), 10.0) == [Turn(0, 10, 0)]


def test_rttm(tmp_path):
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER m 1 1.0 2.0 <NA> <NA> A <NA> <NA>\nSPEAKER n 1 0 1 <NA> <NA> A x x\n")
    assert read_rttm([path]) == [[Turn(1.0, 3.0, 0)], [Turn(0.0, 1.0, 1)]]
    path.write_text("SPEAKER m 1 one\n")
    with pytest.raises(ValueError, match="line 1 is not RTTM"):
        read_rttm([path])


def test_bad_input():
    with pytest.raises(ValueError, match="must not be above max_speakers, got 3 and 2"):
        RandomTurns(3, 2)
    with pytest.raises(ValueError, match="no turns"):
        ReplayedTurns([[]])
    with pytest.raises(ValueError, match="cannot have 2 weights"):
        MixedTurns([RandomTurns()], [1, 2])


def test_ami(shared):
    source = ReplayedTurns.from_rttm(sorted((shared / "ami/only_words/rttms/dev").glob("*.rttm")))
    rng = np.random.default_rng(0)
    numbers = []
    for _ in range(300):
        turns = source.sample(rng, 30.0)
        check(turns, 30.0)
        numbers.append(len({t.speaker for t in turns}))
    assert 2.3 < np.mean(numbers) < 3.5  # AMI train: 2.9 (ANCHORS §2.7)


def test_replay_of_long_windows_takes_long_meetings():
    short, long = [Turn(0, 5, 0)], [Turn(k, k + 0.9, k % 3) for k in range(60)]
    source = ReplayedTurns([short] * 50 + [long])
    assert source.longest_s == 59.9
    for seed in range(5):
        assert len(source.sample(np.random.default_rng(seed), 50.0)) > 40


def test_bounded_turns():
    source = BoundedTurns(RandomTurns(1, 6), 3, 4)
    rng = np.random.default_rng(0)
    counts = {len({turn.speaker for turn in source.sample(rng, 20.0)}) for _ in range(50)}
    assert counts == {3, 4}
    with pytest.raises(ValueError, match="none of 1000 scripts of 5 s has 7 to 8 speakers"):
        BoundedTurns(RandomTurns(1, 6), 7, 8).sample(rng, 5.0)
    with pytest.raises(ValueError, match="not 4 and 3"):
        BoundedTurns(RandomTurns(), 4, 3)
