"""Prompts: a few seconds of known voices before a chunk, as if its conversation had begun so.

    voice of A, 200 ms of silence, voice of B, 200 ms of silence, | chunk
    start end A start end B, which are given,                     | start end speaker … <eos>

The model hears one window and goes on with one sequence: whoever speaks in the chunk is compared
with the prompts like anybody with an earlier turn. Source: nanodrz, whose form this is; how it
compares with prompts that chunks share is in recipes/synthetic/RUNS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SILENCE_S = 0.2  # s, after every prompt (nanodrz)
SHORTEST_PROMPT = 0.5  # s; shorter ones say little about a voice (DESIGN.md, section 4)


class Prompts(NamedTuple):
    """What a window begins with.

    waveform : (samples,) Tensor
    spans : list of (start_s, end_s)
        Where prompt k is, the voice of letter k.
    """

    waveform: Tensor
    spans: list[tuple[float, float]]


NOBODY = Prompts(torch.zeros(0), [])


def room_for(seconds: float) -> int:
    """How many of the shortest prompts, with their silences, fit into so many seconds."""
    return int(seconds / (SHORTEST_PROMPT + SILENCE_S))


def lay_out(voices: Sequence[Tensor], sample_rate: int, position_samples: int) -> Prompts:
    """One voice after another, each with its silence.

    Parameters
    ----------
    voices : sequence of (samples,) Tensor
        Prompt k becomes letter k.
    sample_rate : int
        In Hz.
    position_samples : int
        What follows begins at a whole number of these, so that voices before and after do not mix
        in one audio position.

    Returns
    -------
    prompts : Prompts
    """
    parts, spans, at = [], [], 0
    for voice in voices:
        spans.append((at / sample_rate, (at + len(voice)) / sample_rate))
        parts += [voice, voice.new_zeros(round(SILENCE_S * sample_rate))]
        at += len(parts[-2]) + len(parts[-1])
    if not parts:
        return NOBODY
    return Prompts(torch.cat([*parts, parts[0].new_zeros(-at % position_samples)]), spans)
