"""Clustering: which local speakers of different chunks are one speaker of the file.

Few local speakers are merged while they are alike enough (agglomerative.py), which takes a
threshold; many form a graph that shows by itself how many speakers there are (spectral.py).
"""

from __future__ import annotations

import numpy as np

from .agglomerative import agglomerate
from .embeddings import centred, unit
from .spectral import spectral

# Local speakers from which on the graph finds the right number of speakers more often than the
# threshold does: in 80 % of simulated recordings for 55 with 150 to 200 of them, 96 for 64 with
# more; 18 for 55 with 60 to 80. A chunk of a conversation has 3 or 4 (recipes/long/README.md).
MANY = 120
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
        Of few, two of one chunk are only merged where they are alike for sure.
    threshold : float
        Cosine under which two clusters are two speakers, where there are few local speakers.
    min_speakers, max_speakers : int or inf, optional
        As many as there are local speakers for, and never more.

    Returns
    -------
    labels : (local speakers,) array of int
        From 0.
    """
    if len(embeddings) >= MANY:
        return spectral(embeddings, min_speakers, max_speakers)
    return agglomerate(embeddings, chunks, threshold, min_speakers, max_speakers)
