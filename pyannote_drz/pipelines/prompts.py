"""Prompts: a few seconds of every person, so that a letter means the same in every chunk.

A prompt is the best stretch of a person so far: confident, long, and with nobody else speaking;
and another one, from another time, because voices and rooms drift. They are replaced only by
better ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.pix2seq import PROMPT_SLOT_S
from .stitching import Turn, alone

# s; shorter ones say little about a voice, and the model has not been trained with them. All of
# them together are at most 16 s (both: DESIGN.md, section 4).
SHORTEST_PROMPT, ALL_PROMPTS = 0.5, 16.0
# s; of silence, after which a person counts half when there are more people than letters. 3.5 %
# of AMI's turns come after more than that of their speaker's silence (ANCHORS.md, 2.4).
HALF_LIFE = 60.0
# s; between two samples of one person, for them to tell anything about drift: one early, one late.
APART = 60.0


class Sample(NamedTuple):
    """One voice alone, from `start` to `end` (s) of a recording.

    waveform : (samples,) Tensor, at the rate of the model
    probability : float, of the turn
    """

    start: float
    end: float
    probability: float
    waveform: Tensor

    @property
    def score(self) -> float:
        """Seconds of certain speech."""
        return self.probability * (self.end - self.start)


@dataclass
class Person:
    """What is remembered of a person.

    number : int, from 0
    name : str or None, of those who are known beforehand
    vector : (voice_dim,) array or None, summed voice vectors
    speech : float, seconds heard so far
    last_heard : float, in seconds
    samples : list of Sample, at most two, where the voice is best heard, the better one first
    enrolled : Sample or None, of those who are known beforehand
    """

    number: int
    name: str | None = None
    vector: np.ndarray | None = None
    speech: float = 0.0
    last_heard: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    enrolled: Sample | None = None

    @property
    def voice(self) -> list[Sample]:
        """What the person can be prompted with: enrolled first, then by time."""
        if self.enrolled is not None:
            return [self.enrolled, *self.samples[:1]]
        return sorted(self.samples, key=lambda sample: sample.start)


def stretches(turns: Iterable[Turn], speaker: int) -> Iterator[tuple[float, float, float]]:
    """(start, end, probability) where `speaker` speaks alone for long enough to make a prompt."""
    turns = list(turns)
    for turn in turns:
        if turn.speaker == speaker:
            for start, end in alone(turn, turns):
                if end - start >= SHORTEST_PROMPT:
                    yield *middle(start, end, PROMPT_SLOT_S), turn.probability


def middle(start: float, end: float, longest: float) -> tuple[float, float]:
    """The middle `longest` seconds of a stretch: its edges are its least certain part."""
    surplus = max(0.0, end - start - longest)
    return start + surplus / 2, end - surplus / 2


def remember(person: Person, turns: list[Turn], listen: Callable[[float, float], Tensor]) -> None:
    """Take note of what a person said.

    Parameters
    ----------
    person : Person
    turns : list of Turn
        Of everybody, so that overlap is known.
    listen : callable
        (start, end), in seconds -> (samples,) Tensor.
    """
    for turn in turns:
        if turn.speaker == person.number:
            person.speech += turn.end - turn.start
            person.last_heard = max(person.last_heard, turn.end)
    for start, end, probability in stretches(turns, person.number):
        if _would_stay(person.samples, start, probability * (end - start)):
            person.samples = _two_best(
                [*person.samples, Sample(start, end, probability, listen(start, end).clone())]
            )


def _would_stay(samples: list[Sample], start: float, score: float) -> bool:
    """Whether another sample would be one of the two best: few are worth a copy."""
    if not samples or score > samples[0].score:
        return True
    far = abs(start - samples[0].start) >= APART
    return far and (len(samples) == 1 or score > samples[1].score)


def _two_best(samples: list[Sample]) -> list[Sample]:
    """The best, and the best of those far from it in time."""
    best = max(samples, key=lambda sample: sample.score)
    far = [sample for sample in samples if abs(sample.start - best.start) >= APART]
    return [best, max(far, key=lambda sample: sample.score)] if far else [best]


def choose(people: Iterable[Person], num_prompts: int, now: float) -> list[Person]:
    """Whom to prompt: those with most, and most recent, speech.

    Parameters
    ----------
    people : iterable of Person
    num_prompts : int
        At most that many.
    now : float
        In seconds.

    Returns
    -------
    chosen : list of Person
        By number. Those who have never been heard alone cannot be prompted; those who are known
        beforehand and have not been heard yet come last.
    """

    def presence(person: Person) -> float:
        silence = max(0.0, now - person.last_heard)
        return person.speech * 0.5 ** (silence / HALF_LIFE)

    heard = [person for person in people if person.voice]
    chosen = sorted(heard, key=presence, reverse=True)[: max(num_prompts, 0)]
    return sorted(chosen, key=lambda person: person.number)


def cut(people: list[Person], sample_rate: int) -> tuple[Tensor, ...]:
    """Prompts of people; the more there are, the shorter.

    Parameters
    ----------
    people : list of Person
        Person k becomes letter k.
    sample_rate : int
        In Hz.

    Returns
    -------
    voices : tuple of (samples,) Tensor
    """
    longest = min(PROMPT_SLOT_S, ALL_PROMPTS / max(len(people), 1))
    return tuple(join(person.voice, longest, sample_rate) for person in people)


def join(samples: list[Sample], longest: float, sample_rate: int) -> Tensor:
    """Middles of one or two samples, (samples,), `longest` seconds together."""
    if longest < 4 * SHORTEST_PROMPT:  # too little for two
        samples = samples[:1]
    num_samples = int(longest * sample_rate + 1e-6)
    # Whoever has less leaves the rest to the other.
    lengths = [len(sample.waveform) for sample in samples]
    share = num_samples // len(samples)
    left = num_samples - sum(min(length, share) for length in lengths)
    parts = []
    for sample, length in zip(samples, lengths, strict=True):
        keep = min(length, share)
        if length > share:
            keep, left = min(length, share + left), left - (min(length, share + left) - share)
        first = (length - keep) // 2
        parts.append(sample.waveform[first : first + keep])
    return torch.cat(parts)
