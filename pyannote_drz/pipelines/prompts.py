"""Prompts: a few seconds of every person, so that a letter means the same in every chunk.

A prompt is two stretches of a person: what sounds most like everything else that is theirs, is
long, and has nobody else speaking. They are replaced only by better ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..prompting import SHORTEST_PROMPT

SILENCE_S = 0.24
from .linking import cosines
from .stitching import Turn, alone

LONGEST_PROMPT = 5.0  # s (DESIGN.md, section 4)
# Share of a window that is left to prompts and their silences; the chunk has the rest.
PROMPTS_SHARE = 0.4
# s; of silence, after which a person counts half when there are more people than letters. 3.5 %
# of AMI's turns come after more than that of their speaker's silence (ANCHORS.md, 2.4).
HALF_LIFE = 60.0


NOT_HEARD = torch.zeros(0)  # audio that nobody needs yet


class Sample(NamedTuple):
    """One voice alone, from `start` to `end` (s) of a recording.

    waveform : (samples,) Tensor, at the rate of the model
    probability : float, of the turn
    likeness : float, cosine of the turn and of all else that this person said
    """

    start: float
    end: float
    probability: float
    waveform: Tensor
    likeness: float = 1.0

    @property
    def score(self) -> float:
        """How good a prompt it makes: twice as long is not twice as good."""
        return self.likeness * (self.end - self.start) ** 0.5


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
        """What the person can be prompted with: the enrolled voice alone, or what was found."""
        if self.enrolled is not None:  # what was found may be somebody else's
            return [self.enrolled]
        return sorted(self.samples, key=lambda sample: sample.start)


def middle(start: float, end: float, longest: float) -> tuple[float, float]:
    """The middle `longest` seconds of a stretch: its edges are its least certain part."""
    surplus = max(0.0, end - start - longest)
    return start + surplus / 2, end - surplus / 2


def remember(
    people: Sequence[Person],
    turns: Sequence[Turn],
    listen: Callable[[float, float], Tensor],
    vectors: np.ndarray | None = None,
) -> None:
    """Take note of what people said.

    Parameters
    ----------
    people : sequence of Person
        By number. Their `vector` holds `vectors` already.
    turns : sequence of Turn
        Sorted; speakers are numbers of people.
    listen : callable
        (start, end), in seconds -> (samples,) Tensor.
    vectors : (turns, voice_dim) array, optional
        Summed voice vectors. Without them, all turns are as much alike.
    """
    for rows in together(turns):
        for row in rows:
            turn, person = turns[row], people[turns[row].speaker]
            person.speech += turn.end - turn.start
            person.last_heard = max(person.last_heard, turn.end)
            likeness = 1.0
            if vectors is not None:
                rest = person.vector - vectors[row]
                likeness = float(cosines(vectors[row : row + 1], rest[None])[0, 0])
            for start, end in alone(turn, [turns[other] for other in rows]):
                if end - start >= SHORTEST_PROMPT:
                    start, end = middle(start, end, LONGEST_PROMPT)
                    sample = Sample(start, end, turn.probability, NOT_HEARD, likeness)
                    person.samples = _two_best(person.samples, sample, listen)


def together(turns: Sequence[Turn]) -> Iterator[list[int]]:
    """Rows of sorted turns between two moments at which nobody speaks."""
    rows, end = [], -np.inf
    for row, turn in enumerate(turns):
        if rows and turn.start >= end:
            yield rows
            rows = []
        rows.append(row)
        end = max(end, turn.end)
    if rows:
        yield rows


def _two_best(
    samples: list[Sample], sample: Sample, listen: Callable[[float, float], Tensor]
) -> list[Sample]:
    """The two best of three, the better one first; only what stays is listened to, and copied."""
    best = sorted([*samples, sample], key=lambda s: s.score, reverse=True)[:2]
    return [
        s._replace(waveform=listen(s.start, s.end).clone()) if s.waveform is NOT_HEARD else s
        for s in best
    ]


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


def cut(people: list[Person], sample_rate: int, window_s: float) -> list[Tensor]:
    """Prompts of people; the more there are, the shorter.

    Parameters
    ----------
    people : list of Person
        Person k becomes letter k.
    sample_rate : int
        In Hz.
    window_s : float
        Of prompts and chunk, in seconds.

    Returns
    -------
    voices : list of (samples,) Tensor
    """
    share_s = PROMPTS_SHARE * window_s / max(len(people), 1)
    longest = min(LONGEST_PROMPT, share_s - SILENCE_S)
    return [join(person.voice, longest, sample_rate) for person in people]


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
