"""Statistics of turns, against ones counted by hand."""

import numpy as np
import pytest

from pyannote_drz.simulation import ReplayedTurns, Turn, read_rttm
from pyannote_drz.simulation.turn_taking.statistics import compare, measure_turns, windows_of


def test_by_hand():
    turns = [Turn(0, 4, 0), Turn(1, 2, 1), Turn(1.5, 6, 2), Turn(7, 8, 2), Turn(8.5, 9, 0)]
    found = measure_turns([turns, []], 10.0)
    np.testing.assert_allclose(found.silence_share, [0.25, 1])
    np.testing.assert_allclose(found.overlap_share, [0.3, 0])
    np.testing.assert_allclose(found.crowd_share, [0.05, 0])
    np.testing.assert_allclose(found.num_speakers, [3, 0])
    np.testing.assert_allclose(found.num_segments, [5, 0])
    np.testing.assert_allclose(found.segment_s, [4, 1, 4.5, 1, 0.5])
    np.testing.assert_allclose(found.overlap_s, [1, 2.5])
    np.testing.assert_allclose(found.pause_s, [1])
    np.testing.assert_allclose(found.gap_s, [0.5])
    assert set(found.kind_shares().values()) == {0.25}


def test_windows():
    meeting = [Turn(1, 12, 5), Turn(12.1, 14, 5), Turn(13, 25, 2)]
    assert windows_of([meeting, []], 10.0) == [
        [Turn(1, 10, 0)],
        [Turn(0, 4, 0), Turn(3, 10, 1)],
    ]


def test_comparison():
    one = measure_turns([[Turn(0, 1, 0)], [Turn(0, 2, 0)]], 4.0)
    two = measure_turns([[Turn(0, 2, 0)], [Turn(0, 2, 0), Turn(3, 4, 1)]], 4.0)
    rows = {row.name: row for row in compare(one, two)}
    assert rows["num_speakers"].relative == pytest.approx(0.5)
    assert rows["num_speakers"].ks == pytest.approx(0.5)
    assert np.isnan(rows["gap_s"].ks) and np.isnan(rows["pause_s"].relative)
    assert all(row.ks == 0 and row.relative == 0 for row in compare(one, one) if row.mean > 0)


def test_bad_input():
    with pytest.raises(ValueError, match="no window"):
        measure_turns([], 10.0)
    with pytest.raises(ValueError, match="out of its window of 10.0 s"):
        measure_turns([[Turn(0, 11, 0)]], 10.0)


def test_replayed_windows_are_those_of_ami(shared):
    paths = sorted((shared / "ami/only_words/rttms/dev").glob("*.rttm"))
    real = measure_turns(windows_of(read_rttm(paths), 30.0), 30.0)
    replay, rng = ReplayedTurns.from_rttm(paths), np.random.default_rng(0)
    drawn = measure_turns([replay.sample(rng, 30.0) for _ in range(500)], 30.0)
    assert all(row.ks < 0.08 for row in compare(real, drawn))
