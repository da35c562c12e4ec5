"""Slices: the way of CPUs and the way of GPUs are one."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.simulation.slices import SLICE, _lay_at_once, _lay_one_by_one, lay

NUM_TRACKS, NUM_SAMPLES = 3, 400


def table(size: int = 1000) -> torch.Tensor:
    samples = np.random.default_rng(0).integers(-32768, 32768, size)
    return torch.from_numpy(samples.astype(np.int16))


fades = st.sampled_from([0.0, 0.5, 1.0, 7.0, 80.0, 300.0])


@st.composite
def slices(draw) -> np.ndarray:
    """At most two slices of a track sound together: one row of them behind each other, twice."""
    rows = []
    for track in range(NUM_TRACKS):
        for _ in range(2):
            position = draw(st.integers(0, 100))
            while position < NUM_SAMPLES and draw(st.booleans()):
                length = min(draw(st.integers(0, 150)), NUM_SAMPLES - position)
                start, gain = draw(st.integers(0, 1000 - length)), draw(st.floats(0, 2, width=32))
                rows.append((start, length, position, track, gain, draw(fades), draw(fades)))
                position += length + draw(st.integers(0, 30))
    return np.array(rows, dtype=SLICE)


@given(slices())
def test_both_ways_are_equal(rows):
    rows = rows[rows["length"] > 0]
    one, two = torch.zeros(NUM_TRACKS, NUM_SAMPLES), torch.zeros(NUM_TRACKS, NUM_SAMPLES)
    _lay_one_by_one(table().numpy(), rows, one.numpy())
    if len(rows):
        _lay_at_once(table(), rows, two)
    assert torch.equal(one, two)


def test_lay_adds_what_is_said():
    tracks = torch.ones(2, 10)
    rows = np.array([(5, 4, 3, 1, 0.5, 2, 0), (0, 0, 0, 0, 1.0, 0, 0)], dtype=SLICE)
    lay(table(), rows, tracks)
    expected = 1 + 0.5 * table()[5:9].float() * torch.tensor([0.5, 1, 1, 1])
    assert torch.equal(tracks[1, 3:7], expected)
    assert (tracks[0] == 1).all() and (tracks[1, :3] == 1).all() and (tracks[1, 7:] == 1).all()
