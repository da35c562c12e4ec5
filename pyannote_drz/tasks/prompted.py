"""Prompts in the place of a conversation's first seconds: one window, one sequence of turns."""

from __future__ import annotations

from ..prompting import SILENCE_S, lay_out, room_for
from ..simulation import Batch, Turn
from .halves import clip

# Share of a window that prompts may take: the rest is what is learnt. DESIGN.md, section 4, allows
# 16 s of prompts, in chunks of 30.
MOST = 0.5


def begin_with_prompts(batch: Batch, sample_rate: int, position_samples: int) -> Batch:
    """Lay the prompts of every conversation over its beginning.

    Parameters
    ----------
    batch : Batch
    sample_rate : int
        In Hz.
    position_samples : int
        Of the model, see `lay_out`.

    Returns
    -------
    batch : Batch
        Without `prompts`: they are part of `waveforms`, and the first turns of row i are theirs,
        as many as `prompted[i]` has.
    """
    duration_s = batch.waveforms.shape[1] / sample_rate
    most = room_for(MOST * duration_s)  # the last ones are left out
    waveforms, turns = batch.waveforms.clone(), []
    prompted_rows = [prompted[:most] for prompted in batch.prompted]
    for row, prompted in enumerate(prompted_rows):
        lengths = batch.prompt_lengths[row, : len(prompted)].tolist()
        room = (MOST * duration_s - SILENCE_S * len(lengths)) * sample_rate
        shrink = min(1.0, room / max(sum(lengths), 1))
        voices = [batch.prompts[row, k, : int(shrink * n)] for k, n in enumerate(lengths)]
        prompts = lay_out(voices, sample_rate, position_samples)
        waveforms[row, : len(prompts.waveform)] = prompts.waveform
        begin_s = len(prompts.waveform) / sample_rate
        given = [
            Turn(*span, speaker) for span, speaker in zip(prompts.spans, prompted, strict=True)
        ]
        rest = clip(batch.turns[row], begin_s, duration_s)
        rest = [Turn(begin_s + turn.start_s, begin_s + turn.end_s, turn.speaker) for turn in rest]
        turns.append(given + rest)
    return Batch(
        waveforms=waveforms,
        turns=turns,
        voices=batch.voices,
        prompts=batch.prompts[:, :0, :0],
        prompt_lengths=batch.prompt_lengths[:, :0],
        prompted=prompted_rows,
    )
