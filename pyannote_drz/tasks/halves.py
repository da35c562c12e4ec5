"""One conversation, two chunks: who is heard in both of them is one person, and is told so.

Voices of different chunks are compared when a long recording is linked. Where every person of a
batch is heard in one chunk only, nothing asks for that: voice vectors then tell the people of a
chunk apart by whatever does, and resemble each other more by chunk than by person.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..simulation import Batch, Turn


def clip(turns: list[Turn], start_s: float, end_s: float) -> list[Turn]:
    """What is between two instants, in seconds from the first one."""
    return [
        Turn(max(turn.start_s, start_s) - start_s, min(turn.end_s, end_s) - start_s, turn.speaker)
        for turn in turns
        if turn.end_s > start_s and turn.start_s < end_s
    ]


def halve(batch: Batch, sample_rate: int) -> Batch:
    """Cut every conversation of a batch in two; both halves know whose voices they have.

    Parameters
    ----------
    batch : Batch
        Of an even number of samples, without prompts.
    sample_rate : int
        In Hz.

    Returns
    -------
    halves : Batch
        Twice the rows: rows 2 i and 2 i + 1 are the halves of row i.
    """
    rows, num_samples = batch.waveforms.shape
    half_s = num_samples / 2 / sample_rate
    halves = ((0.0, half_s), (half_s, 2 * half_s))

    def no_prompts(x: Tensor) -> Tensor:
        return x.new_zeros(2 * rows, *x.shape[1:])

    return Batch(
        waveforms=batch.waveforms.view(2 * rows, num_samples // 2),
        turns=[clip(turns, *half) for turns in batch.turns for half in halves],
        voices=torch.repeat_interleave(batch.voices, 2, dim=0),
        prompts=no_prompts(batch.prompts),
        prompt_lengths=no_prompts(batch.prompt_lengths),
        prompted=[[] for _ in range(2 * rows)],
    )
