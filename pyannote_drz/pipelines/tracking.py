"""Tracking: who the local speakers of each chunk of a stream are, told from the past alone.

At each step, local speakers of the chunk are clustered anew with those of the chunks before, as in
a file (clustering.py), and a cluster is whose label was told most of it:

    chunks before   |== 0: A A ==|== 1: A B ==|        told A A, A B
    this chunk                            |=== 0, 1 ===|     0 is like A's, 1 like B's

What was told stays; but who was taken for somebody else has a label of their own, and who had two
labels has one, as soon as more is heard of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .agglomerative import agglomerate
from .clustering import cluster, within_chunks
from .embeddings import unit
from .prompts import Speaker
from .stitching import Turn

# s heard alone in a chunk, under which nobody is a newcomer if anybody is known. On 21 simulated
# meetings, steps of 10 s: 1, 1.5, 2 s 21.4, 21.4, 21.5 % DER, 38, 48, 71 % counted right.
NEWCOMER_S = 2.0
# The same, for whose cosine with everybody is lower: 0 to 0.1 points less on all that was tried.
STRANGER_S, STRANGER = 1.0, 0.2
# Local speakers of the past from which on their clusters stand for them at each step: clustering
# all of them once a chunk is enough. Until then the threshold decides alone, as labels that were
# told stay: with the graph, too, SimDev meetings in steps of 10 s 15.0 instead of 14.5 % DER, 67
# instead of 50 % counted right; six of 2 to 12 speakers 28.4 instead of 27.9, 83 instead of 67.
MANY = 120
# Those that are clustered one by one: 40 minutes of talk. Of what was heard before, each cluster is
# one.
MOST_REMEMBERED = 400
LONG_AGO = -1  # chunk of those who were clustered before


class Heard(NamedTuple):
    """A local speaker of a chunk before.

    chunk : int
    embedding : (193,) array, summed as by `embeddings.embed`
    told : dict, number of a speaker -> seconds that were told as theirs
    """

    chunk: int
    embedding: np.ndarray
    told: dict[int, float]


class Tracker:
    """Everybody heard in a stream so far, in the order of their arrival.

    Parameters
    ----------
    max_speakers : int or inf
        Never exceeded.
    threshold : float
        See `cluster`.
    """

    def __init__(self, max_speakers: float, threshold: float):
        self.max_speakers = max_speakers
        self.threshold = threshold
        self.speakers: list[Speaker] = []
        self._heard: list[Heard] = []  # of chunks that follow each other
        self._past: list[Heard] = []  # the same, clustered
        self._until = 0.0  # s, up to where chunks are remembered
        self._num_chunks = 0

    @property
    def full(self) -> bool:
        """Whether nobody else may come."""
        return len(self.speakers) >= self.max_speakers

    def recognize(
        self,
        turns: list[Turn],
        embeddings: np.ndarray,
        prompted: list[Speaker],
        before: list[Turn],
        span: tuple[float, float, float],
    ) -> dict[int, Speaker]:
        """Tell who is who in a chunk.

        Parameters
        ----------
        turns : list of Turn
            Of the chunk; of local speakers, counted from 0.
        embeddings : (turns, 193) array
            See `embeddings.embed`.
        prompted : list of Speaker
            Who the first local speakers are.
        before : list of Turn
            Of the stream so far; speakers are numbers.
        span : (start, first, last)
            In seconds: the chunk starts at `start`, and `first` to `last` of it are told. At most
            as many local speakers may be written as there may be speakers.

        Returns
        -------
        who : dict
            Local speaker -> Speaker, for prompted ones and for those with a turn that is told.
        """
        start, first, last = span
        who = dict(enumerate(prompted))
        local = sorted({turn.speaker for turn in turns})
        if not local:
            return who
        heard = {}
        for k in local:
            embedding = embeddings[[turn.speaker == k for turn in turns]].sum(0)
            told = _shared([turn for turn in turns if turn.speaker == k], before, first)
            if k in who:
                told[who[k].number] = last - start  # for certain
            heard[k] = Heard(self._num_chunks, embedding, told)
        of_cluster, clusters = self._clusters(list(heard.values()))
        cluster_of = dict(zip(local, clusters, strict=True))
        in_order = sorted(turn for turn in turns if turn.end > first and turn.start < last)
        for k in dict.fromkeys(turn.speaker for turn in in_order):
            if k in who:
                continue
            if cluster_of[k] not in of_cluster:
                of_cluster[cluster_of[k]] = self._newcomer(heard[k].embedding, who)
            who[k] = self.speakers[of_cluster[cluster_of[k]]]
        for turn in in_order:
            new = min(turn.end, last) - max(turn.start, first)
            told, number = heard[turn.speaker].told, who[turn.speaker].number
            told[number] = told.get(number, 0.0) + new
        if start >= self._until:
            self._remember(list(heard.values()))
            self._until = last
        return who

    def _clusters(self, now: list[Heard]) -> tuple[dict[int, int], list[int]]:
        """Cluster -> number of its speaker, where it has one; and clusters of who is heard now."""
        # The model may have written one voice twice.
        embeddings = np.stack([one.embedding for one in now])
        same = within_chunks(embeddings, np.zeros(len(now), dtype=int))
        same = np.unique(same, return_inverse=True)[1]
        heard = [*self._past, *_summed(now, same, now[0].chunk)]
        labels = self._clustered(heard, agglomerate)
        told = np.zeros((labels.max() + 1, len(self.speakers)))  # s
        for one, label in zip(heard, labels.tolist(), strict=True):
            for number, seconds in one.told.items():
                told[label, number] += seconds
        pairs = zip(*linear_sum_assignment(-told), strict=True)
        of_cluster = {int(a): int(b) for a, b in pairs if told[a, b] > 0}
        return of_cluster, labels[len(self._past) :][same].tolist()

    def _clustered(self, heard: list[Heard], clustering: Callable) -> np.ndarray:
        embeddings = np.stack([one.embedding for one in heard])
        chunks = np.array([one.chunk for one in heard])
        return clustering(embeddings, chunks, self.threshold, 1, self.max_speakers)

    def _newcomer(self, embedding: np.ndarray, who: dict[int, Speaker]) -> int:
        """Number of somebody who is like nobody before, or has to be somebody all the same."""
        known = np.stack([speaker.embedding for speaker in self.speakers] or [embedding])
        alike = unit(known[:, :-1]) @ unit(embedding[:-1])
        enough = STRANGER_S if alike.max() < STRANGER else NEWCOMER_S
        if not self.speakers or (not self.full and embedding[-1] >= enough):
            self.speakers.append(Speaker(len(self.speakers)))
            return len(self.speakers) - 1
        here = [speaker.number for speaker in who.values()]
        if len(set(here)) < len(alike):
            alike[here] = -np.inf
        last_heard = [speaker.last_heard for speaker in self.speakers]
        return max(range(len(alike)), key=lambda k: (alike[k], last_heard[k]))

    def _remember(self, now: list[Heard]) -> None:
        """Keep this chunk's local speakers; many are clustered once for many steps."""
        self._num_chunks += 1
        self._heard += now
        if len(self._heard) < MANY:
            self._past = self._heard
            return
        labels = self._clustered(self._heard, cluster)
        self._past = _summed(self._heard, labels, LONG_AGO)
        if len(self._heard) > MOST_REMEMBERED:
            old = len(self._heard) - MOST_REMEMBERED // 2
            summed = _summed(self._heard[:old], labels[:old], LONG_AGO)
            self._heard = [*summed, *self._heard[old:]]


def _summed(heard: list[Heard], labels: np.ndarray, chunk: int) -> list[Heard]:
    """One for each cluster, as if of that chunk."""
    summed = []
    for label in np.unique(labels):
        some = [one for one, its in zip(heard, labels, strict=True) if its == label]
        told: dict[int, float] = {}
        for one in some:
            for number, seconds in one.told.items():
                told[number] = told.get(number, 0.0) + seconds
        summed.append(Heard(chunk, sum(one.embedding for one in some), told))
    return summed


def _shared(turns: list[Turn], before: list[Turn], first: float) -> dict[int, float]:
    """Seconds before `first` of a local speaker's turns that were told as each speaker's."""
    shared: dict[int, float] = {}
    for turn in turns:
        for other in before:
            both = min(turn.end, other.end, first) - max(turn.start, other.start)
            if both > 0:
                shared[other.speaker] = shared.get(other.speaker, 0.0) + both
    return shared
