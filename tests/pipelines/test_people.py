"""Chunks go from 10 to 20 s here, and 12 to 18 s of them are emitted."""

import math

import numpy as np
import torch

from pyannote_drz.pipelines.people import People
from pyannote_drz.pipelines.prompts import Person
from pyannote_drz.pipelines.stitching import Turn

SPAN = (10.0, 12.0, 18.0)


def meet(people: People, *turns: Turn, prompted=(), before=(), vectors=None) -> dict[int, int]:
    who = people.recognise(
        list(turns), [people.known[number] for number in prompted], list(before), SPAN, vectors
    )
    return {letter: person.number for letter, person in who.items()}


def people_of(*last_heard: float, max_people: float = math.inf) -> People:
    """Somebody for each time at which they were last heard."""
    people = People(max_people)
    people.recognise([Turn(13, 14, i, 1.0) for i in range(len(last_heard))], [], [], SPAN)
    for person, time in zip(people.known, last_heard, strict=True):
        person.last_heard, person.speech = time, 1.0
    return people


def test_new_letters_are_new_people_by_arrival():
    people = People(math.inf)
    assert meet(people, Turn(15, 16, 0, 1.0), Turn(13, 14, 1, 1.0)) == {1: 0, 0: 1}


def test_letters_of_prompts_are_known():
    people = people_of(9, 9, 9)
    who = meet(people, Turn(13, 14, 1, 1.0), Turn(15, 16, 2, 1.0), prompted=[0, 2])
    assert who == {0: 0, 1: 2, 2: 3}


def test_who_is_heard_in_context_only_does_not_count():
    people = People(math.inf)
    assert meet(people, Turn(10, 12, 0, 1.0), Turn(18, 20, 1, 1.0)) == {}
    assert len(people) == 0


def test_a_new_letter_is_recognised_by_what_it_says_in_the_context():
    people = people_of(9, 12)
    before = [Turn(10.1, 12, 1, 1.0)]
    who = meet(people, Turn(10, 13, 0, 1.0), Turn(14, 15, 1, 1.0), before=before)
    assert who == {0: 1, 1: 2}


def test_a_voice_that_the_chunk_names_itself_is_nobody_else():
    people = people_of(12)
    turns = Turn(10, 13, 1, 1.0), Turn(14, 15, 0, 1.0)
    assert meet(people, *turns, prompted=[0], before=[Turn(10, 12, 0, 1.0)]) == {0: 0, 1: 1}


def test_a_glimpse_of_somebody_in_the_context_is_not_enough():
    people = people_of(12)
    assert meet(people, Turn(10, 13, 0, 1.0), before=[Turn(10, 10.5, 0, 1.0)]) == {0: 1}


def test_who_is_silent_now_is_nobody_else():
    """Taken for person 0 in the step before; but this chunk has two voices, and 0 is the other."""
    people = people_of(12)
    before = [Turn(10, 11, 0, 1.0), Turn(11.2, 12, 0, 1.0)]
    turns = Turn(10, 11, 0, 1.0), Turn(11.2, 14, 1, 1.0)
    assert meet(people, *turns, before=before) == {1: 1}


def test_no_more_people_than_allowed():
    people = people_of(5, 9, max_people=3)
    who = meet(people, Turn(13, 14, 0, 1.0), Turn(14, 15, 1, 1.0), Turn(15, 16, 2, 1.0))
    assert who == {0: 2, 1: 1, 2: 0}  # a newcomer, then who was heard last
    assert len(people.known) == 3


def test_a_voice_that_is_known_is_recognised():
    people = people_of(5, 9)
    people.threshold = 0.5
    people.known[0].vector, people.known[1].vector = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    turns = Turn(13, 14, 0, 1.0), Turn(14, 15, 1, 1.0), Turn(15, 16, 2, 1.0)
    vectors = np.array([[-1.0, -1.0], [0.2, 3.0], [2.0, 0.1]])
    assert meet(people, *turns, vectors=vectors) == {0: 2, 1: 1, 2: 0}


def test_nobody_new_is_made_of_a_glimpse():
    people = people_of(5, 9)
    assert meet(people, Turn(13, 13.2, 0, 1.0)) == {0: 1}  # who was heard last
    assert meet(People(math.inf), Turn(13, 13.2, 0, 1.0)) == {0: 0}  # there is nobody else


def test_enrolled_people_count_when_they_are_heard():
    people = People(1, 0.5, [Person(0, name="ann", vector=np.array([1.0, 0.0]))])
    assert len(people) == 0 and not people.full
    stranger = np.array([[0.0, 1.0]])
    assert meet(people, Turn(13, 14, 0, 1.0), vectors=stranger) == {0: 1}
    people.remember([Turn(13, 14, 1, 1.0)], lambda start, end: torch.zeros(1))
    assert people.full and [person.number for person in people.possible] == [1]
