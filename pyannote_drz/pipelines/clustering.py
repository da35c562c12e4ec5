"""Clustering: which local speakers of different chunks are one speaker of the file.

Two who are alike enough are merged (agglomerative.py), which takes a threshold; many form a graph
that shows by itself how many speakers there are (spectral.py). How well the clusters of either hold
together tells which of them is right.
"""

from __future__ import annotations

import numpy as np

from .agglomerative import Clusters, agglomerate
from .embeddings import centred, centroids, unit
from .spectral import spectral

# Local speakers from which on there is a graph. A chunk of a conversation has 3 or 4.
FEWEST_OF_GRAPH = 30
# Mean cosine of local speakers with their cluster under which the threshold has merged different
# speakers; and what it may fall by where the graph has fewer clusters, which were one speaker's.
# Simulated recordings, 4 to 20 min, where the two find different numbers: 17 of 19 in which more
# are better are under 0.90, none of 9 in which they are worse; 18 of 24 in which fewer are no worse
# lose less than 0.0065, none of 35 in which they are (recipes/long/README.md).
HELD_TOGETHER, SAME_FIT = 0.9, 0.0065
# Two of three or more speakers of one chunk are one where they are this much alike, and this much
# after what all of the chunk share is taken away: a telephone makes everybody alike, and one voice
# unlike itself. Two people's centred cosines are under 0 (RUNS.md).
SAME_COSINE, SAME_CENTRED = 0.5, 0.2


def within_chunks(embeddings: np.ndarray, chunks: np.ndarray) -> np.ndarray:
    """Local speakers that one chunk has told apart, and that are one all the same.

    Parameters
    ----------
    embeddings, chunks : arrays
        See `cluster`.

    Returns
    -------
    labels : (local speakers,) array of int
        The first of those that are the same.
    """
    labels = np.arange(len(embeddings))
    for chunk in np.unique(chunks):
        items = np.flatnonzero(chunks == chunk)
        told_apart = embeddings[items].astype(np.float64)  # (items, 193)
        sums = told_apart.copy()
        while len(items) > 2:
            alike = unit(sums[:, :-1]) @ unit(sums[:, :-1]).T
            units = unit(centred(sums, told_apart))
            unlike_others = units @ units.T
            np.fill_diagonal(unlike_others, -1.0)
            unlike_others[alike < SAME_COSINE] = -1.0
            a, b = sorted(np.unravel_index(unlike_others.argmax(), unlike_others.shape))
            if unlike_others[a, b] < SAME_CENTRED:
                break
            sums[a] += sums[b]
            labels[labels == items[b]] = items[a]
            sums, items = np.delete(sums, b, 0), np.delete(items, b)
    return labels


def held_together(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Mean cosine of local speakers with their cluster, weighted by seconds."""
    cosines = (unit(embeddings[:, :-1]) * centroids(embeddings, labels)[labels]).sum(1)
    return float(np.average(cosines, weights=embeddings[:, -1] + 1e-9))


def cluster(
    embeddings: np.ndarray,
    chunks: np.ndarray,
    threshold: float,
    min_speakers: int = 1,
    max_speakers: float = np.inf,
) -> np.ndarray:
    """Tell which local speakers are the same.

    Parameters
    ----------
    embeddings : (local speakers, 193) array
        Summed embeddings, and in the last column seconds, as of `embeddings.embed`.
    chunks : (local speakers,) array of int
        Two of one chunk are only merged where they are alike for sure.
    threshold : float
        Cosine under which two clusters are two speakers, unless the graph shows it otherwise.
    min_speakers, max_speakers : int or inf, optional
        As many as there are local speakers for, and never more.

    Returns
    -------
    labels : (local speakers,) array of int
        From 0.
    """
    merged = agglomerate(embeddings, chunks, threshold, min_speakers, max_speakers)
    if len(embeddings) < FEWEST_OF_GRAPH:
        return merged
    clusters = Clusters(embeddings, chunks, spectral(embeddings, min_speakers, max_speakers))
    clusters.give_strays_away(min_speakers)
    graph = clusters.numbered
    fit, fit_of_graph = held_together(embeddings, merged), held_together(embeddings, graph)
    if graph.max() < merged.max():
        return graph if fit - fit_of_graph < SAME_FIT else merged
    return graph if fit < HELD_TOGETHER and fit < fit_of_graph else merged
