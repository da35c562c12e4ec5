"""Levels: recordings as loud as those that models learn from, without what no one hears.

A constant offset and a rumble below the voice are taken away, and the loud part is brought to the
level of speech. What is called loud is not fooled by silence, however much of it there is, nor by
a click.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import butter, sosfilt, sosfilt_zi
from torch import Tensor

CUT_HZ = 20.0  # lower than any voice, and where the lowest mel band begins
FRAME_S = 0.1
LOUD = 0.95  # quantile of the frames that are not silent
SILENT = 1e-12  # mean square of a frame: -120 dBFS, below the noise of 16 bits
TARGET = 10 ** (-26 / 20)  # root mean square of speech in most corpora (ITU-T P.56 has -26 dBFS)
WITHIN = 4.0  # louder or quieter by up to that, 12 dB, nothing is changed
BLOCK_S = 60.0


def level(waveform: Tensor, sample_rate: int) -> Tensor:
    """The recording without offset, and at the level of speech if it is far from that.

    Parameters
    ----------
    waveform : (samples,) float32 Tensor
    sample_rate : int
        In Hz.

    Returns
    -------
    levelled : (samples,) float32 Tensor
        The same one where there is nothing to do.
    """
    original = samples = waveform.cpu().numpy()
    offset = abs(float(samples.mean(dtype=np.float64)))
    size = max(1, round(FRAME_S * sample_rate))
    if offset > 0.02 * loudness(samples, size):  # most recordings have none worth the work
        samples = high_passed(samples, sample_rate)
    loud = loudness(samples, size)
    if loud and not TARGET / WITHIN <= loud <= TARGET * WITHIN:
        samples = samples * np.float32(TARGET / loud)
    return waveform if samples is original else torch.from_numpy(samples)


def loudness(samples: np.ndarray, size: int) -> float:
    """Root mean square of loud frames; 0 where all is silence."""
    whole = len(samples) - len(samples) % size
    frames = samples[:whole].reshape(-1, size) if whole else samples[None]
    power = np.einsum("fs,fs->f", frames, frames, dtype=np.float32) / frames.shape[1]
    power = power - np.square(frames.mean(axis=1))  # an offset is not loud
    heard = power[power > SILENT]
    return float(np.sqrt(np.quantile(heard, LOUD))) if len(heard) else 0.0


def high_passed(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Without what is below `CUT_HZ`; begins as if the first sample had always been there."""
    sections = butter(2, CUT_HZ, "highpass", fs=sample_rate, output="sos")
    state = sosfilt_zi(sections) * float(samples[0])
    size = round(BLOCK_S * sample_rate)
    filtered = np.empty_like(samples)
    for first in range(0, len(samples), size):
        block, state = sosfilt(sections, samples[first : first + size], zi=state)
        filtered[first : first + size] = block
    return filtered
