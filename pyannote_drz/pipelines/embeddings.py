"""Speaker embeddings of turns, summed over seconds, and compared by their cosine."""

from __future__ import annotations

from math import ceil

import numpy as np

from ..models.encoders import Features
from ..models.encoders.segmentation import NUM_LOCAL
from ..models.speaker_embeddings import TYPICAL_NORM
from ..prompting import POSITION_S, whole_positions
from .stitching import Turn, alone, together

# What an embedding counts where it is only heard together with others: it decides when nothing
# else does.
OVERLAPPED = 0.01


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, or 0, along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def centred(embeddings: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Summed embeddings, (…, 193), without what all `of` share: (…, 192)."""
    shared = of.sum(0) / max(of[:, -1].sum(), 1e-9)  # of a second
    return embeddings[:, :-1] - embeddings[:, -1:] * shared[:-1]


def centroids(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of clusters 0, 1, …: (clusters, 192), of length 1."""
    sums = [embeddings[labels == k, :-1].sum(0) for k in range(labels.max() + 1)]
    return unit(np.stack(sums))


def embed(turns: list[Turn], features: Features) -> np.ndarray:
    """Speaker embeddings of turns, pooled where nobody else speaks.

    Parameters
    ----------
    turns : list of Turn
        Sorted, in seconds from the beginning of the features.
    features : Features
        (positions, …)

    Returns
    -------
    embeddings : (turns, 193) array
        Sums over positions, weighted by the probability that one person speaks alone, and in the
        last column the seconds that this makes: those of several turns add up.
    """
    embeddings = np.zeros((len(turns), features.short.shape[-1] + 1), dtype=np.float32)
    for rows in together(turns):
        for row in rows:
            turn = turns[row]
            for start_s, end_s in alone(turn, [turns[other] for other in rows]):
                embeddings[row] += pooled(features.part(*whole_positions(start_s, end_s)))
            if embeddings[row, -1] < OVERLAPPED * POSITION_S:  # never alone: better than nothing
                first, stop = int(turn.start / POSITION_S), ceil(turn.end / POSITION_S)
                embeddings[row] = pooled(features.part(first, stop), OVERLAPPED)
    return embeddings


def pooled(features: Features, overlapped: float = 0.0) -> np.ndarray:
    """Embedding of some features, whoever speaks.

    Parameters
    ----------
    features : Features
        (positions, …)
    overlapped : float, optional
        What speech of several people counts.

    Returns
    -------
    embedding : (193,) array
        See `embed`.
    """
    probabilities = features.probabilities.float().mean(-2)  # (positions, 7)
    weight = POSITION_S * probabilities[:, 1 : 1 + NUM_LOCAL].sum(-1)
    if overlapped:
        weight = overlapped * POSITION_S * (1 - probabilities[:, 0])
    sums = weight @ features.short.float() / TYPICAL_NORM
    return np.append(sums.cpu().numpy(), weight.sum().item())
