"""Tracking: who the local speakers of each chunk of a stream are, told from the past alone.

Local speakers of prompts are known. A new one is

1. somebody known whom this chunk has not named otherwise, and who, according to the chunk before,
   was speaking in those same seconds of the context that both have heard. Local speakers who are
   silent now are told first, too: whoever they are is nobody else;
2. otherwise somebody known and not named otherwise, if their embeddings are alike enough;
3. otherwise a newcomer, while there may be more speakers, if enough is heard of them;
4. otherwise whoever is most alike among those whom this chunk has not named.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..prompting import SHORTEST_PROMPT
from .clustering import unit
from .prompts import Speaker
from .stitching import Turn


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
        told = [turn for turn in sorted(turns) if turn.end > first and turn.start < last]
        arrivals = dict.fromkeys(turn.speaker for turn in told)  # in order, once each
        new = [local for local in arrivals if local >= len(prompted)]
        named = {turn.speaker for turn in turns if turn.speaker < len(prompted)}
        taken = {who[local].number for local in named}
        silent = [speaker for speaker in self.speakers if speaker.number not in taken]

        unnamed = sorted({turn.speaker for turn in turns if turn.speaker >= len(prompted)})
        for local, speaker in _in_context(unnamed, silent, turns, before, start, first):
            silent.remove(speaker)
            if local in new:
                who[local] = speaker
                new.remove(local)

        rows = [[i for i, turn in enumerate(turns) if turn.speaker == local] for local in new]
        sums = np.array([embeddings[some, :-1].sum(0) for some in rows])
        alike = np.zeros((len(new), len(silent)))
        if new and silent:
            alike = unit(sums) @ unit(np.stack([s.embedding[:-1] for s in silent])).T
        for i, j in zip(*linear_sum_assignment(-alike), strict=True):
            if alike[i, j] >= self.threshold:
                who[new[i]] = silent[j]
        left = {speaker.number for speaker in who.values()}

        for i, local in enumerate(new):
            if local in who:
                continue
            seconds = sum(turns[row].end - turns[row].start for row in rows[i])
            others = [j for j, speaker in enumerate(silent) if speaker.number not in left]
            if not self.full and (seconds >= SHORTEST_PROMPT or not others):
                speaker = Speaker(len(self.speakers))
                self.speakers.append(speaker)
            elif others:
                best = max(others, key=lambda j: (alike[i, j], silent[j].last_heard))
                speaker = silent[best]
            else:
                continue  # nobody is left who could have said that
            who[local] = speaker
            left.add(speaker.number)
        return who


def _in_context(
    unnamed: list[int],
    silent: list[Speaker],
    turns: list[Turn],
    before: list[Turn],
    start: float,
    first: float,
) -> list[tuple[int, Speaker]]:
    """Local speakers that say in the context what somebody said there."""
    before = [turn for turn in before if turn.end > start]
    pairs = []  # (shared seconds, local speaker, speaker)
    for local in unnamed:
        context = [
            (max(turn.start, start), min(turn.end, first))
            for turn in turns
            if turn.speaker == local and turn.start < first
        ]
        heard = sum(end - begin for begin, end in context)
        for speaker in silent:
            shared = sum(
                max(0.0, min(end, turn.end) - max(begin, turn.start))
                for turn in before
                if turn.speaker == speaker.number
                for begin, end in context
            )
            if shared > heard / 2:
                pairs.append((shared, local, speaker))
    matched: list[tuple[int, Speaker]] = []
    for _, local, speaker in sorted(pairs, key=lambda pair: pair[0], reverse=True):
        if all(local != other and speaker is not somebody for other, somebody in matched):
            matched.append((local, speaker))
    return matched
