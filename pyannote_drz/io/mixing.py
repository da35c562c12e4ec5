"""Mixing: channels become one, but where they cancel each other.

With one wire swapped, a channel is the other's opposite, and their mean is silence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_S = 1.0  # judged at once
# Of the energy that the loudest of n channels brings into the mean, (1/n)^2: all of it and more is
# left where the others are silent or independent; half of it is 3 dB less.
LEAST_LEFT = 0.5
MOST_LOST = 0.02  # share of energy in blocks that cancel, above which they are told of
QUIET = 1e-10  # of a sample, squared; where it does not matter


def mix(waveform: Tensor, sample_rate: int) -> tuple[Tensor, str | None]:
    """Mean of the channels; where they cancel each other, the loudest of them.

    Parameters
    ----------
    waveform : (channel, time) Tensor
    sample_rate : int
        In Hz.

    Returns
    -------
    mixed : (1, time) Tensor
    told : str or None
        What was done instead of mixing, if it was.
    """
    num_channels, num_samples = waveform.shape
    mixed = waveform.mean(dim=0, keepdim=True)
    size = max(1, round(BLOCK_S * sample_rate))
    whole = num_samples - num_samples % size
    energies = _energies(waveform, size, whole)  # (channel, block)
    loudest = energies.amax(dim=0)
    left = _energies(mixed, size, whole)[0]
    cancels = (left < LEAST_LEFT * loudest / num_channels**2) & (loudest > QUIET * size)
    lost = float(loudest[cancels].sum())
    if not lost or lost < MOST_LOST * float(loudest.sum()):
        return mixed, None
    channel = int(energies[:, cancels].sum(dim=1).argmax())
    share = lost / float(loudest.sum())
    if share > 0.5:  # a wire is swapped: all of it is heard from one channel
        mixed = waveform[channel : channel + 1].clone()
    else:
        chosen = cancels.repeat_interleave(size)[:num_samples]
        mixed[0, chosen] = waveform[channel, chosen]
    return mixed, (
        f"channels cancel each other: channel {channel + 1} of {num_channels} is heard instead of "
        f"their mean in {share:.0%} of what is loud."
    )


def _energies(waveform: Tensor, size: int, whole: int) -> Tensor:
    """Energy of blocks, (channel, block); the last may be shorter."""
    parts = []
    for channel in waveform:  # one after the other: squares of hours would fill the memory
        blocks = channel[:whole].view(-1, size)
        energy = torch.linalg.vecdot(blocks, blocks)
        rest = channel[whole:]
        parts.append(F.pad(energy, (0, 1), value=float(rest @ rest)) if len(rest) else energy)
    return torch.stack(parts)
