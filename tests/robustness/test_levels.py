"""How loud a recording is, its offset and its polarity change nothing of what is heard in it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment

from pyannote_drz.levels import TARGET, level, loudness
from pyannote_drz.overlaps import overlap_of

RATE = 16000


def speechlike(seconds: float = 6, level: float = 0.05, silence: float = 0.0) -> torch.Tensor:
    """Modulated noise without what is below voices, then digital silence."""
    rng = np.random.default_rng(3)
    noise = np.diff(rng.standard_normal(round(seconds * RATE) + 1))
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(len(noise)) / RATE)
    samples = level * beat * noise / noise.std()
    return torch.from_numpy(np.concatenate([samples, np.zeros(round(silence * RATE))])).float()


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


@settings(max_examples=40, deadline=None)
@given(st.floats(-60, 20), st.floats(-0.2, 0.2), st.sampled_from([1, -1]), st.floats(0, 60))
def test_gain_offset_and_polarity(gain_db, offset, polarity, silence):
    original = speechlike(silence=silence)
    changed = polarity * 10 ** (gain_db / 20) * original + offset
    heard, expected = level(changed, RATE), level(original, RATE)
    assert likeness(polarity * heard, expected) > 0.99
    size = RATE // 10
    assert TARGET / 4.1 <= loudness(heard.numpy(), size) <= TARGET * 4.1


def test_usual_recordings_are_left_alone():
    usual = speechlike()
    assert level(usual, RATE) is usual


@pytest.mark.parametrize("nothing", [torch.zeros(RATE), torch.full((RATE,), 0.2), torch.zeros(1)])
def test_silence_stays_silence(nothing):
    assert level(nothing, RATE).abs().max() <= 0.2


def test_a_click_is_not_loud():
    clicked = speechlike(level=1e-3)
    clicked[100] = 1.0
    assert loudness(level(clicked, RATE).numpy(), RATE // 10) > TARGET / 4.1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from("ABC")), max_size=12))  # fmt: skip
def test_overlaps_are_pyannotes(turns):
    annotation = Annotation()
    for track, (start, length, who) in enumerate(turns):
        annotation[Segment(start, start + length), track] = who
    annotation = annotation.support()
    assert overlap_of(annotation) == annotation.get_overlap()
