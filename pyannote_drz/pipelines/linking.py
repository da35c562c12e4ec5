"""Linking: which voices of different chunks are one person.

Constrained agglomerative clustering of the model's own voice vectors. Two voices of one chunk are
never one person, nor are two enrolled people. Then every chunk chooses anew, all its voices at
once.

    voices > merge the two most alike, until nobody is alike enough > who spoke long enough > choose
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

# Voices clustered at once: memory and time do not grow with the square of a file's length.
BLOCK = 1000
# Rounds of choosing anew; people hardly change after the second.
ROUNDS = 5


class ChunkVoice(NamedTuple):
    """One voice of one chunk.

    chunk : int
    vector : (voice_dim,) array
        Summed unit vectors: long and pure voices weigh more.
    seconds : float
        Speech of that voice.
    """

    chunk: int
    vector: np.ndarray
    seconds: float


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(rows of a, rows of b); 0 where a vector is 0."""
    return unit(a) @ unit(b).T


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, or 0, along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def agglomerate(
    vectors: np.ndarray, apart: np.ndarray, threshold: float, fewest: int
) -> np.ndarray:
    """Merge the two most alike, again and again.

    Parameters
    ----------
    vectors : (items, dim) array
        Those of merged items add up.
    apart : (items, items) bool array
        Never merged, nor anything merged with them.
    threshold : float
        Nothing less alike is merged.
    fewest : int
        Groups that are left, at least.

    Returns
    -------
    groups : (items,) array of int
        Numbered from 0.
    """
    vectors, apart = vectors.copy(), apart.copy()
    num_items = len(vectors)
    groups = np.arange(num_items)
    np.fill_diagonal(apart, True)
    alike = np.where(apart, -np.inf, cosines(vectors, vectors))
    for _ in range(num_items - fewest):
        a, b = divmod(int(alike.argmax()), num_items)
        if not alike[a, b] >= threshold:
            break
        groups[groups == b] = a
        vectors[a] += vectors[b]
        apart[a] |= apart[b]
        apart[:, a] = apart[a]
        apart[b] = apart[:, b] = True
        row = np.where(apart[a], -np.inf, cosines(vectors[a : a + 1], vectors)[0])
        alike[a] = alike[:, a] = row
        alike[b] = alike[:, b] = -np.inf
    return np.unique(groups, return_inverse=True)[1]


def link(
    voices: list[ChunkVoice],
    threshold: float,
    min_people: int = 1,
    max_people: float = np.inf,
    shortest: float = 0.0,
    known: Iterable[np.ndarray] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which voices are the same person.

    Parameters
    ----------
    voices : list of ChunkVoice
        Sorted by chunk.
    threshold : float
        Voices whose cosine is lower are two people, unless there may not be that many.
    min_people : int, optional
        As many people are told apart, as long as there are voices for it.
    max_people : int or inf, optional
        Never exceeded: where a chunk has more voices, its shortest ones are whoever they resemble.
    shortest : float, optional
        In seconds. Who speaks less in the whole file is taken for somebody who speaks more, unless
        `min_people` asks for them.
    known : iterable of (voice_dim,) array, optional
        Voices of people who are known beforehand, the first people.

    Returns
    -------
    people : (voices,) array of int
        Person of each voice. Known people are 0 to len(known) - 1, whether they speak or not; not
        all numbers need to occur.
    vectors : (people, voice_dim) array
        Summed voice vectors of each person.
    """
    known = list(known)
    if not voices:
        return np.zeros(0, dtype=int), np.stack(known) if known else np.zeros((0, 0))
    vectors = np.stack([voice.vector for voice in voices]).astype(np.float64)
    seconds = np.array([voice.seconds for voice in voices])
    chunks = np.array([voice.chunk for voice in voices])
    people = _group(vectors, chunks, threshold, min_people, known)
    people = _reduce(people, vectors, seconds, chunks, known, shortest, max_people)

    # Who stays: known people who were heard, then whoever speaks most.
    spoken = np.bincount(people, weights=seconds, minlength=len(known))
    heard = np.bincount(people, minlength=len(known)) > 0
    is_known = np.arange(len(spoken)) < len(known)
    ranked = sorted(np.flatnonzero(heard), key=lambda p: (not is_known[p], -spoken[p]))
    enough = [p for p in ranked if is_known[p] or spoken[p] >= shortest]
    kept = np.array(ranked[: int(min(max(len(enough), min_people, 1), max_people))])

    seeds = np.zeros((len(spoken), vectors.shape[1]))
    for i, vector in enumerate(known):
        seeds[i] = vector
    for _ in range(ROUNDS):
        totals = seeds.copy()
        np.add.at(totals, people, vectors)
        chosen = _choose(vectors, seconds, chunks, totals, kept, people, threshold)
        enough = min(min_people, len(kept))
        if (chosen == people).all() or len(np.unique(chosen)) < enough:
            break
        people = chosen
    totals = seeds.copy()
    np.add.at(totals, people, vectors)
    return people, totals


def _group(vectors, chunks, threshold, min_people, known) -> np.ndarray:
    """Agglomerate block after block; what was merged before is one item of the next block."""
    people = np.full(len(vectors), -1)
    groups = [np.asarray(vector, dtype=np.float64) for vector in known]  # summed vectors
    members: list[set[int]] = [set() for _ in known]  # chunks of each group
    first = 0
    while first < len(vectors):
        stop = min(first + BLOCK, len(vectors))
        while stop < len(vectors) and chunks[stop] == chunks[stop - 1]:
            stop += 1  # voices of a chunk stay together
        items = np.stack([*groups, *vectors[first:stop]])
        where = members + [{int(chunk)} for chunk in chunks[first:stop]]
        num_groups, num_items = len(groups), len(items)
        at = {chunk: i for i, chunk in enumerate(sorted(set().union(*where)))}
        present = np.zeros((num_items, len(at)), dtype=np.float32)
        for row, inside in enumerate(where):
            present[row, [at[chunk] for chunk in inside]] = 1
        apart = present @ present.T > 0
        apart[: len(known), : len(known)] = True
        fewest = min_people if stop == len(vectors) else min(2 * min_people, num_items)
        merged = agglomerate(items, apart, threshold, fewest)
        # Known people keep their numbers.
        order = list(dict.fromkeys(merged.tolist()))
        number = {group: i for i, group in enumerate(order)}
        merged = np.array([number[group] for group in merged.tolist()])
        people[:first] = merged[people[:first]]
        people[first:stop] = merged[num_groups:]
        groups = [items[merged == group].sum(0) for group in range(len(order))]
        members = [
            set().union(*(where[i] for i in np.flatnonzero(merged == group)))
            for group in range(len(order))
        ]
        first = stop
    return people


def _reduce(people, vectors, seconds, chunks, known, shortest, max_people) -> np.ndarray:
    """Merge on, whatever the threshold, while too many people have spoken long enough."""
    people = people.copy()
    while True:
        spoken = np.bincount(people, weights=seconds, minlength=len(known))
        is_known = np.arange(len(spoken)) < len(known)
        enough = np.flatnonzero((spoken > 0) & (is_known | (spoken >= shortest)))
        if len(enough) <= max_people:
            return people
        totals = np.stack([vectors[people == person].sum(0) for person in enough])
        at = np.unique(chunks, return_inverse=True)[1]
        present = np.zeros((len(enough), at.max() + 1), dtype=np.float32)
        for row, person in enumerate(enough):
            present[row, at[people == person]] = 1
        apart = (present @ present.T > 0) | (is_known[enough][:, None] & is_known[enough])
        alike = np.where(apart, -np.inf, cosines(totals, totals))
        a, b = sorted(divmod(int(alike.argmax()), len(enough)))
        if not np.isfinite(alike[a, b]):
            return people  # those who speak most stay
        people[people == enough[b]] = enough[a]


def _choose(vectors, seconds, chunks, totals, kept, people, threshold) -> np.ndarray:
    """Every chunk assigns its voices to different people, as alike as possible in all."""
    chosen = people.copy()
    edges = np.flatnonzero(np.diff(chunks)) + 1
    for rows in np.split(np.arange(len(chunks)), edges):
        rows = rows[np.argsort(-seconds[rows], kind="stable")]
        alike = cosines(vectors[rows], totals[kept])  # (voices, people)
        mine = kept == people[rows][:, None]
        # Nobody is compared with themselves: it would keep them where they are.
        for row, k in zip(*np.nonzero(mine), strict=True):
            rest = totals[kept[k]] - vectors[rows[row]]
            alike[row, k] = cosines(vectors[rows[row]][None], rest[None])[0, 0]
            if np.linalg.norm(rest) < 1e-6:  # nobody else is that person
                alike[row, k] = threshold
            alike[row, k] += 1e-6  # a tie changes nothing
        chosen[rows] = kept[alike.argmax(1)]  # holds for those who are too many
        for row, person in zip(*linear_sum_assignment(-alike[: len(kept)]), strict=True):
            chosen[rows[row]] = kept[person]
    return chosen
