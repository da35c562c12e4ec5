import torch
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.simulation import Batch, Turn
from pyannote_drz.tasks.halves import clip, halve


def batch() -> Batch:
    return Batch(
        waveforms=torch.arange(40.0).view(2, 20),  # 2 s at 10 Hz
        turns=[[Turn(0.0, 0.5, 0), Turn(0.8, 1.4, 1)], [Turn(1.2, 2.0, 0)]],
        voices=torch.tensor([[7, 9], [5, -1]]),
        prompts=torch.zeros(2, 0, 0),
        prompt_lengths=torch.zeros(2, 0, dtype=torch.long),
        prompted=[[], []],
    )


def test_halves_are_rows_that_know_their_people():
    whole, halves = batch(), halve(batch(), sample_rate=10)
    assert torch.equal(halves.waveforms.view(2, 20), whole.waveforms)
    assert halves.voices.tolist() == [[7, 9], [7, 9], [5, -1], [5, -1]]
    assert halves.turns[0] == [Turn(0.0, 0.5, 0), Turn(0.8, 1.0, 1)]
    assert [(t.speaker, round(t.end_s, 6)) for t in halves.turns[1]] == [(1, 0.4)]
    assert halves.turns[2] == []
    assert halves.prompts.shape[:2] == (4, 0) and halves.prompted == [[]] * 4


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.02, 5), st.integers(0, 3)), max_size=10),
    st.floats(1, 20),
)
def test_nothing_is_lost_at_the_cut(spans, cut_s):
    turns = [Turn(start, start + length, speaker) for start, length, speaker in spans]
    parts = clip(turns, 0.0, cut_s) + clip(turns, cut_s, 30.0)
    for speaker in range(4):
        whole = sum(t.end_s - t.start_s for t in turns if t.speaker == speaker)
        assert abs(sum(t.end_s - t.start_s for t in parts if t.speaker == speaker) - whole) < 1e-6
    assert all(turn.end_s > turn.start_s >= 0 for turn in parts)
