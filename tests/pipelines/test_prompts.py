"""Prompts: whose, and which of their seconds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.pipelines.prompts import (
    LONGEST_PROMPT,
    PROMPTS_SHARE,
    Person,
    Sample,
    choose,
    cut,
    remember,
    together,
)
from pyannote_drz.pipelines.stitching import Turn, alone
from pyannote_drz.prompting import SHORTEST_PROMPT, SILENCE_S, room_for

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")

RATE = 100
WINDOW_S = 30.0


def listen(start: float, end: float) -> torch.Tensor:
    """A recording that counts its seconds."""
    return torch.arange(round(start * RATE), round(end * RATE)) / RATE


def heard(*turns: Turn, vectors: np.ndarray | None = None) -> Person:
    """Person 0, after these turns of three people."""
    people = [Person(number) for number in range(3)]
    for row, turn in enumerate(turns if vectors is not None else ()):
        before = people[turn.speaker].vector
        people[turn.speaker].vector = vectors[row] + (0.0 if before is None else before)
    remember(people, turns, listen, vectors)
    return people[0]


def best(person: Person) -> tuple[float, float]:
    return person.samples[0].start, person.samples[0].end


def sample(start: float, end: float, probability: float = 1.0) -> Sample:
    return Sample(start, end, probability, listen(start, end))


# ---- which seconds ------------------------------------------------------------------------------


def test_only_what_is_said_alone_can_be_a_prompt():
    person = heard(Turn(0, 4, 0, 0.5), Turn(1, 1.5, 1, 1.0), Turn(3.9, 5, 2, 1.0))
    assert best(person) == (1.5, 3.9)
    assert person.samples[0].probability == 0.5
    assert torch.equal(person.samples[0].waveform, listen(1.5, 3.9))
    assert person.speech == 4 and person.last_heard == 4


def test_too_short_for_a_prompt():
    assert not heard(Turn(0, 0.4, 0, 1.0)).voice
    assert best(heard(Turn(0, 0.5, 0, 1.0))) == (0, 0.5)
    assert not heard(Turn(0, 3, 0, 1.0), Turn(0.4, 2.6, 1, 1.0)).voice


def test_the_middle_of_a_long_turn():
    assert best(heard(Turn(10, 30, 0, 0.5))) == (17.5, 22.5)


def test_two_stretches_are_kept_and_replaced_only_by_better():
    person = heard(Turn(0, 2, 0, 0.9))
    for turn, starts in [
        (Turn(10, 13, 0, 0.5), [10, 0]),
        (Turn(20, 21, 0, 0.9), [10, 0]),
        (Turn(30, 32, 0, 0.9), [10, 0]),  # as good
        (Turn(40, 44, 0, 0.9), [40, 10]),
    ]:
        remember([person], [turn], listen)
        assert [s.start for s in person.samples] == starts
        for s in person.samples:
            assert torch.equal(s.waveform, listen(s.start, s.end))


def test_what_is_not_kept_is_not_listened_to():
    person, asked = heard(Turn(0, 4, 0, 1.0), Turn(5, 9, 0, 1.0)), []
    remember([person], [Turn(10, 12, 0, 1.0)], lambda *span: asked.append(span))
    assert not asked


def test_what_sounds_like_all_the_rest_wins():
    """The longest turn is somebody else's."""
    vectors = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.0]])
    starts = [0, 10, 20, 30]
    lengths = [5, 2, 2, 3]
    turns = [Turn(s, s + n, 0, 1.0) for s, n in zip(starts, lengths, strict=True)]
    assert best(heard(*turns)) == (0, 5)
    person = heard(*turns, vectors=vectors)
    assert [s.start for s in person.samples] == [30, 20]
    assert person.samples[0].likeness == pytest.approx(0.9, abs=0.1)


@given(
    st.lists(
        st.builds(
            lambda start, length, speaker: Turn(start / 4, (start + length) / 4, speaker, 1.0),
            st.integers(0, 200), st.integers(1, 30), st.integers(0, 3),
        ),
        max_size=15,
    )
)  # fmt: skip
def test_turns_are_together_with_all_that_overlap_them(turns):
    turns = sorted(turns)
    groups = list(together(turns))
    assert [row for rows in groups for row in rows] == list(range(len(turns)))
    for rows in groups:
        for row in rows:
            assert alone(turns[row], [turns[i] for i in rows]) == alone(turns[row], turns)


# ---- whose --------------------------------------------------------------------------------------


def test_most_and_most_recent_speech_is_prompted():
    alone = [sample(0, 1)]
    people = [
        Person(0, speech=30, last_heard=300, samples=alone),
        Person(1, speech=100, last_heard=0, samples=alone),  # 5 half-lives ago: counts 3 s
        Person(2, speech=5, last_heard=300, samples=alone),
        Person(3, speech=500, last_heard=300),  # never alone
    ]
    assert [person.number for person in choose(people, 2, now=300)] == [0, 2]
    assert [person.number for person in choose(people, 9, now=300)] == [0, 1, 2]
    assert choose(people, 0, now=300) == []


# ---- how much -----------------------------------------------------------------------------------


def test_both_stretches_in_one_prompt_by_time():
    person = heard(Turn(0, 3, 0, 1.0), Turn(100, 102, 0, 1.0), Turn(200, 202.5, 0, 1.0))
    (voice,) = cut([person], RATE, WINDOW_S)
    assert len(voice) == 500  # 2.5 s of each
    assert torch.equal(voice, torch.cat([listen(0.25, 2.75), listen(200, 202.5)]))


def test_whoever_has_less_leaves_the_rest_to_the_other():
    person = heard(Turn(0, 4, 0, 1.0), Turn(100, 102, 0, 1.0))
    (voice,) = cut([person], RATE, WINDOW_S)
    assert torch.equal(voice, torch.cat([listen(0.5, 3.5), listen(100, 102)]))


def test_enrolled_voices_stand_alone():
    """What was heard of that name may be somebody else's."""
    person = heard(Turn(0, 3, 0, 1.0))
    person.enrolled = sample(50, 55)
    (voice,) = cut([person], RATE, WINDOW_S)
    assert torch.equal(voice, listen(50, 55))


@pytest.mark.parametrize("num_people, longest", [(1, 5.0), (2, 5.0), (3, 3.8), (4, 2.8), (8, 1.3)])
def test_the_more_people_the_shorter_their_prompts(num_people, longest):
    people = [Person(i, samples=[sample(i, i + 5)]) for i in range(num_people)]
    voices = cut(people, RATE, WINDOW_S)
    assert [len(voice) for voice in voices] == [round(RATE * longest)] * num_people
    assert voices[-1].mean() == pytest.approx(num_people - 1 + 2.5, abs=0.02)  # its middle


@given(st.floats(2.0, 60.0), st.lists(st.floats(0.5, 5.0), min_size=1, max_size=26))
def test_all_prompts_fit_into_their_share_of_the_window(window_s, lengths):
    """Where there is room, and then all of them are long enough."""
    most = room_for(PROMPTS_SHARE * window_s)
    people = [Person(i, samples=[sample(0, n)]) for i, n in enumerate(lengths)][:most]
    voices = cut(people, RATE, window_s)
    assert sum(len(v) / RATE + SILENCE_S for v in voices) <= PROMPTS_SHARE * window_s + 1e-6
    for voice, length in zip(voices, lengths, strict=False):
        assert min(SHORTEST_PROMPT, length) - 2 / RATE <= len(voice) / RATE <= LONGEST_PROMPT
    assert PROMPTS_SHARE * window_s < (most + 1) * (SHORTEST_PROMPT + SILENCE_S)


def test_nobody_has_no_prompt():
    assert cut([], RATE, WINDOW_S) == []
