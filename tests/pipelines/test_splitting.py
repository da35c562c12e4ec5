"""Everybody has an embedding of their own; a pause is one or two positions of 80 ms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines.splitting import split_by_voice
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import POSITION_S

from .speech import features_of

PAUSE = [()] * 2


def turn(start: int, end: int, speaker: int) -> Turn:
    """Of positions."""
    return Turn(start * POSITION_S, end * POSITION_S, speaker, 0.5)


def positions_of(turns: list[Turn]) -> list[tuple[int, int, int]]:
    return [(round(t.start / POSITION_S), round(t.end / POSITION_S), t.speaker) for t in turns]


def test_another_voice_after_a_pause_is_another_speaker():
    heard = features_of([(0,)] * 30 + PAUSE + [(1,)] * 30 + PAUSE + [(1,)] * 30)
    told = split_by_voice([turn(0, 94, 0)], heard, 4)
    assert positions_of(told) == [(0, 30, 0), (32, 94, 1)]
    assert all(one.probability == 0.5 for one in told)


def test_who_goes_on_may_be_somebody_of_the_chunk():
    heard = features_of([(2,)] * 30 + [(0,)] * 30 + PAUSE + [(2,)] * 30)
    told = split_by_voice([turn(0, 30, 1), turn(30, 92, 0)], heard, 4)
    assert positions_of(told) == [(0, 30, 1), (30, 60, 0), (62, 92, 1)]


@pytest.mark.parametrize(
    "speech",
    [
        [(0,)] * 30 + PAUSE + [(0,)] * 30,  # the same voice
        [(0,)] * 30 + [(1,)] * 30,  # no pause
        [(0,)] * 30 + PAUSE + [(1,)] * 20,  # too little
        [(0,)] * 30 + PAUSE + [(0, 1)] * 30,  # nobody alone
    ],
)
def test_doubt_splits_nothing(speech):
    whole = [turn(0, len(speech), 0)]
    assert split_by_voice(whole, features_of(speech), 4) == whole


def test_no_more_speakers_than_there_may_be():
    heard = features_of([(0,)] * 30 + PAUSE + [(1,)] * 30)
    assert {t.speaker for t in split_by_voice([turn(0, 62, 0)], heard, 1)} == {0}
    # Prompted ones who are silent keep their numbers.
    assert {t.speaker for t in split_by_voice([turn(0, 62, 0)], heard, 4, 3)} == {0, 3}
    assert {t.speaker for t in split_by_voice([turn(0, 62, 0)], heard, 3, 3)} == {0}


def test_nobody():
    assert split_by_voice([], Features.silence(10), 4) == []


@given(
    st.lists(st.sampled_from([(), (0,), (1,), (0, 1)]), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 120)), max_size=4),
    st.integers(4, 8),
)
def test_only_pauses_go(blocks, spans, most):
    heard = features_of([one for block in blocks for one in [block] * (2 if not block else 28)])
    spans = [(a, min(a + n, heard.num_positions)) for a, n in spans if a < heard.num_positions]
    turns = sorted(turn(a, b, who) for who, (a, b) in enumerate(spans))
    told = split_by_voice(turns, heard, most)
    assert told == sorted(told) and all(one.speaker < most for one in told)
    nobody = heard.probabilities[:, 0, 0] == 1

    def bins(some: list[Turn]) -> list[int]:
        return sorted(p for a, b, _ in positions_of(some) for p in range(a, b) if not nobody[p])

    assert bins(told) == bins(turns)
