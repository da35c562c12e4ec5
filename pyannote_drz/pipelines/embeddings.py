"""Speaker embeddings, summed over seconds: compared by their cosine."""

from __future__ import annotations

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, or 0, along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def centred(embeddings: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Summed embeddings, (…, 193), without what all `of` share: (…, 192)."""
    shared = of.sum(0) / max(of[:, -1].sum(), 1e-9)  # of a second
    return embeddings[:, :-1] - embeddings[:, -1:] * shared[:-1]
