"""Reading: sound files as the simulator wants them, at its rate and with one channel."""

import warnings
from pathlib import Path

import numpy as np
import soxr
import torch

from ..io.errors import InputError, one_line
from ..io.mixing import mix
from ..io.sounds import open_sound
from .slices import SAMPLE_RATE


def read_mono(path: str | Path) -> np.ndarray:
    """Samples of a file, (samples,) float32 at 16 kHz, channels mixed.

    Raises
    ------
    InputError
        It cannot be read, to its end, or holds a sample that is not finite.
    """
    try:
        with open_sound(path, f"audio file '{path}'") as sound:
            audio, rate = sound.read(), sound.rate  # (samples, channels)
    except (InputError, OSError) as error:
        raise InputError(f"audio file '{path}' cannot be read: {one_line(error)}") from error
    if not np.isfinite(audio).all():
        raise InputError(f"audio file '{path}' has a NaN or infinite sample.")
    if audio.shape[1] > 1:
        mixed, told = mix(torch.from_numpy(audio.T.copy()), rate)
        audio = mixed.numpy().T
        if told:
            warnings.warn(f"'{path}': {told}", stacklevel=2)
    audio = audio[:, 0]
    if rate != SAMPLE_RATE:
        audio = soxr.resample(audio, rate, SAMPLE_RATE).astype(np.float32)
    return audio
