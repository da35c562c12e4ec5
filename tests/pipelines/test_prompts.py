import pytest
import torch

from pyannote_drz.pipelines.chunks import as_prompts
from pyannote_drz.pipelines.prompts import Person, Sample, choose, cut, remember
from pyannote_drz.pipelines.stitching import Turn

RATE = 100


def listen(start: float, end: float) -> torch.Tensor:
    """A recording that counts its seconds."""
    return torch.arange(round(start * RATE), round(end * RATE)) / RATE


def heard(*turns: Turn) -> Person:
    person = Person(number=0)
    remember(person, list(turns), listen)
    return person


def best(person: Person) -> tuple[float, float]:
    return person.samples[0].start, person.samples[0].end


def sample(start: float, end: float, probability: float = 1.0) -> Sample:
    return Sample(start, end, probability, listen(start, end))


def test_only_what_is_said_alone_can_be_a_prompt():
    person = heard(Turn(0, 4, 0, 1.0), Turn(1, 1.5, 1, 1.0), Turn(3.9, 5, 2, 1.0))
    assert best(person) == (1.5, 3.9)
    assert person.samples[0].score == pytest.approx(2.4)
    assert torch.equal(person.samples[0].waveform, listen(1.5, 3.9))
    assert person.speech == 4 and person.last_heard == 4


def test_too_short_for_a_prompt():
    assert not heard(Turn(0, 0.4, 0, 1.0)).voice
    assert best(heard(Turn(0, 0.5, 0, 1.0))) == (0, 0.5)
    assert not heard(Turn(0, 3, 0, 1.0), Turn(0.4, 2.6, 1, 1.0)).voice


def test_the_middle_of_a_long_turn():
    person = heard(Turn(10, 30, 0, 0.5))
    assert best(person) == (17.5, 22.5) and person.samples[0].score == 2.5


def test_long_and_confident_wins_and_is_replaced_only_by_better():
    person = heard(Turn(0, 2, 0, 0.9))
    for turn, start in [
        (Turn(10, 13, 0, 0.5), 0),  # longer, and less sure: 1.5 against 1.8
        (Turn(20, 22, 0, 0.9), 0),  # as good
        (Turn(30, 33, 0, 0.9), 30),
    ]:
        remember(person, [turn], listen)
        assert person.samples[0].start == start and len(person.samples) == 1


def test_one_early_and_one_late():
    person = heard(Turn(0, 3, 0, 1.0), Turn(100, 102, 0, 1.0), Turn(200, 202.5, 0, 1.0))
    assert [s.start for s in person.samples] == [0, 200]  # the better one first
    remember(person, [Turn(300, 304, 0, 1.0)], listen)
    assert [s.start for s in person.samples] == [300, 0]
    assert [s.start for s in person.voice] == [0, 300]
    (voice,) = cut([person], RATE)
    assert len(voice) == 500  # both in one prompt, 3 s leave 2 s to the other
    assert voice.min() < 3 and voice.max() > 300


def test_enrolled_voices_come_first():
    person = heard(Turn(0, 3, 0, 1.0))
    person.enrolled = sample(50, 55)
    (voice,) = cut([person], RATE)
    assert len(voice) == 500 and voice[0] >= 50 and voice[-1] < 3


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


@pytest.mark.parametrize("num_people, longest", [(1, 5.0), (3, 5.0), (4, 4.0), (8, 2.0)])
def test_all_prompts_together_take_at_most_16_s(num_people, longest):
    people = [Person(i, samples=[sample(i, i + 5)]) for i in range(num_people)]
    voices = cut(people, RATE)
    assert [len(voice) for voice in voices] == [round(RATE * longest)] * num_people
    assert sum(len(voice) for voice in voices) <= 16 * RATE
    assert voices[-1].mean() == pytest.approx(num_people - 1 + 2.5, abs=0.02)  # its middle


def test_prompts_of_different_lengths_and_numbers_are_padded():
    row = torch.ones(100), torch.ones(200)
    prompts = as_prompts([row, (), row[1:]])
    assert prompts.waveforms.shape == (3, 2, 200)
    assert prompts.lengths.tolist() == [[100, 200], [0, 0], [200, 0]]
    assert prompts.waveforms.sum(2).tolist() == [[100, 200], [0, 0], [200, 0]]
