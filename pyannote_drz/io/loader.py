"""Audio in database.yml: protocols whose files carry their waveform, read without FFmpeg.

    train: {uri: train.lst, annotation: train.rttm, waveform: "audio/{uri}.wav", sample_rate: 16000}

pyannote.database finds this loader by the suffix of what `waveform` names. Commands of
pyannote.audio that open files themselves, as `pyannote-audio benchmark` does, then have nothing
left to open.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from .audio import Audio

SAMPLE_RATE = 16000  # Hz; what `sample_rate` has to be in database.yml


class WaveformLoader:
    """Load the waveform of a file of a protocol, which keeps it in memory: 230 MB an hour.

    Parameters
    ----------
    path : str or Path
        Of the audio file.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self.audio = Audio(sample_rate=SAMPLE_RATE, mono="downmix")

    def __call__(self, file: Mapping) -> Tensor:
        """(1, samples) waveform at 16 kHz.

        Raises
        ------
        ValueError
            The file cannot be read.
        """
        waveform, _ = self.audio(self.path)
        return waveform
