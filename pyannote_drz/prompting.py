"""Prompts: a few seconds of known speakers before a chunk, as if its conversation had begun so.

    speaker A, 240 ms of silence, speaker B, 240 ms of silence, | chunk
    start end A start end B, which are given,                   | start end speaker … <eos>

The model reads one window and goes on with one sequence: whoever speaks in the chunk is compared
with the prompts like anybody with an earlier turn. A prompt is a slice of features, of the same
recording or of another. Source: nanodrz, whose form this is; how it compares with prompts that
chunks share is in recipes/synthetic/RUNS.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .models.encoders.features import POSITION_SAMPLES, SAMPLE_RATE, Features

POSITION_S = POSITION_SAMPLES / SAMPLE_RATE
SILENCE_POSITIONS = 3  # after every prompt: nanodrz has 200 ms
SHORTEST_PROMPT = 0.5  # s; shorter ones say little about a voice (DESIGN.md, section 4)
LONGEST_PROMPT = 5.0  # s
PROMPTS_SHARE = 0.4  # of a window (DESIGN.md, section 4)


class Prompts(NamedTuple):
    """What a window begins with.

    features : Features
    spans : list of (start_s, end_s)
        Where prompt k is, the voice of speaker k.
    """

    features: Features
    spans: list[tuple[float, float]]


NOBODY = Prompts(Features.silence(0), [])


def whole_positions(start_s: float, end_s: float) -> tuple[int, int]:
    """First and stop of positions that lie in these seconds: one at an edge hears somebody else."""
    first, stop = math.ceil(start_s / POSITION_S - 1e-6), int(end_s / POSITION_S + 1e-6)
    return first, max(first, stop)


def room_for(seconds: float) -> int:
    """How many of the shortest prompts, with their silences, fit into so many seconds."""
    return int(seconds / (SHORTEST_PROMPT + SILENCE_POSITIONS * POSITION_S))


def lay_out(voices: Sequence[Features]) -> Prompts:
    """One voice after another, each with its silence.

    Parameters
    ----------
    voices : sequence of Features
        Prompt k is of speaker k.
    """
    parts, spans, at = [], [], 0
    for voice in voices:
        spans.append((at * POSITION_S, (at + voice.num_positions) * POSITION_S))
        parts += [voice, Features.silence(SILENCE_POSITIONS).to(voice.short.dtype)]
        at += voice.num_positions + SILENCE_POSITIONS
    return Prompts(Features.join(parts), spans) if parts else NOBODY
