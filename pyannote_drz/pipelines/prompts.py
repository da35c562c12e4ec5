"""Prompts: a few seconds of every speaker, so that a local speaker is the same in every chunk.

A prompt is a stretch in which nobody else speaks, that is long, and that sounds like all else that
its speaker says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.encoders import Features
from ..models.encoders.campplus import EMBEDDING_DIM
from ..prompting import (
    LONGEST_PROMPT,
    POSITION_S,
    PROMPTS_SHARE,
    SHORTEST_PROMPT,
    SILENCE_POSITIONS,
    Prompts,
    lay_out,
)
from .embeddings import unit
from .stitching import Turn, alone, together

MOST_STRETCHES = 3  # of a speaker that are remembered; the first alone is prompted
# s; of silence, after which a speaker counts half when there are more of them than local speakers.
# 3.5 % of AMI's turns come after more than that of their speaker's silence (ANCHORS.md, 2.4).
HALF_LIFE = 60.0


class Stretch(NamedTuple):
    """One speaker alone, from `start` to `end` (s) of a recording.

    probability : float, of the turn
    likeness : float, cosine of the turn and of all else that this speaker said
    features : Features, (positions, …)
    waveform : (samples,) Tensor
    """

    start: float
    end: float
    probability: float
    likeness: float
    features: Features | None = None
    waveform: Tensor | None = None

    @property
    def score(self) -> float:
        """How good a prompt it makes: twice as long is not twice as good."""
        return self.likeness * (self.end - self.start) ** 0.5


# (start, end), in seconds of a recording -> what was heard there.
Cut = Callable[[float, float], tuple[Features, Tensor]]


@dataclass
class Speaker:
    """What is known of a global speaker.

    number : int, from 0
    name : str or None, of those who are known beforehand
    embedding : (193,) array, summed as by `embeddings.embed`
    speech : float, seconds heard so far
    last_heard : float, in seconds
    stretches : list of Stretch, the best ones first
    """

    number: int
    name: str | None = None
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(EMBEDDING_DIM + 1))
    speech: float = 0.0
    last_heard: float = 0.0
    stretches: list[Stretch] = field(default_factory=list)


def middle(start: float, end: float, longest: float) -> tuple[float, float]:
    """The middle `longest` seconds of a stretch: its edges are its least certain part."""
    surplus = max(0.0, end - start - longest)
    return start + surplus / 2, end - surplus / 2


def remember(
    speakers: Sequence[Speaker], turns: Sequence[Turn], embeddings: np.ndarray, cut: Cut
) -> None:
    """Take note of what speakers said.

    Parameters
    ----------
    speakers : sequence of Speaker
        By number.
    turns : sequence of Turn
        Sorted; of these speakers.
    embeddings : (turns, 193) array
        See `embeddings.embed`.
    cut : callable
        (start, end), in seconds -> features and waveform.
    """
    for turn, embedding in zip(turns, embeddings, strict=True):
        speaker = speakers[turn.speaker]
        speaker.embedding = speaker.embedding + embedding
        speaker.speech += turn.end - turn.start
        speaker.last_heard = max(speaker.last_heard, turn.end)
    for rows in together(turns):
        for row in rows:
            turn, speaker = turns[row], speakers[turns[row].speaker]
            rest = speaker.embedding - embeddings[row]
            likeness = float(unit(embeddings[row, :-1]) @ unit(rest[:-1]))
            if rest[-1] < SHORTEST_PROMPT:  # nothing to compare with
                likeness = 1.0
            for start, end in alone(turn, [turns[other] for other in rows]):
                if end - start >= SHORTEST_PROMPT:
                    start, end = middle(start, end, LONGEST_PROMPT)
                    _keep(speaker, Stretch(start, end, turn.probability, likeness), cut)


def _keep(speaker: Speaker, stretch: Stretch, cut: Cut) -> None:
    """Keep the best stretches; only what stays is cut."""
    best = sorted([*speaker.stretches, stretch], key=lambda s: s.score, reverse=True)
    speaker.stretches = [
        s if s.features is not None else Stretch(*s[:4], *cut(s.start, s.end))
        for s in best[:MOST_STRETCHES]
    ]


def choose(speakers: Iterable[Speaker], num_prompts: int, now: float) -> list[Speaker]:
    """Whom to prompt: those with most, and most recent, speech.

    Parameters
    ----------
    speakers : iterable of Speaker
    num_prompts : int
        At most that many.
    now : float
        In seconds.

    Returns
    -------
    chosen : list of Speaker
        By number. Those who have never been heard alone cannot be prompted.
    """

    def presence(speaker: Speaker) -> float:
        silence = max(0.0, now - speaker.last_heard)
        return speaker.speech * 0.5 ** (silence / HALF_LIFE)

    heard = [speaker for speaker in speakers if speaker.stretches]
    chosen = sorted(heard, key=presence, reverse=True)[: max(num_prompts, 0)]
    return sorted(chosen, key=lambda speaker: speaker.number)


def prompts_of(speakers: list[Speaker], window_s: float) -> Prompts:
    """What a window of so many seconds begins with; speaker k is the local speaker k.

    The more there are, the shorter are their prompts.
    """
    positions = int(PROMPTS_SHARE * window_s / POSITION_S + 1e-6)
    share = positions // max(len(speakers), 1) - SILENCE_POSITIONS
    longest = min(int(LONGEST_PROMPT / POSITION_S), share)
    voices = []
    for speaker in speakers:
        features = speaker.stretches[0].features
        first = max(0, features.num_positions - longest) // 2
        voices.append(features.part(first, first + longest))
    return lay_out(voices)


def waveform_of(stretches: list[Stretch], sample_rate: int) -> Tensor:
    """The best stretches one after another, (samples,), at most `LONGEST_PROMPT` together."""
    waveform = torch.cat([stretch.waveform for stretch in stretches])
    return waveform[: round(LONGEST_PROMPT * sample_rate)]
