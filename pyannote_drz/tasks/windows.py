"""Windows: what one example of learning is, cut out of an encoded conversation.

A window is a part of a conversation, or, prompted, a few seconds of those who speak in it, from
elsewhere in the conversation, and then a part of it. So prompts are what they are when a recording
is diarized: other words of the same people, heard by the same microphone, cut not quite right.
PyanNet's numbers of local speakers mean nothing: every piece has them drawn anew.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np

from ..models.encoders.features import Features
from ..models.encoders.segmentation import NUM_LOCAL
from ..prompting import (
    LONGEST_PROMPT,
    POSITION_S,
    PROMPTS_SHARE,
    SHORTEST_PROMPT,
    SILENCE_POSITIONS,
    lay_out,
)
from ..simulation import Turn
from .shards import Encoded

ORDERS = list(permutations(range(NUM_LOCAL)))
PROMPTED_SHARE = 0.85  # of the people who are heard elsewhere are prompted
CARELESS_S = 0.3  # s; prompts begin and end that much too early or too late, at most


class Window(NamedTuple):
    """One example.

    features : Features, (positions, …)
    turns : list of Turn, in seconds from its beginning; the first ones are those of prompts
    prompted : list of int
        Speaker of every prompt.
    prompt_positions : int
    """

    features: Features
    turns: list[Turn]
    prompted: list[int]
    prompt_positions: int


def clip(turns: list[Turn], start_s: float, end_s: float) -> list[Turn]:
    """What is between two instants, in seconds from the first one."""
    return [
        Turn(max(turn.start_s, start_s) - start_s, min(turn.end_s, end_s) - start_s, turn.speaker)
        for turn in turns
        if turn.end_s > start_s and turn.start_s < end_s
    ]


def _reorder(features: Features, rng: np.random.Generator) -> Features:
    return features.permuted(ORDERS[rng.integers(len(ORDERS))])


def cut(conversation: Encoded, num_positions: int, rng: np.random.Generator) -> Window:
    """A part of a conversation, from a random position on."""
    start = int(rng.integers(conversation.features.num_positions - num_positions + 1))
    features = _reorder(conversation.features.part(start, start + num_positions), rng)
    turns = clip(conversation.turns, start * POSITION_S, (start + num_positions) * POSITION_S)
    return Window(features, turns, [], 0)


def alone(turns: list[Turn], speaker: int) -> list[tuple[float, float]]:
    """Where only that speaker speaks, (start_s, end_s)."""
    others = sorted((turn.start_s, turn.end_s) for turn in turns if turn.speaker != speaker)
    free = []
    for turn in turns:
        if turn.speaker != speaker:
            continue
        at = turn.start_s
        for start_s, end_s in others:
            if start_s >= turn.end_s:
                break
            if end_s > at:
                if start_s > at:
                    free.append((at, start_s))
                at = end_s
        if at < turn.end_s:
            free.append((at, turn.end_s))
    return free


def cut_prompted(conversation: Encoded, num_positions: int, rng: np.random.Generator) -> Window:
    """A part of a conversation, after prompts from the rest of it.

    Prompts and part are `num_positions` together. Who is not heard alone elsewhere is not
    prompted; who is, but not in the part, is a prompted speaker who is silent.
    """
    most = int(PROMPTS_SHARE * num_positions)  # positions of all prompts
    total = conversation.features.num_positions
    start = int(rng.integers(total - num_positions + 1))
    before_s, after_s = start * POSITION_S, (start + num_positions) * POSITION_S
    elsewhere: dict[int, list[tuple[float, float]]] = {}
    for speaker in sorted({turn.speaker for turn in conversation.turns}):
        for a, b in alone(conversation.turns, speaker):
            for begin_s, end_s in ((a, min(b, before_s)), (max(a, after_s), b)):
                if end_s - begin_s >= SHORTEST_PROMPT:
                    elsewhere.setdefault(speaker, []).append((begin_s, end_s))
    people = [speaker for speaker in elsewhere if rng.random() < PROMPTED_SHARE]
    people = [int(speaker) for speaker in rng.permutation(people)]

    voices, prompted, left = [], [], most
    share = most // max(len(people), 1) - SILENCE_POSITIONS
    for speaker in people:
        places = elsewhere[speaker]
        lengths = np.array([b - a for a, b in places])
        a, b = places[rng.choice(len(places), p=lengths / lengths.sum())]
        wanted_s = float(np.exp(rng.uniform(np.log(SHORTEST_PROMPT), np.log(LONGEST_PROMPT))))
        length_s = min(wanted_s, b - a)
        a += rng.random() * max(0.0, b - a - length_s)  # rounding makes it less than 0
        early_s, late_s = rng.uniform(-CARELESS_S, CARELESS_S, 2)
        first = max(0, round((a + early_s) / POSITION_S))
        stop = min(total, round((a + length_s + late_s) / POSITION_S), first + share)
        if stop - first < SHORTEST_PROMPT / POSITION_S or stop - first + SILENCE_POSITIONS > left:
            continue
        voices.append(_reorder(conversation.features.part(first, stop), rng))
        prompted.append(speaker)
        left -= stop - first + SILENCE_POSITIONS
    if not voices:
        return cut(conversation, num_positions, rng)

    prompts = lay_out(voices)
    length = prompts.features.num_positions
    part = _reorder(conversation.features.part(start, start + num_positions - length), rng)
    begin_s, end_s = length * POSITION_S, (start + num_positions - length) * POSITION_S
    turns = [Turn(*span, speaker) for span, speaker in zip(prompts.spans, prompted, strict=True)]
    turns += [
        Turn(begin_s + turn.start_s, begin_s + turn.end_s, turn.speaker)
        for turn in clip(conversation.turns, before_s, end_s)
    ]
    return Window(Features.join([prompts.features, part]), turns, prompted, length)
