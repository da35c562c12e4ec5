"""People are random directions, voices are noisy sightings of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.pipelines import linking
from pyannote_drz.pipelines.linking import ChunkVoice, agglomerate, link

DIM = 64


def sightings(
    num_people: int, num_chunks: int, noise: float = 1.0, most: int = 3, seed: int = 0
) -> tuple[list[ChunkVoice], list[int], np.ndarray]:
    """Voices of chunks, who they are, and everybody's direction."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(num_people, DIM))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    voices, truth = [], []
    for chunk in range(num_chunks):
        present = rng.permutation(num_people)[: rng.integers(0, most + 1)]
        for person in present.tolist():
            seconds = rng.uniform(0.5, 6.0)
            error = noise * rng.normal(size=DIM) / (DIM * (1 + seconds)) ** 0.5
            voices.append(ChunkVoice(chunk, seconds * (directions[person] + error), seconds))
            truth.append(person)
    return voices, truth, directions


def same_partition(a, b) -> bool:
    pairs = set(zip(list(a), list(b), strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


@pytest.mark.parametrize("num_people", [1, 2, 6, 12])
def test_people_are_found_and_counted(num_people):
    voices, truth, _ = sightings(num_people, 150)
    people = link(voices, 0.4)
    assert same_partition(people.tolist(), truth)


def test_blocks_change_nothing(monkeypatch):
    voices, truth, _ = sightings(5, 200)
    monkeypatch.setattr(linking, "BLOCK", 40)
    people = link(voices, 0.4)
    assert same_partition(people.tolist(), truth)


def test_two_voices_of_a_chunk_are_two_people():
    voice = np.ones(DIM)
    people = link([ChunkVoice(0, voice, 1.0), ChunkVoice(0, voice, 1.0)], 0.4)
    assert people[0] != people[1]


def test_what_is_apart_stays_apart_through_others():
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    apart = np.zeros((3, 3), dtype=bool)
    apart[0, 2] = apart[2, 0] = True
    groups = agglomerate(vectors, apart, threshold=-1.0, fewest=1)
    assert groups[0] != groups[2] and len(set(groups)) == 2


def test_known_people_keep_their_numbers_and_strangers_get_others():
    voices, truth, directions = sightings(5, 100)
    people = link(voices, 0.4, known=[directions[3], -directions[0], directions[1]])
    assert {p for p, t in zip(people, truth, strict=True) if t == 3} == {0}
    assert {p for p, t in zip(people, truth, strict=True) if t == 1} == {2}
    assert 1 not in people  # known, and never there
    assert {p for p, t in zip(people, truth, strict=True) if t in (0, 2, 4)} == {3, 4, 5}


def test_a_person_must_be_worth_it():
    voices, truth, _ = sightings(3, 60)
    stranger = np.random.default_rng(9).normal(size=DIM)
    rare = ChunkVoice(60, stranger, 0.5)
    assert len(set(link([*voices, rare], 0.4))) == 3
    assert len(set(link([*voices, rare], 0.4, min_people=4))) == 4
    often = [ChunkVoice(60 + k, stranger, 5.0) for k in range(3)]
    people = link([*voices, *often], 0.4)
    assert same_partition(people.tolist(), [*truth, 3, 3, 3])


def test_chunks_choose_anew_after_a_wrong_merge():
    # Merging who is most alike, and nothing else, takes the two middle ones for one person.
    def voice(degrees: float, chunk: int) -> ChunkVoice:
        angle = np.deg2rad(degrees)
        return ChunkVoice(chunk, 5 * np.array([np.cos(angle), np.sin(angle)]), 5.0)

    voices = [voice(angle, k) for k, angle in enumerate((0, 10, 36, 64, 90, 100))]
    people = link(voices, 0.4, max_people=2)
    assert same_partition(people.tolist(), [0, 0, 0, 1, 1, 1])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 10**6), st.integers(0, 3))
def test_limits_hold_whatever_is_heard(num_people, most, seed, num_known):
    voices, _, directions = sightings(num_people, 12, noise=3.0, most=4, seed=seed)
    known = list(directions[:num_known])
    people = link(voices, 0.4, max_people=most, known=known)
    assert len(people) == len(voices)
    assert len(set(people.tolist())) <= most
    for chunk in {voice.chunk for voice in voices}:
        inside = [p for p, v in zip(people.tolist(), voices, strict=True) if v.chunk == chunk]
        assert len(set(inside)) >= min(len(inside), len(set(people.tolist())))


@pytest.mark.parametrize("fewest", [2, 4, 7])
def test_min_people(fewest):
    voices, _, _ = sightings(2, 60)
    assert len(set(link(voices, 0.4, min_people=fewest))) == fewest


def test_nobody():
    assert len(link([], 0.4)) == len(link([], 0.4, known=[np.ones(3)])) == 0
