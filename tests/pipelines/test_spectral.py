"""Many local speakers: noisy sightings of random directions, as in test_clustering.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.pipelines import clustering
from pyannote_drz.pipelines.agglomerative import agglomerate
from pyannote_drz.pipelines.clustering import MANY, cluster
from pyannote_drz.pipelines.spectral import MOST_COMPARED, MOST_SPEAKERS, spectral

from .test_clustering import DIM, same_partition, sightings


def told_by_all(number: int, share: float) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Local speakers who have much in common, as behind one telephone."""
    embeddings, chunks, truth, _ = sightings(number, 120, noise=0.5, seed=number)
    common = np.zeros(DIM)
    common[0] = 1.0
    seconds = embeddings[:, -1:]
    embeddings[:, :-1] = (1 - share) * embeddings[:, :-1] + share * seconds * common
    return embeddings, chunks, truth


@pytest.mark.parametrize("num_speakers", [1, 2, 3, 6, 12])
def test_speakers_are_found_and_counted(num_speakers):
    embeddings, _, truth, _ = sightings(num_speakers, 240, seed=num_speakers)
    assert len(truth) >= MANY
    assert same_partition(spectral(embeddings), truth)


@pytest.mark.parametrize("num_speakers", [3, 8])
def test_what_all_share_does_not_make_them_one(num_speakers):
    embeddings, chunks, truth = told_by_all(num_speakers, 0.66)
    assert len(truth) >= MANY
    assert same_partition(spectral(embeddings), truth)
    assert len(np.unique(agglomerate(embeddings, chunks, 0.35))) < num_speakers


def test_more_than_are_compared():
    embeddings, _, truth, _ = sightings(5, 400, seed=1)
    assert len(truth) > 1.2 * MOST_COMPARED
    assert same_partition(spectral(embeddings), truth)


def test_few_go_by_the_threshold_and_many_by_the_graph(monkeypatch):
    embeddings, chunks, _, _ = sightings(4, 120, seed=2)
    assert len(embeddings) >= MANY
    few = slice(MANY - 1)
    for part, name in ((few, "agglomerate"), (slice(None), "spectral")):
        called = []
        monkeypatch.setattr(clustering, name, lambda *a, called=called: called.append(a))
        cluster(embeddings[part], chunks[part], 0.35)
        assert len(called) == 1
        monkeypatch.undo()


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
