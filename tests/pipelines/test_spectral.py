"""Many local speakers: noisy sightings of random directions, as in test_clustering.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.pipelines import clustering
from pyannote_drz.pipelines.agglomerative import agglomerate
from pyannote_drz.pipelines.clustering import FEWEST_OF_GRAPH, HELD_TOGETHER, cluster, held_together
from pyannote_drz.pipelines.spectral import MOST_COMPARED, MOST_SPEAKERS, spectral

from .test_clustering import DIM, same_partition, sightings


def told_by_all(
    number: int, share: float, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Local speakers who have much in common, as behind one telephone."""
    embeddings, chunks, truth, _ = sightings(number, 120, noise=noise, seed=number)
    common = np.zeros(DIM)
    common[0] = 1.0
    seconds = embeddings[:, -1:]
    embeddings[:, :-1] = (1 - share) * embeddings[:, :-1] + share * seconds * common
    return embeddings, chunks, truth


@pytest.mark.parametrize("num_speakers", [1, 2, 3, 6, 12])
def test_speakers_are_found_and_counted(num_speakers):
    embeddings, _, truth, _ = sightings(num_speakers, 240, seed=num_speakers)
    assert len(truth) >= 100
    assert same_partition(spectral(embeddings), truth)


@pytest.mark.parametrize("num_speakers", [3, 8])
def test_what_all_share_does_not_make_them_one(num_speakers):
    embeddings, chunks, truth = told_by_all(num_speakers, 0.66)
    assert len(truth) >= 100
    assert same_partition(spectral(embeddings), truth)
    assert len(np.unique(agglomerate(embeddings, chunks, 0.35))) < num_speakers


def test_more_than_are_compared():
    embeddings, _, truth, _ = sightings(5, 400, seed=1)
    assert len(truth) > 1.2 * MOST_COMPARED
    assert same_partition(spectral(embeddings), truth)


def test_what_all_share_is_seen_by_the_graph():
    """The threshold merges speakers, whose clusters then do not hold together."""
    embeddings, chunks, truth = told_by_all(6, 0.6, noise=1.0)
    merged = agglomerate(embeddings, chunks, 0.35)
    assert merged.max() + 1 < 6 and held_together(embeddings, merged) < HELD_TOGETHER
    assert same_partition(cluster(embeddings, chunks, 0.35), truth)


def test_nobody_new_because_of_a_few_seconds():
    """Somebody whose voice is odd for some seconds stays one where the graph sees no other."""
    embeddings, chunks, truth, directions = sightings(3, 200, seed=5)
    odd = np.random.default_rng(0).normal(size=DIM)
    odd = 0.7 * directions[0] + 0.7 * odd / np.linalg.norm(odd)
    odd = np.stack([np.append(2.5 * odd, 2.5)] * 3)
    some, at = np.concatenate([embeddings, odd]), np.append(chunks, [200, 201, 202])
    assert len(set(agglomerate(some, at, 0.7))) == 4
    assert same_partition(cluster(some, at, 0.7), [*truth, 0, 0, 0])


def test_few_go_by_the_threshold_alone(monkeypatch):
    embeddings, chunks, _, _ = sightings(4, 120, seed=2)
    called = []
    monkeypatch.setattr(clustering, "spectral", lambda *a: called.append(a) or spectral(*a))
    for number in (FEWEST_OF_GRAPH - 1, FEWEST_OF_GRAPH):
        cluster(embeddings[:number], chunks[:number], 0.35)
    assert [len(arguments[0]) for arguments in called] == [FEWEST_OF_GRAPH]


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 8), st.integers(1, 10), st.integers(0, 10**6), st.integers(1, 8))
def test_limits_hold_whatever_is_heard(num_speakers, most, seed, fewest):
    embeddings, _, _, _ = sightings(num_speakers, 90, noise=3.0, most=4, seed=seed)
    if not len(embeddings):
        return
    fewest = min(fewest, most)
    labels = spectral(embeddings, fewest, most)
    assert len(labels) == len(embeddings)
    assert set(labels) == set(range(labels.max() + 1))
    assert min(fewest, len(embeddings)) <= labels.max() + 1 <= most


@pytest.mark.parametrize("number", [2, 7, MOST_SPEAKERS + 5])
def test_exact_numbers(number):
    embeddings, _, _, _ = sightings(6, 150, seed=3)
    assert len(np.unique(spectral(embeddings, number, number))) == number


def test_the_same_every_time():
    embeddings, _, _, _ = sightings(6, 150, noise=3.0, seed=4)
    assert (spectral(embeddings) == spectral(embeddings)).all()
