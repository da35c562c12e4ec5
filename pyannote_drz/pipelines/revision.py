"""Second thoughts: turns that sound more like somebody else than like whom they were given to.

Turns are written from the first to the last, and a speaker is chosen by what was heard before. Once
everything is written, the first turns can be judged by the last ones; once voices of chunks are
linked, a turn can be judged by the whole file. Nobody is added, and nobody gets a turn while they
are speaking anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .linking import unit
from .stitching import Turn

# Cosine by which somebody else must be nearer than the rest of one's own turns. Of 0, 0.03, 0.05
# and 0.1, 0.03 is best on SimDev meetings and on simulated ones (recipes/synthetic/RUNS.md).
STAY = 0.03
SHORTEST_S = 0.5  # of a turn that is judged: shorter ones tell little, and few seconds are won
ROUNDS = 5  # those who lost turns sound otherwise; usually nothing moves after two or three


def revise(
    chunks: Sequence[Sequence[Turn]],
    vectors: Sequence[np.ndarray],
    seeds: np.ndarray | None = None,
) -> list[list[Turn]]:
    """Give turns to whom they sound like.

    Parameters
    ----------
    chunks : sequence of sequence of Turn
        What was written of each chunk; speakers are the same people in all of them.
    vectors : sequence of (turns, voice_dim) array
        Summed voice vectors of the turns.
    seeds : (people, voice_dim) array, optional
        What was heard of all people elsewhere, 0 where nothing was.

    Returns
    -------
    chunks : list of list of Turn
        The same turns, some of them with another speaker.
    """
    turns = [turn for of_chunk in chunks for turn in of_chunk]
    if not turns:
        return [list(of_chunk) for of_chunk in chunks]
    where = np.repeat(np.arange(len(chunks)), [len(of_chunk) for of_chunk in chunks])  # (turns,)
    start, end = (np.array([getattr(turn, edge) for turn in turns]) for edge in ("start", "end"))
    speaker = np.array([turn.speaker for turn in turns])
    voices = np.concatenate(list(vectors)).astype(np.float64)  # (turns, voice_dim)
    directions = unit(voices)
    tells = (end - start >= SHORTEST_S) & voices.any(1)

    if seeds is None:
        seeds = np.zeros((int(speaker.max()) + 1, voices.shape[1]))
    rows = np.arange(len(turns))
    for _ in range(ROUNDS):
        totals = seeds.copy()
        np.add.at(totals, speaker, voices)
        rest = totals[speaker] - voices  # what else there is of one's own person
        judged = tells & (np.linalg.norm(rest, axis=1) > 1e-6)
        alike = directions @ unit(totals).T  # (turns, people)
        alike[:, ~totals.any(1)] = -np.inf  # who is nobody any more
        alike[rows, speaker] = (directions * unit(rest)).sum(1) + STAY
        nearest = alike.argmax(1)
        moves = False
        for row in np.flatnonzero(judged & (nearest != speaker)):
            there = (where == where[row]) & (speaker == nearest[row])
            if not (there & (start < end[row]) & (end > start[row])).any():
                speaker[row] = nearest[row]
                moves = True
        if not moves:
            break
    revised = iter(turn._replace(speaker=int(k)) for turn, k in zip(turns, speaker, strict=True))
    return [[next(revised) for _ in of_chunk] for of_chunk in chunks]
