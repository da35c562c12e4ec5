"""Windows: what is cut out of a conversation is what is said there."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.encoders.segmentation import activities
from pyannote_drz.prompting import (
    LONGEST_PROMPT,
    POSITION_S,
    PROMPTS_SHARE,
    SHORTEST_PROMPT,
    SILENCE_POSITIONS,
)
from pyannote_drz.simulation import Turn
from pyannote_drz.tasks.shards import Encoded
from pyannote_drz.tasks.windows import CARELESS_S, Window, alone, clip, cut, cut_prompted

settings.register_profile("busy", deadline=None, max_examples=60)  # a busy machine is no failure
settings.load_profile("busy")


def conversation(num_positions: int, turns: list[tuple[float, float, int]]) -> Encoded:
    """Every position says where it is: its short embedding is its number.

    PyanNet hears one person all the time, in whatever turns.
    """
    number = torch.arange(1.0, num_positions + 1)[:, None].expand(-1, 192)
    probabilities = torch.zeros(num_positions, 4, 7)
    probabilities[..., 1] = 1.0
    return Encoded(Features(probabilities, number, number), sorted(Turn(*t) for t in turns), [])


def positions_of(window: Window) -> list[int]:
    """Which positions of the conversation were taken, -1 for silence."""
    return [int(x) - 1 for x in window.features.short[:, 0].tolist()]


@st.composite
def conversations(draw) -> Encoded:
    num_positions = draw(st.integers(30, 400))
    end_s = num_positions * POSITION_S
    number = draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    starts = rng.uniform(0, end_s, number)
    ends = np.minimum(starts + rng.exponential(4.0, number) + 0.05, end_s)
    people = rng.integers(0, draw(st.integers(1, 5)), number)
    return conversation(num_positions, list(zip(starts, ends, people.tolist(), strict=True)))


def spoken(turns, start_s: float, end_s: float, step_s: float = 0.01) -> set[tuple[int, int]]:
    """(instant, speaker) of all who speak between two instants, on a fine grid."""
    at = np.arange(0.5, round((end_s - start_s) / step_s)) * step_s
    return {
        (k, turn.speaker)
        for turn in turns
        for k in np.flatnonzero((at >= turn.start_s - start_s) & (at < turn.end_s - start_s))
    }


# ---- parts --------------------------------------------------------------------------------------


def test_clip():
    turns = [Turn(0, 1, 0), Turn(0.5, 3, 1), Turn(2, 2.5, 0), Turn(4, 5, 2), Turn(1, 2, 3)]
    found = clip(turns, 1.0, 4.0)
    assert found == [Turn(0, 2, 1), Turn(1, 1.5, 0), Turn(0, 1, 3)]


@given(conversations(), st.integers(1, 400), st.integers(0, 1000))
def test_cut(conversation, num_positions, seed):
    total = conversation.features.num_positions
    assume(num_positions <= total)
    window = cut(conversation, num_positions, np.random.default_rng(seed))
    assert window.features.num_positions == num_positions
    assert (window.prompted, window.prompt_positions) == ([], 0)
    first, *_ = found = positions_of(window)
    assert found == list(range(first, first + num_positions))
    start_s, end_s = first * POSITION_S, (first + num_positions) * POSITION_S
    assert all(0 <= t.start_s < t.end_s <= end_s - start_s + 1e-9 for t in window.turns)
    assert spoken(window.turns, 0, end_s - start_s) == spoken(conversation.turns, start_s, end_s)


def test_cut_begins_anywhere():
    one = conversation(12, [])
    rng = np.random.default_rng(0)
    starts = [positions_of(cut(one, 10, rng))[0] for _ in range(300)]
    assert set(starts) == {0, 1, 2} and min(starts.count(k) for k in range(3)) > 60
    assert positions_of(cut(one, 12, rng)) == list(range(12))


def test_local_speakers_are_drawn_anew():
    one = conversation(20, [])
    rng = np.random.default_rng(0)
    who = [
        activities(cut(one, 10, rng).features.probabilities)[0, 0].argmax().item()
        for _ in range(300)
    ]
    assert min(who.count(k) for k in range(3)) > 60
    assert (one.features.probabilities[..., 1] == 1).all()  # the conversation stays as it is


# ---- who is heard alone -------------------------------------------------------------------------


def test_alone():
    turns = [Turn(0, 10, 0), Turn(2, 3, 1), Turn(2.5, 4, 2), Turn(9, 12, 1), Turn(20, 21, 0)]
    assert alone(turns, 0) == [(0, 2), (4, 9), (20, 21)]
    assert alone(turns, 1) == [(10, 12)]
    assert alone(turns, 2) == alone(turns, 3) == alone([], 0) == []


@given(conversations())
def test_alone_is_where_only_one_speaks(conversation):
    end_s = conversation.duration_s
    for speaker in range(5):
        regions = alone(conversation.turns, speaker)
        assert all(a < b for a, b in regions)
        found = {k for k, _ in spoken([Turn(a, b, 0) for a, b in regions], 0, end_s)}
        everybody = spoken(conversation.turns, 0, end_s)
        others = {k for k, who in everybody if who != speaker}
        assert found == {k for k, who in everybody if who == speaker} - others


# ---- prompts ------------------------------------------------------------------------------------


@given(conversations(), st.floats(0.2, 1.0), st.integers(0, 1000))
def test_cut_prompted(conversation, share, seed):
    """Exactly so long; turns are true; prompts are who they say, and from elsewhere."""
    total = conversation.features.num_positions
    num_positions = max(13, int(share * total))
    window = cut_prompted(conversation, num_positions, np.random.default_rng(seed))
    found = positions_of(window)
    assert len(found) == window.features.num_positions == num_positions

    # The chunk: a part of the conversation, whose turns are behind those of prompts.
    length = window.prompt_positions
    assert length <= PROMPTS_SHARE * num_positions
    chunk = found[length:]
    assert chunk == list(range(chunk[0], chunk[0] + len(chunk)))
    begin_s, end_s = length * POSITION_S, num_positions * POSITION_S
    num_prompts = len(window.prompted)
    prompts, turns = window.turns[:num_prompts], window.turns[num_prompts:]
    assert all(begin_s - 1e-9 <= t.start_s < t.end_s <= end_s + 1e-9 for t in turns)
    start_s = chunk[0] * POSITION_S
    assert spoken(turns, begin_s, end_s) == spoken(
        conversation.turns, start_s, start_s + len(chunk) * POSITION_S
    )

    # Prompts: one for each person, one after another, silence in between.
    assert len(set(window.prompted)) == num_prompts
    at = 0
    for turn, speaker in zip(prompts, window.prompted, strict=True):
        assert turn.speaker == speaker
        first, stop = round(turn.start_s / POSITION_S), round(turn.end_s / POSITION_S)
        assert first == at
        assert SHORTEST_PROMPT - POSITION_S <= turn.end_s - turn.start_s
        assert turn.end_s - turn.start_s <= LONGEST_PROMPT + 2 * CARELESS_S + POSITION_S
        piece = found[first:stop]
        assert piece == list(range(piece[0], piece[0] + len(piece)))
        # Where that speaker is alone, but for a little at its ends; and not in the window.
        low_s, high_s = piece[0] * POSITION_S, (piece[-1] + 1) * POSITION_S
        slack_s = CARELESS_S + POSITION_S
        assert any(
            a - slack_s <= low_s and high_s <= b + slack_s
            for a, b in alone(conversation.turns, speaker)
        )
        window_end_s = start_s + num_positions * POSITION_S
        assert high_s <= start_s + slack_s or low_s >= window_end_s - slack_s
        silence = window.features.part(stop, stop + SILENCE_POSITIONS)
        assert (silence.probabilities[..., 0] == 1).all() and not silence.short.any()
        at = stop + SILENCE_POSITIONS
    assert at == length


@given(conversations(), st.integers(0, 1000))
def test_same_seed_same_window(conversation, seed):
    for how in (cut, cut_prompted):
        one, other = (how(conversation, 25, np.random.default_rng(seed)) for _ in range(2))
        assert one[1:] == other[1:]
        assert all(torch.equal(a, b) for a, b in zip(one.features, other.features, strict=True))


def test_prompted_people_may_be_silent_and_speakers_unprompted():
    """Of three: one only before, one before and within, one only within."""
    one = conversation(400, [(0, 6, 0), (6.5, 12, 1), (15, 20, 1), (20.5, 32, 2)])
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        window = cut_prompted(one, 200, rng)
        spoke = {turn.speaker for turn in window.turns[len(window.prompted) :]}
        seen |= {(who in window.prompted, who in spoke) for who in range(3)}
        if window.prompted:
            assert window.turns[0].start_s == 0
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


@pytest.mark.parametrize("turns", [[], [(0, 32, 0)], [(0, 32, 0), (0, 32, 1)]])
def test_where_nobody_can_be_prompted_there_is_a_window(turns):
    """Nobody speaks, or not elsewhere, or never alone."""
    one = conversation(400, turns)
    window = cut_prompted(one, 400, np.random.default_rng(0))
    assert (window.prompted, window.prompt_positions) == ([], 0)
    assert positions_of(window) == list(range(400))


def test_crowds_share_the_room_for_prompts():
    """Eight people, each with a minute elsewhere: all that fit are prompted."""
    turns = [(20 * k, 20 * k + 19, k) for k in range(8)]
    one = conversation(2100, turns)
    rng = np.random.default_rng(0)
    numbers = [len(cut_prompted(one, 375, rng).prompted) for _ in range(50)]
    assert np.mean(numbers) > 5 and max(numbers) >= 7
