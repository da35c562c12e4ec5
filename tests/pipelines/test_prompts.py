import pytest
import torch

from pyannote_drz.pipelines.prompts import Person, Stretch, choose, cut, remember
from pyannote_drz.pipelines.stitching import Turn


def heard(*turns: Turn) -> Person:
    person = Person(number=0)
    remember(person, list(turns))
    return person


def test_only_what_is_said_alone_can_be_a_prompt():
    person = heard(Turn(0, 4, 0, 1.0), Turn(1, 1.5, 1, 1.0), Turn(3.9, 5, 2, 1.0))
    assert person.best == Stretch(1.5, 3.9, pytest.approx(2.4))
    assert person.speech == 4 and person.last_heard == 4


def test_too_short_for_a_prompt():
    assert heard(Turn(0, 0.4, 0, 1.0)).best is None
    assert heard(Turn(0, 0.5, 0, 1.0)).best == Stretch(0, 0.5, 0.5)
    assert heard(Turn(0, 3, 0, 1.0), Turn(0.4, 2.6, 1, 1.0)).best is None


def test_the_middle_of_a_long_turn():
    assert heard(Turn(10, 30, 0, 0.5)).best == Stretch(17.5, 22.5, 2.5)


def test_long_and_confident_wins_and_is_replaced_only_by_better():
    person = heard(Turn(0, 2, 0, 0.9))
    remember(person, [Turn(10, 13, 0, 0.5)])  # longer, and less sure: 1.5 against 1.8
    assert person.best.start == 0
    remember(person, [Turn(20, 22, 0, 0.9)])  # as good
    assert person.best.start == 0
    remember(person, [Turn(30, 33, 0, 0.9)])
    assert person.best == Stretch(30, 33, pytest.approx(2.7))


def test_most_and_most_recent_speech_is_prompted():
    alone = Stretch(0, 1, 1.0)
    people = [
        Person(0, speech=30, last_heard=300, best=alone),
        Person(1, speech=100, last_heard=0, best=alone),  # 5 half-lives ago: counts 3 s
        Person(2, speech=5, last_heard=300, best=alone),
        Person(3, speech=500, last_heard=300, best=None),  # never alone
    ]
    assert [person.number for person in choose(people, 2, now=300)] == [0, 2]
    assert [person.number for person in choose(people, 9, now=300)] == [0, 1, 2]
    assert choose(people, 0, now=300) == []


@pytest.mark.parametrize("num_people, longest", [(1, 5.0), (3, 5.0), (4, 4.0), (8, 2.0)])
def test_all_prompts_together_take_at_most_16_s(num_people, longest):
    waveform = torch.arange(100 * 60.0)  # 100 Hz
    people = [Person(i, best=Stretch(i, i + 5, 5.0)) for i in range(num_people)]
    prompts = cut(waveform, 100, people)

    assert prompts.waveforms.shape == (1, num_people, round(100 * longest))
    assert prompts.lengths.tolist() == [[round(100 * longest)] * num_people]
    assert prompts.lengths.sum() <= 1600
    middle = prompts.waveforms[0, -1].mean() / 100
    assert middle == pytest.approx(num_people - 1 + 2.5, abs=0.02)


def test_prompts_of_different_lengths_are_padded():
    people = [Person(0, best=Stretch(0, 1, 1.0)), Person(1, best=Stretch(2, 4, 2.0))]
    prompts = cut(torch.ones(1000), 100, people)
    assert prompts.lengths.tolist() == [[100, 200]]
    assert prompts.waveforms[0].sum(1).tolist() == [100, 200]


def test_no_people_no_prompts():
    assert cut(torch.ones(1000), 100, []) is None
