"""Prompts: a few seconds of every person, so that a letter means the same in every chunk.

A prompt is the best stretch of a person so far: confident, long, and with nobody else speaking.
It is replaced only by a better one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..models.pix2seq import PROMPT_SLOT_S, Prompts
from .stitching import Turn

# s; shorter ones say little about a voice, and the model has not been trained with them. All of
# them together are at most 16 s (both: DESIGN.md, section 4).
SHORTEST_PROMPT, ALL_PROMPTS = 0.5, 16.0
# s; of silence, after which a person counts half when there are more people than letters. 3.5 %
# of AMI's turns come after more than that of their speaker's silence (ANCHORS.md, 2.4).
HALF_LIFE = 60.0


class Stretch(NamedTuple):
    """One voice alone, from `start` to `end` (s); `score` is in seconds of certain speech."""

    start: float
    end: float
    score: float


@dataclass
class Person:
    """What is remembered of a person.

    number : int, by arrival
    speech : float, seconds heard so far
    last_heard : float, in seconds
    best : Stretch or None, where the voice is best heard
    """

    number: int
    speech: float = 0.0
    last_heard: float = 0.0
    best: Stretch | None = None


def stretches(turns: Iterable[Turn], speaker: int) -> Iterator[Stretch]:
    """Where `speaker` speaks alone for long enough to make a prompt."""
    others = sorted(turn for turn in turns if turn.speaker != speaker)
    for turn in turns:
        if turn.speaker != speaker:
            continue
        start = turn.start
        alone = []  # (start, end)
        for other in others:
            if other.start >= turn.end:
                break
            alone.append((start, other.start))
            start = max(start, other.end)
        alone.append((start, turn.end))
        for start, end in alone:
            if end - start >= SHORTEST_PROMPT:
                yield _best_part(start, end, turn.probability)


def _best_part(start: float, end: float, probability: float) -> Stretch:
    start, end = middle(start, end, PROMPT_SLOT_S)
    return Stretch(start, end, probability * (end - start))


def middle(start: float, end: float, longest: float) -> tuple[float, float]:
    """The middle `longest` seconds of a stretch: its edges are its least certain part."""
    surplus = max(0.0, end - start - longest)
    return start + surplus / 2, end - surplus / 2


def remember(person: Person, turns: list[Turn]) -> None:
    """Take note of what a person said.

    Parameters
    ----------
    person : Person
    turns : list of Turn
        Of everybody, so that overlap is known.
    """
    for turn in turns:
        if turn.speaker == person.number:
            person.speech += turn.end - turn.start
            person.last_heard = max(person.last_heard, turn.end)
    for stretch in stretches(turns, person.number):
        if person.best is None or stretch.score > person.best.score:
            person.best = stretch


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
        By arrival. Those who have never been heard alone cannot be prompted.
    """

    def presence(person: Person) -> float:
        silence = max(0.0, now - person.last_heard)
        return person.speech * 0.5 ** (silence / HALF_LIFE)

    heard = [person for person in people if person.best is not None]
    chosen = sorted(heard, key=presence, reverse=True)[: max(num_prompts, 0)]
    return sorted(chosen, key=lambda person: person.number)


def cut(
    waveform: Tensor, sample_rate: int, people: list[Person], device: torch.device | str = "cpu"
) -> Prompts | None:
    """Cut prompts out of a file; the more there are, the shorter.

    Parameters
    ----------
    waveform : (samples,) Tensor
    sample_rate : int
        In Hz.
    people : list of Person
        Person k becomes letter k.
    device : torch.device, optional

    Returns
    -------
    prompts : Prompts
        A batch of one; None without people.
    """
    if not people:
        return None
    longest = min(PROMPT_SLOT_S, ALL_PROMPTS / len(people))
    voices = []
    for person in people:
        start, end = middle(person.best.start, person.best.end, longest)
        first = round(start * sample_rate)
        num_samples = int(min(end - start, longest) * sample_rate + 1e-6)
        voices.append(waveform[first : first + num_samples])
    return Prompts(
        waveforms=pad_sequence(voices, batch_first=True)[None].to(device),  # (1, people, samples)
        lengths=torch.tensor([[len(voice) for voice in voices]], device=device),  # (1, people)
    )
