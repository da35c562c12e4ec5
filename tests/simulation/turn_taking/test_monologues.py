"""Monologues, lone voices, crowds: the contract of all sources, and what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.simulation import (
    LoneTurns,
    MonologueTurns,
    SimulationConfig,
    Simulator,
    other_kinds,
)

from .test_turns import check


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.floats(1, 60))
def test_contract(seed, most, duration_s):
    for source in (MonologueTurns(most), LoneTurns(), other_kinds(most)):
        turns = source.sample(np.random.default_rng(seed), duration_s)
        check(turns, duration_s)
        assert len({turn.speaker for turn in turns}) <= most
        assert turns == source.sample(np.random.default_rng(seed), duration_s)


def test_one_talks_and_the_others_say_little():
    rng = np.random.default_rng(0)
    source = MonologueTurns(4, backchannels_per_s=(0.1, 0.2))
    shares, over, numbers = [], 0, set()
    for _ in range(100):
        turns = source.sample(rng, 60.0)
        spoken = np.zeros(4)
        for turn in turns:
            spoken[turn.speaker] += turn.end_s - turn.start_s
        talker = int(np.argmax(spoken))
        shares.append(spoken[talker] / spoken.sum())
        held = [turn for turn in turns if turn.speaker == talker]
        numbers.add(int((spoken > 0).sum()))
        over += any(h.start_s < t.start_s and t.end_s < h.end_s for t in turns for h in held)
    assert np.mean(shares) > 0.85 and numbers == {1, 2, 3, 4}
    assert over > 30  # conversations with a backchannel over the talker


def test_one_voice_is_short():
    rng = np.random.default_rng(0)
    for _ in range(50):
        turns = LoneTurns().sample(rng, 30.0)
        assert {turn.speaker for turn in turns} == {0}
        assert sum(turn.end_s - turn.start_s for turn in turns) <= 3 * 8.0 + 1


def test_crowds_have_eight():
    rng = np.random.default_rng(0)
    numbers = {len({t.speaker for t in other_kinds(8).sample(rng, 30.0)}) for _ in range(200)}
    assert numbers >= {1, 2, 5, 6, 7, 8}


@pytest.mark.parametrize("duration_s", [1.0, 2.0, 3.0, 5.0, 8.0])
def test_every_length_is_rendered(bank, duration_s):
    simulator = Simulator(bank, other_kinds(8), SimulationConfig())
    rng = np.random.default_rng(0)
    conversations = [simulator.draw(rng, duration_s, k % 2 == 0) for k in range(20)]
    audio = simulator.render(conversations, "cpu").waveforms
    assert audio.shape == (20, duration_s * 16000) and audio.isfinite().all()
    for conversation in conversations:
        assert all(turn.end_s <= duration_s for turn in conversation.turns)


def test_bad_input():
    with pytest.raises(ValueError, match="max_speakers must be at least 1, not 0"):
        MonologueTurns(0)
    with pytest.raises(ValueError, match="turn_s must be a positive range"):
        LoneTurns((0, 3))
    with pytest.raises(ValueError, match="question_share must be in 0..1, not 2"):
        MonologueTurns(question_share=2)
    with pytest.raises(ValueError, match="backchannels_per_s must be a range"):
        MonologueTurns(backchannels_per_s=(0.2, 0.1))
