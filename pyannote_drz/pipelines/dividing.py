"""Dividing: more people out of those that were told apart, where there must be more."""

from __future__ import annotations

import numpy as np

from .linking import unit
from .offline import People
from .prompts import Person


def divide(people: People, wanted: int) -> People:
    """Split the least certain people until there are `wanted` speakers, or nobody can be split.

    The least certain person is the one whose turns fall into the two most different halves.
    """
    turns, known, vectors = list(people.turns), list(people.known), people.vectors
    while len({turn.speaker for turn in turns}) < wanted:
        best = None  # (cosine, rows that leave)
        for number in sorted({turn.speaker for turn in turns}):
            rows = [i for i, turn in enumerate(turns) if turn.speaker == number]
            halves = _halves(vectors[rows])
            if halves is not None and (best is None or halves[0] < best[0]):
                best = (
                    halves[0],
                    [row for row, leaves in zip(rows, halves[1], strict=True) if leaves],
                )
        if best is None:
            break
        old = turns[best[1][0]].speaker
        newcomer = Person(len(known), vector=vectors[best[1]].sum(0))
        newcomer.speech = sum(turns[row].end - turns[row].start for row in best[1])
        known[old].speech -= newcomer.speech
        if known[old].vector is not None:
            rest = [i for i, t in enumerate(turns) if t.speaker == old and i not in set(best[1])]
            known[old].vector = vectors[rest].sum(0)
        known.append(newcomer)
        for row in best[1]:
            turns[row] = turns[row]._replace(speaker=newcomer.number)
            for sample in list(known[old].samples):
                if turns[row].start <= sample.start < turns[row].end:
                    known[old].samples.remove(sample)
                    newcomer.samples.append(sample)
    return People(turns, known, vectors)


def _halves(vectors: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Split (turns, voice_dim) vectors in two: cosine of the halves, and who is in the second."""
    if len(vectors) < 2:
        return None
    directions = unit(vectors)
    centred = directions - directions.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]  # where they differ most
    side = centred @ axis
    second = side > np.median(side)
    if not second.any():  # all alike: the last one leaves
        second[-1] = True
    for _ in range(10):
        first_sum, second_sum = vectors[~second].sum(0), vectors[second].sum(0)
        norms = [max(float(np.linalg.norm(v)), 1e-9) for v in (first_sum, second_sum)]
        closer = directions @ second_sum / norms[1] > directions @ first_sum / norms[0]
        if (closer == second).all() or closer.all() or not closer.any():
            break
        second = closer
    cosine = float(vectors[~second].sum(0) @ vectors[second].sum(0))
    scale = np.linalg.norm(vectors[~second].sum(0)) * np.linalg.norm(vectors[second].sum(0))
    return cosine / max(float(scale), 1e-9), second
