"""Speakers are random directions, local speakers are noisy sightings of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.pipelines.agglomerative import agglomerate
from pyannote_drz.pipelines.clustering import cluster

DIM = 64
NOBODY = np.zeros((0, DIM + 1)), np.zeros(0, dtype=int)


def sightings(
    num_speakers: int, num_chunks: int, noise: float = 1.0, most: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    """Embeddings and chunks of local speakers, who they are, and everybody's direction."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(num_speakers, DIM))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    embeddings, chunks, truth = [], [], []
    for chunk in range(num_chunks):
        present = rng.permutation(num_speakers)[: rng.integers(0, most + 1)]
        for speaker in present.tolist():
            seconds = rng.uniform(0.5, 6.0)
            error = noise * rng.normal(size=DIM) / (DIM * (1 + seconds)) ** 0.5
            embeddings.append(np.append(seconds * (directions[speaker] + error), seconds))
            chunks.append(chunk)
            truth.append(speaker)
    if not embeddings:
        return *NOBODY, truth, directions
    return np.array(embeddings), np.array(chunks), truth, directions


def of_degrees(*degrees: float, seconds: float = 5.0) -> np.ndarray:
    """Embeddings of two dimensions."""
    angle = np.deg2rad(degrees)
    return np.stack([seconds * np.cos(angle), seconds * np.sin(angle), seconds + 0 * angle], 1)


def same_partition(a, b) -> bool:
    pairs = set(zip(list(a), list(b), strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


@pytest.mark.parametrize("num_speakers", [1, 2, 6, 12])
def test_speakers_are_found_and_counted(num_speakers):
    embeddings, chunks, truth, _ = sightings(num_speakers, 150)
    assert same_partition(cluster(embeddings, chunks, 0.4).tolist(), truth)


def test_two_of_a_chunk_are_two_unless_they_are_one_for_sure():
    def number(degrees: float, *chunks: int) -> int:
        return len(set(cluster(of_degrees(0, degrees), np.array(chunks), 0.4)))

    assert (number(50, 0, 1), number(50, 0, 0)) == (1, 2)  # cosine 0.64
    assert (number(70, 0, 1), number(20, 0, 0)) == (2, 1)


def test_strays_are_one_of_those_they_were_heard_beside():
    """Half a second in a minute, in a chunk in which all others are heard, is nobody new."""
    long = of_degrees(0, 90, 0, 90, seconds=15.0)
    embeddings = np.concatenate([long, of_degrees(50, seconds=0.5)])
    labels = cluster(embeddings, np.array([0, 0, 1, 1, 1]), 0.9).tolist()
    assert labels == [0, 1, 0, 1, 1]
    alone = cluster(embeddings, np.zeros(5, dtype=int), 0.9).tolist()
    assert len(set(alone)) == 5  # within one chunk, the model has the word


def test_whoever_is_heard_least_goes_first():
    """Three may be two: not the two who speak for long, though they are more alike."""
    embeddings = of_degrees(0, 70, 150)  # cosines 0.34, 0.17, -0.87
    embeddings[2] *= 0.1
    labels = cluster(embeddings, np.array([0, 1, 2]), 0.4, 2, 2).tolist()
    assert labels[1] == labels[2] != labels[0]


def test_what_is_apart_stays_apart_through_others():
    labels = cluster(of_degrees(0, 25, 50), np.array([0, 1, 0]), 0.4)
    assert labels[0] != labels[2]


def test_whoever_is_hardly_heard_is_somebody_else_or_stays():
    embeddings, chunks, truth, _ = sightings(3, 60)
    stranger = np.append(np.random.default_rng(9).normal(size=DIM), 0.5)
    some, at = np.concatenate([embeddings, stranger[None]]), np.append(chunks, 60)
    assert len(set(cluster(some, at, 0.4))) == 3
    assert len(set(cluster(some, at, 0.4, min_speakers=4))) == 4
    # In a chunk in which all others are, the model has heard a fourth one.
    everywhere = np.zeros(4, dtype=int)
    rows = [truth.index(k) for k in range(3)]
    assert len(set(cluster(np.append(embeddings[rows], stranger[None], 0), everywhere, 0.4))) == 4


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 10**6), st.integers(1, 4))
def test_limits_hold_whatever_is_heard(num_speakers, most, seed, fewest):
    embeddings, chunks, _, _ = sightings(num_speakers, 12, noise=3.0, most=4, seed=seed)
    fewest = min(fewest, most)
    labels = cluster(embeddings, chunks, 0.4, fewest, most)
    assert len(labels) == len(embeddings)
    assert min(fewest, len(embeddings)) <= len(set(labels.tolist())) <= most or not len(labels)
    assert sorted(set(labels.tolist())) == list(range(len(set(labels.tolist()))))


@pytest.mark.parametrize("number", [2, 4, 7])
def test_exact_numbers(number):
    embeddings, chunks, _, _ = sightings(3, 60)
    assert len(set(cluster(embeddings, chunks, 0.4, number, number))) == number


def test_what_is_most_alike_is_merged_first():
    """As a search among all pairs does it, without the shortcuts."""
    embeddings, chunks, _, _ = sightings(6, 30, noise=4.0)
    chunks = np.arange(len(chunks))
    sums = {i: embeddings[i, :-1] for i in range(len(embeddings))}
    members = {i: [i] for i in sums}
    while len(sums) > 6:
        pairs = [
            (a @ b / np.linalg.norm(a) / np.linalg.norm(b), i, j)
            for i, a in sums.items()
            for j, b in sums.items()
            if i < j
        ]
        _, i, j = max(pairs)
        sums[i] = sums[i] + sums.pop(j)
        members[i] += members.pop(j)
    expected = np.zeros(len(embeddings), dtype=int)
    for label, rows in members.items():
        expected[rows] = label
    found = agglomerate(embeddings, chunks, -1.0, 6, 6)
    assert same_partition(found.tolist(), expected.tolist())


def test_nobody():
    assert len(cluster(*NOBODY, 0.4)) == 0
