"""Level: a recording is brought to where the encoders hear it, and only its loud parts decide.

PyanNet normalises its input, but by a variance to which it adds 1e-5: under -50 dBFS that fails,
and at -73 dBFS nobody is heard. Loudness is measured as broadcasters do (EBU R 128, without its
filter): the mean power of what is less than 10 dB under the mean of everything.
"""

from __future__ import annotations

import torch
from torch import Tensor

FRAME_SAMPLES = 6400  # 0.4 s at 16 kHz
GATE = 0.1  # of the mean power: 10 dB less
SILENT_POWER = 1e-12  # under -120 dBFS there is nothing, however many bits
# RMS of loud parts afterwards, -23 dBFS.
TARGET_RMS = 0.07


class Level:
    """Gain and offset of a recording, of what was heard of it so far.

    Parameters
    ----------
    waveform : (samples,) Tensor, optional
        At 16 kHz.
    """

    def __init__(self, waveform: Tensor | None = None):
        self.powers = torch.zeros(0)  # (frames,), of what is left without their means
        self.sum, self.count = 0.0, 0
        if waveform is not None:
            # An hour at a time: squares of everything at once would double the audio.
            for part in waveform.split(9000 * FRAME_SAMPLES):
                self.hear(part)

    def hear(self, waveform: Tensor) -> None:
        """Take more of the recording into account."""
        whole = len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES
        parts = [part for part in (waveform[:whole], waveform[whole:]) if len(part)]
        powers = [part.view(-1, min(FRAME_SAMPLES, len(part))).var(1, False) for part in parts]
        self.powers = torch.cat([self.powers, *(p.float().cpu() for p in powers)])
        self.sum += waveform.sum(dtype=torch.float64).item()
        self.count += len(waveform)

    @property
    def gain(self) -> float:
        """1 where nothing was heard."""
        powers = self.powers[self.powers > SILENT_POWER]
        if not len(powers):
            return 1.0
        loud = powers[powers >= GATE * powers.mean()]
        return TARGET_RMS / loud.mean().sqrt().item()

    def of(self, waveform: Tensor) -> Tensor:
        """Some of the recording, levelled; exact zeros stay what they are."""
        offset = self.sum / max(self.count, 1)
        return torch.where(waveform == 0, 0.0, self.gain * (waveform - offset))
