"""Spectral clustering: which local speakers are one speaker, where there are many of them.

A fixed cosine can't tell how many people a long recording has: what they share, a room or a
telephone, is not the same twice. The graph of who is most alike can, once it has enough nodes: it
falls apart into as many parts as there are speakers, and the gap between eigenvalues shows how many
(Park et al. 2020, "Auto-tuning spectral clustering for speaker diarization using normalized maximum
eigengap", IEEE Signal Processing Letters 27).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from sklearn.cluster import KMeans

from .embeddings import centroids, unit

# Local speakers that are compared, those that are heard most; the others are given to whoever is
# most alike.
MOST_COMPARED = 400
# Neighbours of everybody that are tried: from a few, for with fewer any graph falls apart, up to a
# share of all. From 6 on one person alone is one in 46 of 56 simulated hours, from 1 on in 3.
FEWEST_NEIGHBOURS, MOST_NEIGHBOURS, TRIES = 6, 0.2, 30
MOST_SPEAKERS = 30
# Cosine of two clusters from which on they are one speaker: two halves of one have 0.94 and more,
# two people of one conversation up to 0.89.
SAME = 0.92


def _graph(nearest: np.ndarray) -> np.ndarray:
    """Laplacian of the graph that connects everybody with their nearest, (nodes, neighbours)."""
    near = np.zeros((len(nearest), len(nearest)))
    np.put_along_axis(near, nearest, 1.0, axis=1)
    near = (near + near.T) / 2
    return np.diag(near.sum(1)) - near


def spectral(
    embeddings: np.ndarray, min_speakers: int = 1, max_speakers: float = np.inf
) -> np.ndarray:
    """Tell which local speakers are the same.

    Parameters
    ----------
    embeddings : (local speakers, 193) array
        See `cluster`.
    min_speakers, max_speakers : int or inf, optional

    Returns
    -------
    labels : (local speakers,) array of int
        From 0.
    """
    units = unit(embeddings[:, :-1].astype(np.float64))
    compared = np.sort(np.argsort(-embeddings[:, -1], kind="stable")[:MOST_COMPARED])
    size = len(compared)
    nearest = np.argsort(-(units[compared] @ units[compared].T), axis=1)
    most = int(min(max_speakers, max(MOST_SPEAKERS, min_speakers), size - 1))
    fewest = min(min_speakers, most)
    least = min(FEWEST_NEIGHBOURS, size)
    numbers = np.linspace(least, max(MOST_NEIGHBOURS * size, least), TRIES).astype(int)
    best = np.inf, fewest, 1
    for neighbours in np.unique(numbers).tolist():
        values = eigh(_graph(nearest[:, :neighbours]), eigvals_only=True)  # ascending
        gaps = np.diff(values[: most + 1])[fewest - 1 :]
        # Few neighbours and a wide gap: the fewer there are, the wider is any gap.
        ratio = neighbours / max(gaps.max() / max(values[-1], 1e-9), 1e-9)
        if ratio < best[0]:
            best = ratio, fewest + int(gaps.argmax()), neighbours
    _, number, neighbours = best
    _, vectors = eigh(_graph(nearest[:, :neighbours]), subset_by_index=[0, number - 1])
    labels = KMeans(number, n_init=5, random_state=0).fit_predict(vectors)
    labels = (units @ centroids(embeddings[compared], labels).T).argmax(1)
    return _joined(embeddings, labels, min_speakers)


def _joined(embeddings: np.ndarray, labels: np.ndarray, min_speakers: int) -> np.ndarray:
    """Labels, without clusters that are too much alike to be two speakers."""
    labels = np.unique(labels, return_inverse=True)[1]
    while labels.max() + 1 > min_speakers:
        units = centroids(embeddings, labels)
        alike = units @ units.T
        np.fill_diagonal(alike, -1.0)
        a, b = np.unravel_index(alike.argmax(), alike.shape)
        if alike[a, b] < SAME:
            break
        labels = np.unique(np.where(labels == b, a, labels), return_inverse=True)[1]
    return labels
