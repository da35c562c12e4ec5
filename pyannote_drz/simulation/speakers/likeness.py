"""Likeness: which voices of a bank sound alike, and which may be one person, by embeddings."""

from typing import NamedTuple

import numpy as np

NUM_NEIGHBOURS = 40
STRANGER = 0.3  # cosine below which voices have nothing in common; two random ones have as much
SAME = 0.72  # cosine above which two labels may be one person: Common Voice holds such (issue 14)
BLOCK = 512  # voices compared with all others at once


class Likeness(NamedTuple):
    """Who sounds like whom."""

    neighbours: list[np.ndarray]  # per voice, those most like it that are surely somebody else
    doubles: list[np.ndarray]  # per voice, those that may be the same person


def find_likeness(embeddings: np.ndarray) -> Likeness:
    """Compare all voices of a bank, block by block.

    Parameters
    ----------
    embeddings : ndarray
        (voices, dimensions) float32 of any length.
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = (embeddings / np.maximum(norms, 1e-9)).astype(np.float32)
    count = min(NUM_NEIGHBOURS, len(unit))
    neighbours, doubles = [], []
    for first in range(0, len(unit), BLOCK):
        cosine = unit[first : first + BLOCK] @ unit.T  # (block, voices)
        rows = np.arange(len(cosine))
        cosine[rows, first + rows] = -1.0  # nobody is like himself
        same = cosine > SAME
        doubles += [np.flatnonzero(row).astype(np.int32) for row in same]
        cosine[same] = -1.0
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count].astype(np.int32)
        near = np.take_along_axis(cosine, nearest, axis=1) >= STRANGER
        neighbours += [np.sort(row[alike]) for row, alike in zip(nearest, near)]
    return Likeness(neighbours, doubles)
