"""Long recordings: what lasts for hours is on the disk, mixed and resampled, and read in pieces.

A day at 16 kHz is 5.5 GB. What hears a recording block by block takes a `LongWaveform` for a
tensor: both have a length, are sliced and split. A pipe is read once: `rewindable` keeps what it
gives, in memory or, if it is long, on the disk.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
import torch
from torch import Tensor

from .audio import opened
from .errors import InputError
from .mixing import mix
from .sounds import is_file_object, seekable

LONG_S = 2 * 3600.0  # s; 0.5 GB at 16 kHz
PART_S = 60.0  # mixed and resampled at once


class LongWaveform:
    """Samples of a file, (samples,) at one rate; slices that have an end are tensors.

    Parameters
    ----------
    file : binary file
        float32, as this machine has them; nobody else moves in it.
    start, stop : int
        Samples of it.
    """

    device = torch.device("cpu")

    def __init__(self, file: BinaryIO, start: int, stop: int):
        self.file, self.start, self.stop = file, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, piece: slice) -> Tensor | LongWaveform:
        first, last, _ = piece.indices(len(self))
        view = LongWaveform(self.file, self.start + first, self.start + max(first, last))
        return view if piece.stop is None else view.read()

    def read(self) -> Tensor:
        """All of it, as a tensor."""
        samples = np.empty(len(self), dtype=np.float32)
        self.file.seek(4 * self.start)
        self.file.readinto(samples)
        return torch.from_numpy(samples)

    def split(self, size: int) -> Iterator[Tensor]:
        """Parts of that many samples, one after the other."""
        return (self[first : first + size] for first in range(0, len(self), size))


@contextmanager
def rewindable(file: Mapping) -> Iterator[Mapping]:
    """A validated file that can be read again; of a pipe, which cannot, all that it gives.

    Raises
    ------
    InputError
        The pipe cannot be opened.
    """
    audio = None if "waveform" in file else file["audio"]
    if is_file_object(audio):
        with seekable(audio) as kept:
            yield file if kept is audio else {**file, "audio": kept}
    elif audio is None or Path(audio).is_file():
        yield file
    else:
        try:
            pipe = Path(audio).open("rb")
        except OSError as error:
            raise InputError(f"cannot read '{audio}': {error.strerror or error}") from error
        with pipe, seekable(pipe) as kept:
            yield {**file, "audio": kept}


def is_long(file: Mapping) -> bool:
    """Whether a validated and rewindable file is better not held in memory."""
    if "waveform" in file:
        return False
    with opened(file) as sound:
        return sound.count() > LONG_S * sound.rate


def read_long(file: Mapping, sample_rate: int) -> LongWaveform:
    """Write the mix of a validated file's channels to a temporary file, which ends with us.

    Raises
    ------
    InputError
        It cannot be read, or holds a sample that is not finite.
    OSError
        The disk of temporary files is full.
    """
    stored = tempfile.TemporaryFile(prefix="pyannote_drz.")
    count, told = 0, set()
    with opened(file) as sound:
        resampler = soxr.ResampleStream(sound.rate, sample_rate, 1, dtype="float32")
        for part in _parts(sound.blocks(), round(PART_S * sound.rate)):
            if not np.isfinite(part).all():
                raise InputError(f"{sound.name} has a NaN or infinite sample.")
            samples = part[:, 0]
            if file.get("channel") is not None:
                samples = part[:, _channel(file["channel"], part.shape[1])]
            elif part.shape[1] > 1:
                mixed, said = mix(torch.from_numpy(part.T.copy()), sound.rate)
                samples = mixed[0].numpy()
                told |= {said} - {None}
            if sound.rate != sample_rate:
                samples = resampler.resample_chunk(samples)
            count += _write(stored, samples)
        if sound.rate != sample_rate:
            count += _write(stored, resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    if told:
        warnings.warn(f"{len(told)} times: {min(told)}", stacklevel=2)
    return LongWaveform(stored, 0, count)


def _channel(channel: int, channels: int) -> int:
    if not 0 <= channel < channels:
        raise InputError(f"there is no channel {channel!r} among 0 to {channels - 1}.")
    return channel


def _write(file: BinaryIO, samples: np.ndarray) -> int:
    file.write(np.ascontiguousarray(samples, dtype=np.float32).data)
    return len(samples)


def _parts(blocks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks of any lengths as blocks of `size` frames, and what is left."""
    waiting: list[np.ndarray] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= size:
            joined = np.concatenate(waiting)
            whole = len(joined) - len(joined) % size
            yield from np.split(joined[:whole], whole // size)
            waiting = [joined[whole:]]
    if rest := [block for block in waiting if len(block)]:
        yield np.concatenate(rest)
