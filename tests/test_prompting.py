"""Prompts before a chunk: one voice after another, each with its silence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.prompting import (
    NOBODY,
    POSITION_S,
    SHORTEST_PROMPT,
    SILENCE_POSITIONS,
    lay_out,
    room_for,
    whole_positions,
)

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")


def heard(positions: int) -> Features:
    return Features(
        torch.rand(positions, 4, 7) + 0.1,
        torch.rand(positions, 192) + 0.1,
        torch.rand(positions, 192) + 0.1,
    )


voices = st.lists(st.integers(1, 60).map(heard), max_size=6)


def test_example():
    ann, bob = heard(10), heard(7)
    prompts = lay_out([ann, bob])
    assert prompts.spans == [(0.0, 0.8), (pytest.approx(1.04), pytest.approx(1.6))]
    silence = Features.silence(3)
    for found, expected in zip(
        prompts.features, Features.join([ann, silence, bob, silence]), strict=True
    ):
        assert torch.equal(found, expected)


@given(voices)
def test_spans_are_where_the_voices_are(voices):
    prompts = lay_out(voices)
    assert len(prompts.spans) == len(voices)
    for (start_s, end_s), voice in zip(prompts.spans, voices, strict=True):
        part = prompts.features.part(round(start_s / POSITION_S), round(end_s / POSITION_S))
        assert all(torch.equal(a, b) for a, b in zip(part, voice, strict=True))


@given(voices)
def test_voices_do_not_touch_each_other_nor_the_chunk(voices):
    prompts = lay_out(voices)
    length = sum(voice.num_positions + SILENCE_POSITIONS for voice in voices)
    assert prompts.features.num_positions == length
    starts = [start_s for start_s, _ in prompts.spans] + [length * POSITION_S]
    for (_, end_s), following_s in zip(prompts.spans, starts[1:], strict=True):
        pause = prompts.features.part(round(end_s / POSITION_S), round(following_s / POSITION_S))
        assert pause.num_positions == SILENCE_POSITIONS
        assert (pause.probabilities[..., 0] == 1).all() and not pause.short.any()


def test_nobody():
    features, spans = lay_out([])
    assert (features.num_positions, spans) == (0, [])
    assert lay_out([]) is NOBODY


@given(st.floats(0, 60))
def test_room(seconds):
    """As many of the shortest prompts as fit, and not one more."""
    num = room_for(seconds)
    each_s = SHORTEST_PROMPT + SILENCE_POSITIONS * POSITION_S
    assert num * each_s <= seconds + 1e-9 < (num + 1) * each_s + 1e-6


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_features_keep_their_kind(kind):
    prompts = lay_out([heard(5).to(kind)])
    assert all(tensor.dtype == kind for tensor in prompts.features)


@given(st.floats(0, 60), st.floats(0, 10))
def test_whole_positions_lie_inside(start_s, seconds):
    """And there is no room for one more on either side; what is too short holds none."""
    first, stop = whole_positions(start_s, start_s + seconds)
    assert 0 <= first <= stop
    if first < stop:
        assert start_s - 1e-6 <= first * POSITION_S <= start_s + POSITION_S + 1e-6
        end_s = start_s + seconds
        assert end_s - POSITION_S - 1e-6 <= stop * POSITION_S <= end_s + 1e-6
    else:
        assert seconds < 2 * POSITION_S
