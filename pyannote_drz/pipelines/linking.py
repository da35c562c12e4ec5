"""Linking: which voices of different chunks are one person.

    voices > merge the two most alike > … > merge the two people most alike > …  > one person
                                             every chunk chooses anew each time

Of all these ways to tell a file's voices apart, the one is taken in which voices resemble their
people most, after a fixed price for every person. Two voices of one chunk are two people, unless
there may not be that many; people who are known beforehand are voices of one more chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

# Voices clustered at once: memory and time do not grow with the square of a file's length.
BLOCK = 1000
# Voices this much alike are merged before anything else: it leaves more people than there are, and
# makes few mistakes (recipes/synthetic/RUNS.md has the figures of all constants here).
SURE = 0.85
MOST = 30  # people who choose anew; above, the two most alike are merged, and that is all
ROUNDS = 10  # of choosing anew; usually nothing changes after three
# What a person must be worth: share of all speech times mean gain in cosine. Of 0.005, 0.0075,
# 0.01 and 0.015, this is best from two chunks of speech to an hour.
PRICE = 0.0075
DOUBLE = -1.0  # cosine that counts where two voices of a chunk are the same person all the same
KNOWN_S = 30.0  # s; as much as a chunk is what is known of a person beforehand


class ChunkVoice(NamedTuple):
    """One voice of one chunk.

    chunk : int
    vector : (voice_dim,) array
        Summed voice vectors.
    seconds : float
        Speech of that voice.
    """

    chunk: int
    vector: np.ndarray
    seconds: float


class Voices(NamedTuple):
    """Voices of a file; those of people known beforehand come first, as chunk -1.

    unit : (voices, voice_dim) array of unit vectors
    seconds : (voices,) array
    chunk : (voices,) array
    num_known : int
    """

    unit: np.ndarray
    seconds: np.ndarray
    chunk: np.ndarray
    num_known: int

    def totals(self, people: np.ndarray) -> np.ndarray:
        """(people, voice_dim), summed vectors of people."""
        totals = np.zeros((people.max() + 1, self.unit.shape[1]))
        np.add.at(totals, people, self.unit * self.seconds[:, None])
        return totals

    def alike(self, people: np.ndarray, alone: float) -> np.ndarray:
        """(voices, people), cosines; with one's own person, those of their other chunks."""
        totals = self.totals(people)
        alike = self.unit @ unit(totals).T
        pairs = np.stack([self.chunk, people], 1)
        pair = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        rest = totals[people] - self.totals(pair)[pair]
        own = (self.unit * unit(rest)).sum(1)
        own[np.linalg.norm(rest, axis=1) < 1e-6] = alone
        alike[np.arange(len(people)), people] = own
        return alike


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(rows of a, rows of b); 0 where a vector is 0."""
    return unit(a) @ unit(b).T


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, or 0, along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def link(
    voices: list[ChunkVoice],
    threshold: float,
    min_people: int = 1,
    max_people: float = np.inf,
    known: Iterable[np.ndarray] = (),
) -> np.ndarray:
    """Tell which voices are the same person.

    Parameters
    ----------
    voices : list of ChunkVoice
        Sorted by chunk.
    threshold : float
        A voice whose cosine with everybody is lower is rather somebody else. What a person who is
        heard once counts for; others count by the cosines of their voices.
    min_people : int, optional
        As many people are told apart, as long as there are voices for it.
    max_people : int or inf, optional
        Never exceeded: where a chunk has more voices, its shortest ones are whoever they resemble.
    known : iterable of (voice_dim,) array, optional
        Voices of people who are known beforehand, the first people.

    Returns
    -------
    people : (voices,) array of int
        Person of each voice. Known people are 0 to len(known) - 1, whether they speak or not; not
        all numbers need to occur.
    """
    known = list(known)
    if not voices:
        return np.zeros(0, dtype=int)
    vectors = np.stack([*known, *(voice.vector for voice in voices)]).astype(np.float64)
    seconds = np.array([*[KNOWN_S] * len(known), *(voice.seconds for voice in voices)])
    chunks = np.array([*[-1] * len(known), *(voice.chunk for voice in voices)])
    of_file = Voices(unit(vectors), seconds, chunks, len(known))

    best, best_worth = None, (-np.inf, -np.inf)
    for people in _ways(of_file, threshold, min_people):
        present = len(np.unique(people[len(known) :]))
        worth = _worth(of_file, people, threshold)
        # First of all as many as there must and may be, or as close to it as can be.
        wrong = max(min_people - present, 0) + max(present - max_people, 0)
        if (-wrong, worth) > best_worth:
            best, best_worth = people, (-wrong, worth)
    return _limit(of_file, best, max_people)[len(known) :]


def _ways(voices: Voices, threshold: float, min_people: int) -> Iterable[np.ndarray]:
    """Ways to tell voices apart, (voices,) arrays of people, from many people to few."""
    people = _group(voices, min_people)
    while True:
        num_people = people.max() + 1
        if num_people <= max(MOST, min_people):
            people = _choose(voices, people, threshold, min_people)
            yield people
            num_people = people.max() + 1
        if num_people <= max(voices.num_known, 1):
            return
        totals = unit(voices.totals(people))
        alike = totals @ totals.T
        alike[: voices.num_known, : voices.num_known] = -np.inf  # two names are two people
        alike[np.tril_indices(num_people)] = -np.inf
        stays, leaves = divmod(int(alike.argmax()), num_people)
        people = np.where(people == leaves, stays, people)
        people -= people > leaves


def _group(voices: Voices, min_people: int) -> np.ndarray:
    """Merge what is alike for sure, block after block; known people keep their numbers."""
    vectors, chunks = voices.unit * voices.seconds[:, None], voices.chunk
    people = np.full(len(vectors), -1)
    groups: list[np.ndarray] = []  # summed vectors
    members: list[set[int]] = []  # chunks of each group
    first = 0
    while first < len(vectors):
        stop = min(first + BLOCK, len(vectors))
        while stop < len(vectors) and chunks[stop] == chunks[stop - 1]:
            stop += 1  # voices of a chunk stay together
        items = np.stack([*groups, *vectors[first:stop]])
        where = members + [{int(chunk)} for chunk in chunks[first:stop]]
        num_groups = len(groups)
        at = {chunk: i for i, chunk in enumerate(sorted(set().union(*where)))}
        present = np.zeros((len(items), len(at)), dtype=np.float32)
        for row, inside in enumerate(where):
            present[row, [at[chunk] for chunk in inside]] = 1
        fewest = min_people if stop == len(vectors) else min(2 * min_people, len(items))
        merged = agglomerate(items, present @ present.T > 0, SURE, fewest)
        order = list(dict.fromkeys(merged.tolist()))  # known people come first, and stay first
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


def agglomerate(
    vectors: np.ndarray, apart: np.ndarray, threshold: float, fewest: int
) -> np.ndarray:
    """Merge the two most alike, again and again.

    Parameters
    ----------
    vectors : (items, dim) array
        Those of merged items add up.
    apart : (items, items) bool array
        Who is never merged, nor are those they were merged with.
    threshold : float
        Cosine below which nobody is merged.
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


def _choose(voices: Voices, people: np.ndarray, threshold: float, min_people: int) -> np.ndarray:
    """Every chunk assigns its voices to different people, as alike as possible in all.

    Who is chosen by nobody disappears, unless they are known or there must be that many people.
    """
    num_known, num_people = voices.num_known, people.max() + 1
    chunk_of = np.unique(voices.chunk, return_inverse=True)[1]  # from 0
    needed = min(min_people, len(np.unique(people[num_known:])))
    for _ in range(ROUNDS):
        alike = voices.alike(people, threshold)
        chosen = alike.argmax(1)
        chosen[:num_known] = people[:num_known]
        # Where two voices of a chunk choose the same person, all its voices choose together.
        _, choice, count = np.unique(
            chunk_of * num_people + chosen, return_inverse=True, return_counts=True
        )
        for chunk in np.unique(chunk_of[count[choice] > 1]):
            rows = np.flatnonzero(chunk_of == chunk)
            gain = alike[rows] * voices.seconds[rows, None]
            row, person = linear_sum_assignment(-gain)  # who is too many has chosen already
            chosen[rows[row]] = person
        if (chosen == people).all() or len(np.unique(chosen[num_known:])) < needed:
            break
        people = chosen
    left = np.union1d(np.arange(num_known), people)
    return np.searchsorted(left, people)


def _worth(voices: Voices, people: np.ndarray, threshold: float) -> float:
    """Mean cosine of speech with the rest of its person, less the price of people."""
    rows = np.arange(len(people))
    own = voices.alike(people, threshold)[rows, people]
    # Of voices of one chunk that are the same person, all but the longest are wrong.
    order = np.argsort(-voices.seconds, kind="stable")
    pairs = np.stack([voices.chunk[order], people[order]], 1)
    counts = np.zeros(len(people), dtype=bool)
    counts[order[np.unique(pairs, axis=0, return_index=True)[1]]] = True
    share = voices.seconds / voices.seconds.sum()
    return float((share * np.where(counts, own, DOUBLE)).sum()) - PRICE * (people.max() + 1)


def _limit(voices: Voices, people: np.ndarray, max_people: float) -> np.ndarray:
    """Leave only so many people: those who are known, then whoever speaks most."""
    num_known = voices.num_known
    speech = np.bincount(people[num_known:], voices.seconds[num_known:], people.max() + 1)
    ranked = sorted(np.flatnonzero(speech), key=lambda p: (p >= num_known, -speech[p]))
    if len(ranked) <= max_people:
        return people
    kept = np.array(ranked[: int(max_people)])
    alike = voices.alike(people, -1.0)[:, kept]
    people = people.copy()
    for chunk in np.unique(voices.chunk[num_known:]):
        rows = np.flatnonzero(voices.chunk == chunk)
        rows = rows[np.argsort(-voices.seconds[rows], kind="stable")]
        people[rows] = kept[alike[rows].argmax(1)]  # holds for those who are too many
        row, person = linear_sum_assignment(-alike[rows[: len(kept)]])
        people[rows[row]] = kept[person]
    return people
