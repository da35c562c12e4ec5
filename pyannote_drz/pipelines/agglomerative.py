"""Constrained agglomerative clustering of speaker embeddings.

The two clusters that are most alike are merged, again and again, until nobody is alike enough.
`recipes/long/README.md` and `recipes/synthetic/RUNS.md` have what else was tried on the same.
"""

from __future__ import annotations

import numpy as np

from .embeddings import unit

# Cosine that two speakers of one chunk must have beyond the threshold: the model, who heard both,
# has told them apart. Of 0.2, 0.4 and never, 0.4 is best on SimDev and as good on RealDev.
APART = 0.4
# In a file of several chunks, whoever is heard alone for less than that is whom they resemble most:
# seconds, and as a share of all speech. Speakers counted right on SimDev meetings: 0 % without.
LITTLE_S, LITTLE_SHARE = 4.0, 0.01
# s; whoever is never heard alone for that long in a whole file is an echo of somebody who is:
# most of what the model tells of one voice alone and is not true.
LEAST_S = 0.2


def _together(seconds: np.ndarray) -> np.ndarray:
    """Weight of the distance of any two clusters, as in Ward's method."""
    total = seconds[:, None] + seconds
    return seconds[:, None] * seconds / total.clip(1e-9)


def agglomerate(
    embeddings: np.ndarray,
    chunks: np.ndarray,
    threshold: float,
    min_speakers: int = 1,
    max_speakers: float = np.inf,
) -> np.ndarray:
    """Tell which local speakers are the same.

    Parameters
    ----------
    embeddings, chunks, threshold, min_speakers, max_speakers
        See `clustering.cluster`.

    Returns
    -------
    labels : (local speakers,) array of int
        From 0.
    """
    num_items = len(embeddings)
    if not num_items:
        return np.zeros(0, dtype=int)
    sums, seconds = embeddings[:, :-1].astype(np.float64), embeddings[:, -1].astype(np.float64)
    of_chunk = np.unique(chunks, return_inverse=True)[1]
    present = np.zeros((num_items, of_chunk.max() + 1), dtype=np.float32)
    present[np.arange(num_items), of_chunk] = 1  # chunks of each cluster

    labels = np.arange(num_items)
    alike = unit(sums) @ unit(sums).T - APART * (present @ present.T > 0)
    np.fill_diagonal(alike, -np.inf)
    nearest, best = alike.argmax(1), alike.max(1)

    def join(a: int, b: int) -> None:
        """Cluster b becomes part of a."""
        labels[labels == b] = a
        sums[a] += sums[b]
        seconds[a] += seconds[b]
        present[a] = np.maximum(present[a], present[b])
        gone = np.isneginf(alike[a])
        row = unit(sums) @ unit(sums[a]) - APART * (present @ present[a] > 0)
        row[gone] = -np.inf
        alike[a] = alike[:, a] = row
        alike[b] = alike[:, b] = -np.inf
        stale = (nearest == a) | (nearest == b)
        stale[[a, b]] = True
        closer = ~stale & (row > best)
        nearest[closer], best[closer] = a, row[closer]
        nearest[stale], best[stale] = alike[stale].argmax(1), alike[stale].max(1)

    left = num_items
    while left > min_speakers:
        a = int(best.argmax())
        if np.isneginf(best[a]) or best[a] < threshold:
            break
        join(a, int(nearest[a]))
        left -= 1
    while left > max_speakers:
        # There are more than there may be: what costs least goes, and that is who is heard least.
        # (Merging whoever is most alike instead: two who speak much, and strays stay.)
        clusters = np.unique(labels)
        cost = (1 - alike[np.ix_(clusters, clusters)]) * _together(seconds[clusters])
        np.fill_diagonal(cost, np.inf)
        a, b = np.unravel_index(np.argmin(cost), cost.shape)
        join(int(clusters[a]), int(clusters[b]))
        left -= 1
    if present.shape[1] > 1:
        little = min(LITTLE_S, LITTLE_SHARE * seconds[np.unique(labels)].sum())
        clusters = np.unique(labels)
        for b in clusters[np.argsort(seconds[clusters], kind="stable")]:
            if seconds[b] >= little or left <= min_speakers:
                break
            # Not somebody who is heard in the same chunk, by the model's own word; but where all
            # others are, it must be one of them. (Staying a speaker: meetings 12.2 % DER and 50 %
            # counted right instead of 11.7 and 83, RealDev 16.3 and 40 instead of 16.1 and 60.)
            row = np.where(present @ present[b] > 0, -np.inf, alike[b])
            if np.isneginf(row).all():
                row = alike[b]
            a = int(row.argmax())
            if not np.isneginf(row[a]):
                join(a, int(b))
                left -= 1
    while left > max(min_speakers, 1):
        clusters = np.unique(labels)
        b = int(clusters[seconds[clusters].argmin()])
        if seconds[b] >= LEAST_S or np.isneginf(best[b]):
            break
        join(int(nearest[b]), b)
        left -= 1
    return np.unique(labels, return_inverse=True)[1]
