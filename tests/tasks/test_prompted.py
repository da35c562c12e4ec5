"""Prompts in the place of a conversation's first seconds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.prompting import SHORTEST_PROMPT, SILENCE_S
from pyannote_drz.simulation import Batch, Turn
from pyannote_drz.tasks.objective import make_targets
from pyannote_drz.tasks.prompted import MOST, begin_with_prompts
from pyannote_drz.tokens import Vocabulary

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")

RATE = 100
POSITION = 8  # samples
VOICE, REST = 1.0, 0.5  # samples of prompts, k + 1 times that, and of conversations


def conversation(
    turns: list[list[Turn]],
    prompted: list[list[int]],
    prompt_s: list[list[float]],
    duration_s: float,
) -> Batch:
    """Rows of a batch whose samples tell what they are."""
    widest = max(len(row) for row in prompted)
    lengths = torch.zeros(len(turns), widest, dtype=torch.long)
    for row, seconds in enumerate(prompt_s):
        lengths[row, : len(seconds)] = torch.tensor([round(s * RATE) for s in seconds])
    prompts = (torch.arange(5 * RATE) < lengths[..., None]) * VOICE
    return Batch(
        waveforms=torch.full((len(turns), round(duration_s * RATE)), REST),
        turns=turns,
        voices=torch.arange(8).expand(len(turns), 8),
        prompts=prompts * torch.arange(1, widest + 1)[:, None],
        prompt_lengths=lengths,
        prompted=prompted,
    )


def ends(turns: list[Turn]) -> list[tuple]:
    return [(round(turn.start_s, 6), round(turn.end_s, 6), turn.speaker) for turn in turns]


def test_example():
    """Prompts of 2 s and of 1 s, with their silences, end at 3.4 s, which is in a position."""
    turns = [Turn(0.0, 1.0, 0), Turn(2.0, 6.0, 1), Turn(8.0, 9.0, 0)]
    batch = conversation([turns, turns], [[1, 2], []], [[2.0, 1.0], []], 10.0)
    begun = begin_with_prompts(batch, RATE, POSITION)
    assert ends(begun.turns[0]) == [(0, 2, 1), (2.2, 3.2, 2), (3.44, 6, 1), (8, 9, 0)]
    parts = [(2.0, 1.0), (0.2, 0.0), (1.0, 2.0), (0.24, 0.0), (6.56, REST)]
    expected = [torch.full((round(seconds * RATE),), level) for seconds, level in parts]
    assert torch.equal(begun.waveforms[0], torch.cat(expected))
    assert begun.prompted == batch.prompted and torch.equal(begun.voices, batch.voices)
    assert begun.prompts.shape[1] == begun.prompt_lengths.shape[1] == 0


def test_who_is_not_prompted_begins_at_once():
    turns = [Turn(0.0, 1.0, 0), Turn(2.0, 6.0, 1)]
    batch = conversation([turns, turns], [[1], []], [[2.0], []], 10.0)
    begun = begin_with_prompts(batch, RATE, POSITION)
    assert ends(begun.turns[1]) == ends(turns)
    assert torch.equal(begun.waveforms[1], batch.waveforms[1])


def test_the_conversation_is_left_alone():
    """The batch that was given is not changed."""
    batch = conversation([[Turn(0.0, 9.0, 0)]], [[0]], [[2.0]], 10.0)
    begin_with_prompts(batch, RATE, POSITION)
    assert (batch.waveforms == REST).all() and ends(batch.turns[0]) == [(0, 9, 0)]


def begin(turns: list[Turn], prompted: list[int], prompt_s: list[float], duration_s: int):
    """One conversation: its samples, turns of its prompts, other turns, and where those begin."""
    batch = begin_with_prompts(
        conversation([turns], [prompted], [prompt_s], duration_s), RATE, POSITION
    )
    (waveform,), (heard,) = batch.waveforms, batch.turns
    begin_s = int((waveform != REST).sum()) / RATE
    (kept,) = batch.prompted
    assert kept == prompted[: len(kept)]
    return waveform, heard[: len(kept)], heard[len(kept) :], begin_s


durations = st.integers(1, 30)
prompt_lengths = st.lists(st.floats(0.5, 5.0), max_size=8)
people = st.permutations(range(8))


@given(people, prompt_lengths, durations)
def test_prompts_take_their_share_and_no_more(people, prompt_s, duration_s):
    waveform, prompts, _, begin_s = begin([], people[: len(prompt_s)], prompt_s, duration_s)
    prompt_s = prompt_s[: int(MOST * duration_s / (SHORTEST_PROMPT + SILENCE_S))]  # what fits
    prompted = people[: len(prompt_s)]
    assert begin_s <= MOST * duration_s + POSITION / RATE
    assert round(begin_s * RATE) % POSITION == 0
    assert (waveform[round(begin_s * RATE) :] == REST).all()

    assert [turn.speaker for turn in prompts] == prompted
    starts = [turn.start_s for turn in prompts] + [begin_s]
    for turn, following in zip(prompts, starts[1:], strict=True):
        assert following - turn.end_s >= SILENCE_S - 1e-6
    lengths = [turn.end_s - turn.start_s for turn in prompts]
    room_s = MOST * duration_s - SILENCE_S * len(prompted)
    shrink = min(1.0, room_s / max(sum(prompt_s), 0.5))
    assert lengths == pytest.approx([shrink * s for s in prompt_s], abs=2.01 / RATE)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 90), st.integers(0, 7)), max_size=20),
    people,
    prompt_lengths,
    durations,
)
def test_what_prompts_do_not_cover_is_told_when_it_is_heard(spans, people, prompt_s, duration_s):
    turns = [Turn(s / 10, min((s + n) / 10, duration_s), k) for s, n, k in spans]
    turns = [turn for turn in turns if turn.start_s < duration_s]
    _, _, rest, begin_s = begin(turns, people[: len(prompt_s)], prompt_s, duration_s)
    left = [turn for turn in turns if turn.end_s > begin_s]
    assert ends(rest) == ends([t._replace(start_s=max(t.start_s, begin_s)) for t in left])


def test_targets_of_a_window():
    """Who goes on after the prompt has two turns; who is prompted and silent keeps the letter."""
    vocabulary = Vocabulary(duration=10.0, max_speakers=4)
    turns = [Turn(0.0, 6.0, 1), Turn(7.0, 9.0, 0)]
    batch = conversation([turns], [[2, 1]], [[2.0, 1.0]], 10.0)
    batch = begin_with_prompts(batch, RATE, POSITION)
    targets = make_targets(vocabulary, batch.turns, batch.prompted, batch.voices, num_frames=500)
    spoken = [(0, 100, 0), (110, 160, 1), (172, 300, 1), (350, 450, 2)]
    assert vocabulary.to_triplets(targets.tokens[0].tolist()) == spoken
    assert targets.people.tolist() == [[2, 1, 0, -1]]
    assert targets.given.sum() == 6


def test_more_prompts_than_fit():
    """Two of 0.5 s fit into 1.5 s; who is not prompted after all is a newcomer."""
    turns = [Turn(2.0, 3.0, 2)]
    batch = conversation([turns], [[0, 1, 2]], [[1.0, 1.0, 1.0]], 3.0)
    begun = begin_with_prompts(batch, RATE, POSITION)
    assert begun.prompted == [[0, 1]]
    assert ends(begun.turns[0]) == [(0, 0.55, 0), (0.75, 1.3, 1), (2, 3, 2)]
    assert (begun.waveforms[0, 152:] == REST).all()
    nobody = conversation([turns], [[0, 1, 2]], [[1.0, 1.0, 1.0]], 1.0)
    begun = begin_with_prompts(nobody, RATE, POSITION)
    assert begun.prompted == [[]] and torch.equal(begun.waveforms, nobody.waveforms)
