"""Exact silence: never where somebody speaks, everywhere else if asked to, also in long scenes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.simulation import (
    RandomTurns,
    SilenceConfig,
    SimulationConfig,
    Simulator,
    Turn,
)
from pyannote_drz.simulation.acoustics.silences import cut_silences, draw_silences, find_gaps
from pyannote_drz.simulation.scenes import WHOLE_SAMPLES

RATE = 16000


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(1, 30), st.booleans())
def test_nobody_speaks_in_silences(seed, duration_s, telephone):
    rng = np.random.default_rng(seed)
    script = RandomTurns(1, 4).sample(rng, duration_s)
    config = SilenceConfig(silence_share=0.8, gate_share=0.5)
    num_samples = round(duration_s * RATE)
    turns, silences = draw_silences(rng, config, script, duration_s, telephone)
    assert turns == sorted(turns)
    assert all(0 <= turn.start_s < turn.end_s <= duration_s for turn in turns)
    assert {turn.speaker for turn in turns} == {turn.speaker for turn in script}
    silent = np.zeros(num_samples, dtype=bool)
    for begin, end in silences:
        assert 0 <= begin < end <= num_samples
        silent[begin:end] = True
    for turn in turns:
        assert not silent[round(turn.start_s * RATE) : round(turn.end_s * RATE)].any()


def test_beginnings_and_ends():
    config = SilenceConfig(silence_share=1.0, edge_share=1.0, edge_s=(6.0, 6.0))
    sides = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        turns, silences = draw_silences(rng, config, [Turn(0, 30, 0)], 30.0, False)
        assert [6 * RATE] == [end - begin for begin, end in silences[:1]]
        sides.add((turns[0].start_s, turns[0].end_s))
    assert sides == {(0, 24), (6, 30)}


def test_gaps():
    turns = [Turn(1, 3, 0), Turn(2, 2.5, 1), Turn(3.05, 4, 1)]
    assert find_gaps(turns, 5 * RATE) == [(0, RATE), (4 * RATE, 5 * RATE)]
    assert find_gaps([], RATE) == [(0, RATE)]
    inside = cut_silences(np.array(find_gaps(turns, 5 * RATE)), RATE // 2, 4 * RATE)
    assert inside.tolist() == [[0, RATE // 2], [7 * RATE // 2, 4 * RATE]]


@pytest.mark.parametrize("duration_s", [4.0, WHOLE_SAMPLES / RATE + 30])
def test_muted_telephones(bank, duration_s):
    """What a gate shuts out is exactly 0, and the rest is not, in long scenes too."""
    config = SimulationConfig.from_dict(
        {"channel": {"telephone_share": 1, "coarse_share": 0}, "noise": {"floor_share": 1},
         "silences": {"gate_share": 1, "hang_s": [0, 0]}, "empty_share": 0}
    )  # fmt: skip
    simulator = Simulator(bank, RandomTurns(), config)
    conversation = simulator.draw(np.random.default_rng(3), duration_s, False)
    audio = simulator.render([conversation], "cpu").waveforms[0]
    gaps = find_gaps(conversation.turns, len(audio))
    assert gaps
    for begin, end in gaps:
        assert (audio[begin:end] == 0).all()
    for turn in conversation.turns:
        assert audio[round(turn.start_s * RATE) : round(turn.end_s * RATE)].abs().max() > 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"edge_s.0: input should be .* got -1"):
        SilenceConfig(edge_s=(-1, 2))
    with pytest.raises(ValueError, match="gate_share: input should be .* got 2"):
        SilenceConfig(gate_share=2)
