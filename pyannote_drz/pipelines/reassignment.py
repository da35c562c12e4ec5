"""Reassignment: a turn that sounds like another speaker of the file is theirs.

The model names the speakers of a chunk by what it has heard there; once speakers of the whole file
are known, some turns turn out to be somebody else's. SimDev meetings 14.8 % to 13.5 % DER, and no
other development set changes by more than 0.1 (recipes/synthetic/RUNS.md).
"""

from __future__ import annotations

import numpy as np

from ..models.encoders.campplus import EMBEDDING_DIM
from .chunks import ChunkResult
from .embeddings import unit

MARGIN = 0.1  # of cosines: 0 loses 2.5 points on the sample recording, 0.2 gains 0.2 less
LEAST_S = 0.5  # s heard alone, under which an embedding says too little about a turn
KNOWN_S = 2.0  # s that are heard of somebody else who a turn may be given to
# Of a turn; who speaks over it for that long is not who speaks in it.
MOST_OVERLAP = 0.2


def reassign(of_chunks: list[ChunkResult], labels: list[list[int]]) -> list[list[int]]:
    """Global speaker of each turn of each chunk, judged turn by turn.

    Parameters
    ----------
    of_chunks : list of ChunkResult
    labels : list of list of int
        Global speakers of the turns, as clustered.

    Returns
    -------
    labels : list of list of int
        A turn is given away where its embedding is closer to that of somebody else than to all
        else that its speaker has said, by `MARGIN`.
    """
    num_speakers = max((max(some) for some in labels if some), default=-1) + 1
    sums = np.zeros((num_speakers, EMBEDDING_DIM + 1))
    for (_, embeddings), some in zip(of_chunks, labels, strict=True):
        np.add.at(sums, np.array(some, dtype=int), embeddings)
    units = unit(sums[:, :-1])
    again = []
    for (turns, embeddings), some in zip(of_chunks, labels, strict=True):
        new = list(some)
        for row in np.flatnonzero(embeddings[:, -1] >= LEAST_S) if len(turns) else ():
            turn, own = turns[row], some[row]
            rest = sums[own] - embeddings[row]
            if rest[-1] < KNOWN_S:  # too little to tell that the turn is unlike it
                continue
            cosines = units @ unit(embeddings[row, :-1])
            cosines[own] = unit(rest[:-1]) @ unit(embeddings[row, :-1])
            cosines[sums[:, -1] < KNOWN_S] = -1.0
            for other, speaker in zip(turns, some, strict=True):
                overlap = min(other.end, turn.end) - max(other.start, turn.start)
                if speaker != own and overlap > MOST_OVERLAP * (turn.end - turn.start):
                    cosines[speaker] = -1.0
            if cosines.max() > cosines[own] + MARGIN:
                new[row] = int(cosines.argmax())
        again.append(new)
    return again
