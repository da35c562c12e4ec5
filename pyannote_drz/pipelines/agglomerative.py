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


class Clusters:
    """Clusters of local speakers, which can be joined.

    Parameters
    ----------
    embeddings, chunks
        See `clustering.cluster`.
    labels : (local speakers,) array of int
        From 0: the clusters to begin with.

    Attributes
    ----------
    sums, seconds : (clusters, 192), (clusters,) arrays
        Of the embeddings; those of clusters that were joined to others are no longer true.
    labels : (local speakers,) array of int
    """

    def __init__(self, embeddings: np.ndarray, chunks: np.ndarray, labels: np.ndarray):
        num_clusters = int(labels.max()) + 1
        of_chunk = np.unique(chunks, return_inverse=True)[1]
        self.labels = labels.copy()
        self.sums = np.zeros((num_clusters, embeddings.shape[1] - 1))
        self.seconds = np.zeros(num_clusters)
        # Chunks of each cluster.
        self.present = np.zeros((num_clusters, of_chunk.max() + 1), dtype=np.float32)
        np.add.at(self.sums, labels, embeddings[:, :-1].astype(np.float64))
        np.add.at(self.seconds, labels, embeddings[:, -1].astype(np.float64))
        self.present[labels, of_chunk] = 1
        self.gone = np.zeros(num_clusters, dtype=bool)

    @property
    def left(self) -> np.ndarray:
        """Clusters that are left."""
        return np.flatnonzero(~self.gone)

    @property
    def numbered(self) -> np.ndarray:
        """Labels, (local speakers,), from 0 on without a gap."""
        return np.unique(self.labels, return_inverse=True)[1]

    def share_chunk(self, cluster: int) -> np.ndarray:
        """Which clusters, (clusters,), the model told apart from this one."""
        return self.present @ self.present[cluster] > 0

    def alike(self, cluster: int) -> np.ndarray:
        """How much everybody, (clusters,), is like this one; -inf: itself, and who is gone."""
        row = unit(self.sums) @ unit(self.sums[cluster]) - APART * self.share_chunk(cluster)
        row[self.gone] = -np.inf
        row[cluster] = -np.inf
        return row

    def all_alike(self) -> np.ndarray:
        """The same of all, (clusters, clusters)."""
        told_apart = self.present @ self.present.T > 0
        alike = unit(self.sums) @ unit(self.sums).T - APART * told_apart
        alike[self.gone] = alike[:, self.gone] = -np.inf
        np.fill_diagonal(alike, -np.inf)
        return alike

    def join(self, a: int, b: int) -> None:
        """Cluster b becomes part of a."""
        self.labels[self.labels == b] = a
        self.sums[a] += self.sums[b]
        self.seconds[a] += self.seconds[b]
        self.present[a] = np.maximum(self.present[a], self.present[b])
        self.gone[b] = True

    def give_strays_away(self, min_speakers: int) -> None:
        """Whoever is hardly heard is somebody else."""
        if self.present.shape[1] > 1:
            little = min(LITTLE_S, LITTLE_SHARE * self.seconds[self.left].sum())
            for b in self.left[np.argsort(self.seconds[self.left], kind="stable")]:
                if self.seconds[b] >= little or len(self.left) <= min_speakers:
                    break
                # Not somebody who is heard in the same chunk, by the model's own word; but where
                # all others are, it must be one of them. (Staying a speaker: meetings 12.2 % DER
                # and 50 % counted right instead of 11.7 and 83, RealDev 16.3 and 40, not 16.1, 60.)
                alike = self.alike(b)
                others = np.where(self.share_chunk(b), -np.inf, alike)
                a = int((alike if np.isneginf(others).all() else others).argmax())
                if not np.isneginf(alike[a]):
                    self.join(a, int(b))
        while len(self.left) > max(min_speakers, 1):
            b = int(self.left[self.seconds[self.left].argmin()])
            if self.seconds[b] >= LEAST_S:
                break
            self.join(int(self.alike(b).argmax()), b)


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
    left = len(embeddings)
    if not left:
        return np.zeros(0, dtype=int)
    clusters = Clusters(embeddings, chunks, np.arange(left))
    alike = clusters.all_alike()
    nearest, best = alike.argmax(1), alike.max(1)
    while left > min_speakers:
        a = int(best.argmax())
        if np.isneginf(best[a]) or best[a] < threshold:
            break
        b = int(nearest[a])
        clusters.join(a, b)
        row = clusters.alike(a)
        alike[a] = alike[:, a] = row
        alike[b] = alike[:, b] = -np.inf
        stale = (nearest == a) | (nearest == b)
        stale[[a, b]] = True
        closer = ~stale & (row > best)
        nearest[closer], best[closer] = a, row[closer]
        nearest[stale], best[stale] = alike[stale].argmax(1), alike[stale].max(1)
        left -= 1
    while left > max_speakers:
        # There are more than there may be: what costs least goes, and that is who is heard least.
        # (Merging whoever is most alike instead: two who speak much, and strays stay.)
        who, alike = clusters.left, clusters.all_alike()
        seconds = clusters.seconds[who]
        weight = seconds[:, None] * seconds / (seconds[:, None] + seconds).clip(1e-9)  # as Ward's
        cost = (1 - alike[np.ix_(who, who)]) * weight
        np.fill_diagonal(cost, np.inf)
        a, b = np.unravel_index(np.argmin(cost), cost.shape)
        clusters.join(int(who[a]), int(who[b]))
        left -= 1
    clusters.give_strays_away(min_speakers)
    return clusters.numbered
