"""Tracking: who the local speakers of each chunk of a stream are, told from the past alone.

Local speakers of prompts are known. All others, and everybody known whom no prompt has named, are
paired as fits best: by their voices, and by what both said in the same seconds of the context that
the chunk before has heard, too. Whoever fits nobody is

1. somebody known all the same, if nearly as much alike as the chunk's own speakers may be: the
   model has written one voice twice (`clustering.APART`);
2. otherwise a newcomer, while there may be more speakers, if enough is heard of them;
3. otherwise whoever is most alike.

Two speakers who turn out to be one as more is heard of them are one from then on; what was told
before stays. Streams of three SimDev meetings in steps of 2 s: 34.8 % DER before, 18.4 by these
rules (20.7 if nobody turned out to be somebody else; 27.2 with 0.25 for `APART`).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..prompting import SHORTEST_PROMPT
from .clustering import APART, unit
from .prompts import Speaker
from .stitching import Turn

# Of a cosine: how much it says that all that a local speaker says in the context was somebody's.
CONTEXT_WEIGHT = 0.3
# s heard alone in a chunk, under which nobody is a newcomer if anybody is known.
NEWCOMER_S = 1.5
# Of a cosine: the seconds of a chunk are less like their speaker than minutes of a file are, so the
# threshold of clustering is too high by that. Streams of three SimDev meetings: 22.2 % DER with 0,
# 18.4 like this; RealDev and AMI excerpts the same.
LESS_ALIKE = 0.05
# s heard of two speakers, under which they are not taken for one.
ALIKE_S = 4.0


class Tracker:
    """Everybody heard in a stream so far, in the order of their arrival.

    Parameters
    ----------
    max_speakers : int or inf
        Never exceeded.
    threshold : float, optional
        Least cosine of two embeddings of one speaker.
    """

    def __init__(self, max_speakers: float, threshold: float = 1.0):
        self.max_speakers = max_speakers
        self.threshold = threshold
        self.speakers: list[Speaker] = []
        self.same_as: dict[int, int] = {}  # number -> earlier number of the same speaker

    @property
    def current(self) -> list[Speaker]:
        """Those who are nobody else."""
        return [speaker for speaker in self.speakers if speaker.number not in self.same_as]

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
            See `chunks.embed`.
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
        self._merge()
        told = [turn for turn in sorted(turns) if turn.end > first and turn.start < last]
        arrivals = dict.fromkeys(turn.speaker for turn in told)  # in order, once each
        named = {who[t.speaker].number for t in turns if t.speaker < len(prompted)}
        known = [speaker for speaker in self.current if speaker.number not in named]
        unnamed = sorted({turn.speaker for turn in turns if turn.speaker >= len(prompted)})
        rows = {local: [i for i, t in enumerate(turns) if t.speaker == local] for local in unnamed}
        sums = {local: embeddings[some].sum(0) for local, some in rows.items()}  # (193,)

        fits = np.zeros((len(unnamed), len(known)))
        for i, local in enumerate(unnamed):
            spoken = [turns[row] for row in rows[local]]
            shared = self._shared(spoken, known, before, start, first)
            fits[i] = _cosines(sums[local], known) + CONTEXT_WEIGHT * shared
        for i, j in zip(*linear_sum_assignment(-fits), strict=True):
            if fits[i, j] >= self.threshold:
                who[unnamed[i]] = known[j]

        for local in arrivals:
            if local in who:
                continue
            cosines = _cosines(sums[local], self.current)
            seconds = sum(turns[row].end - turns[row].start for row in rows[local])
            well_heard = sums[local][-1] >= NEWCOMER_S and seconds >= SHORTEST_PROMPT
            alike = cosines.max(initial=-1.0) >= self.threshold + APART
            if not self.full and not alike and (well_heard or not self.current):
                who[local] = Speaker(len(self.speakers))
                self.speakers.append(who[local])
            elif self.current:
                taken = {speaker.number for speaker in who.values()}
                likely = list(zip(cosines.tolist(), self.current, strict=True))
                others = [one for one in likely if one[1].number not in taken]
                best = max(likely if alike else others or likely, key=_most_alike)
                who[local] = best[1]
        return {k: one for k, one in who.items() if k < len(prompted) or k in arrivals}

    def _shared(
        self,
        turns: list[Turn],
        known: list[Speaker],
        before: list[Turn],
        start: float,
        first: float,
    ) -> np.ndarray:
        """Shares of what a local speaker says in the context that were each known speaker's."""
        context = [(max(t.start, start), min(t.end, first)) for t in turns if t.start < first]
        heard = sum(end - begin for begin, end in context)
        shared = dict.fromkeys((speaker.number for speaker in known), 0.0)
        for turn in before:
            number = self._number(turn.speaker)
            if number in shared:
                shared[number] += sum(
                    max(0.0, min(end, turn.end) - max(begin, turn.start)) for begin, end in context
                )
        return np.array(list(shared.values())) / max(heard, 1e-6)

    def _number(self, number: int) -> int:
        while number in self.same_as:
            number = self.same_as[number]
        return number

    def _merge(self) -> None:
        """Whoever has turned out to be somebody who came before is them from now on."""
        heard = [s for s in self.current if s.embedding[-1] >= ALIKE_S]
        for j, later in enumerate(heard):
            cosines = _cosines(later.embedding, heard[:j])
            if cosines.max(initial=-1.0) >= self.threshold + APART:
                earlier = heard[int(cosines.argmax())]
                earlier = self.speakers[self._number(earlier.number)]
                earlier.embedding = earlier.embedding + later.embedding
                self.same_as[later.number] = earlier.number


def _most_alike(one: tuple[float, Speaker]) -> tuple[float, float]:
    """Order of (cosine, speaker); of those who are equally alike, who was heard last."""
    return one[0], one[1].last_heard


def _cosines(embedding: np.ndarray, speakers: list[Speaker]) -> np.ndarray:
    """Of one summed embedding and those of speakers, (speakers,)."""
    if not speakers:
        return np.zeros(0)
    return unit(np.stack([speaker.embedding[:-1] for speaker in speakers])) @ unit(embedding[:-1])
