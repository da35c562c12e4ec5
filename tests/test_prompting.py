"""Prompts before a chunk: one voice after another, each with its silence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.prompting import NOBODY, SILENCE_S, lay_out

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")

RATE = 1000
POSITION = 80  # samples

voices = st.lists(
    st.integers(1, 700).map(lambda num_samples: torch.rand(num_samples) + 0.1), max_size=6
)


def test_example():
    ann, bob = torch.ones(300), 2 * torch.ones(140)
    prompts = lay_out([ann, bob], RATE, POSITION)
    assert prompts.spans == [(0.0, 0.3), (0.5, 0.64)]
    silence = torch.zeros(200)
    padding = torch.zeros(40)
    assert torch.equal(prompts.waveform, torch.cat([ann, silence, bob, silence, padding]))


@given(voices)
def test_spans_are_where_the_voices_are(voices):
    prompts = lay_out(voices, RATE, POSITION)
    assert len(prompts.spans) == len(voices)
    for (start, end), voice in zip(prompts.spans, voices, strict=True):
        assert torch.equal(prompts.waveform[round(start * RATE) : round(end * RATE)], voice)


@given(voices)
def test_voices_do_not_touch_each_other_nor_the_chunk(voices):
    prompts = lay_out(voices, RATE, POSITION)
    starts = [start for start, _ in prompts.spans] + [len(prompts.waveform) / RATE]
    for (_, end), following in zip(prompts.spans, starts[1:], strict=True):
        assert following - end >= SILENCE_S - 1e-9
        assert not prompts.waveform[round(end * RATE) : round(following * RATE)].any()


@given(voices, st.integers(1, 200))
def test_the_chunk_begins_at_a_position(voices, position):
    """At the next one: nothing is heard that could have been left out."""
    num_samples = len(lay_out(voices, RATE, position).waveform)
    needed = sum(len(voice) + 200 for voice in voices)
    assert num_samples % position == 0
    assert needed <= num_samples < needed + position


def test_nobody():
    waveform, spans = lay_out([], RATE, POSITION)
    assert (len(waveform), spans) == (0, [])
    assert lay_out([], RATE, POSITION) is NOBODY


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_samples_keep_their_kind(kind):
    assert lay_out([torch.ones(5, dtype=kind)], RATE, POSITION).waveform.dtype == kind
