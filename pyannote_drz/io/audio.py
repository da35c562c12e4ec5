"""Reading audio without FFmpeg.

pyannote.audio 4 reads files with torchcodec, which cannot open even a wav where FFmpeg's shared
libraries are missing. `Audio` here has the same interface and reads wav, flac, ogg, opus and mp3
with libsndfile (its binaries come inside the `soundfile` wheel) and resamples with soxr, which
copes with odd rates such as 22254 Hz.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyannote.audio
import soxr
import torch
import torch.nn.functional as F
from pyannote.core import Segment
from torch import Tensor

from .errors import InputError
from .mixing import mix
from .names import uri_of
from .sounds import Sound, is_file_object, open_sound

AudioFile = str | os.PathLike | BinaryIO | Mapping


class Audio(pyannote.audio.Audio):
    """Drop-in `pyannote.audio.Audio` that needs no FFmpeg.

    Parameters
    ----------
    sample_rate : int, optional
        Rate (Hz) of what is returned. Defaults to each file's own.
    mono : {"random", "downmix"}, optional
        Keep one channel at random, or the mean of all. Defaults to keeping all channels.

    Examples
    --------
    >>> audio = Audio(sample_rate=16000, mono="downmix")
    >>> waveform, sample_rate = audio("meeting.flac")
    >>> waveform, sample_rate = audio.crop({"audio": "meeting.flac", "channel": 1}, Segment(3, 5))
    """

    def __init__(self, sample_rate: int | None = None, mono: str | None = None):
        if sample_rate is not None and not (_is_integer(sample_rate) and sample_rate > 0):
            raise InputError(
                f"sample_rate must be a positive number of hertz, got {sample_rate!r}."
            )
        if mono not in (None, "random", "downmix"):
            raise InputError(f"mono must be None, 'random' or 'downmix', got {mono!r}.")
        super().__init__(None if sample_rate is None else int(sample_rate), mono)

    @staticmethod
    def validate_file(file: AudioFile) -> Mapping:
        """Bring any accepted form of a recording to the mapping that the other methods read.

        Parameters
        ----------
        file : str, Path, binary file object, or mapping
            A path, an open file, `{"audio": path or open file}`, or `{"waveform", "sample_rate"}`
            with a `(channel, time)` or `(time,)` array or tensor of floats. A mapping may also
            have `"channel"`, the zero-based index of the only channel to read, and `"uri"`.

        Returns
        -------
        file : Mapping
            With `"uri"`, and `"audio"` or a `(channel, time)` float32 tensor as `"waveform"`.
            What the caller gave is left as it was.

        Raises
        ------
        InputError
            If there is no such file, or if the mapping is not one of the above.
        """
        if isinstance(file, (str, os.PathLike)):
            file = {"audio": file, "uri": uri_of(file)}
        elif is_file_object(file):
            file = {"audio": file, "uri": "stream"}
        elif not isinstance(file, Mapping):
            raise InputError(
                "audio must be a path, an open binary file, or a mapping with 'audio' or with "
                f"'waveform' and 'sample_rate', got {type(file).__name__}."
            )

        if "waveform" in file:
            waveform = _as_channel_time(file["waveform"])
            sample_rate = file.get("sample_rate", None)
            if not (_is_integer(sample_rate) and sample_rate > 0):
                raise InputError(
                    "a 'waveform' needs its 'sample_rate' in hertz beside it, "
                    f"got sample_rate={sample_rate!r}."
                )
            known = {"waveform": waveform, "sample_rate": int(sample_rate)}
            known["uri"] = file.get("uri", None) or "waveform"
        elif "audio" in file:
            audio = file["audio"]
            if isinstance(audio, (str, os.PathLike)):
                path = Path(audio)
                if not path.exists() or path.is_dir() or path.is_char_device():
                    what = "is a folder" if path.is_dir() else "does not exist"
                    what = "is a device" if path.is_char_device() else what
                    raise InputError(f"audio file {str(audio)!r} {what}.")
                known = {"uri": file.get("uri", None) or uri_of(audio)}
            elif is_file_object(audio):
                if isinstance(audio, TextIOBase):
                    raise InputError(
                        f"an open audio file must be binary and seekable, as open(path, 'rb') "
                        f"gives it, got {audio!r}."
                    )
                known = {"uri": file.get("uri", None) or "stream"}
            else:
                raise InputError(
                    f"'audio' must be a path or an open binary file, got {type(audio).__name__}."
                )
        else:
            raise InputError(
                f"a file must have 'audio' or 'waveform', got only {sorted(map(str, file))}."
            )

        if all(key in file and file[key] is value for key, value in known.items()):
            return file  # keeps the lazy keys of a pyannote.database ProtocolFile lazy
        if isinstance(file, MutableMapping) and not isinstance(file, dict):
            file.update(known)  # a ProtocolFile has no cheap copy
            return file
        return {**file, **known}

    def get_duration(self, file: AudioFile) -> float:
        """Duration of `file` in seconds: from its header, or counted where that does not tell.

        Raises
        ------
        InputError
            If `file` cannot be read, or holds no sample.
        """
        file = self.validate_file(file)
        if "waveform" in file:
            return file["waveform"].shape[1] / file["sample_rate"]
        with opened(file) as sound:
            return sound.count() / sound.rate

    def __call__(self, file: AudioFile) -> tuple[Tensor, int]:
        """Read all of `file`.

        Returns
        -------
        waveform : (channel, time) float32 tensor
        sample_rate : int
            In hertz.

        Raises
        ------
        InputError
            If `file` cannot be read, holds no sample, or holds a sample that is not finite.
        """
        file = self.validate_file(file)
        if "waveform" in file:
            waveform, sample_rate = file["waveform"], file["sample_rate"]  # (channel, time)
        else:
            with opened(file) as sound:
                waveform, sample_rate = _as_tensor(sound.read()), sound.rate  # (channel, time)
        _check_samples(waveform, sample_rate, file)
        return self.downmix_and_resample(waveform, sample_rate, channel=file.get("channel", None))

    def crop(self, file: AudioFile, segment: Segment, mode: str = "raise") -> tuple[Tensor, int]:
        """Read one excerpt of `file`, without reading what precedes it.

        Parameters
        ----------
        file : AudioFile
        segment : Segment
            In seconds.
        mode : {"raise", "pad"}, optional
            What to do where `segment` leaves the file: raise (default), or fill with zeros.

        Returns
        -------
        waveform : (channel, round(segment.duration * sample_rate)) float32 tensor
        sample_rate : int
            In hertz.

        Raises
        ------
        InputError
            As for the whole file; or if `segment` is empty; or if it leaves the file by more than
            one sample and `mode` is "raise".
        """
        if mode not in ("raise", "pad"):
            raise InputError(f"mode must be 'raise' or 'pad', got {mode!r}.")
        if not segment:
            raise InputError(f"cannot crop an empty segment, got {segment!r}.")
        file = self.validate_file(file)

        if "waveform" in file:
            whole, rate = file["waveform"], file["sample_rate"]  # (channel, time)
            start, stop, pad = _place(segment, whole.shape[1], rate, mode, file)
            waveform = whole[:, start:stop]  # (channel, part)
        else:
            with opened(file) as sound:
                rate = sound.rate
                start, stop, pad = _place(segment, sound.count(), rate, mode, file)
                waveform = _as_tensor(sound.read(start, stop))  # (channel, part)

        _check_samples(waveform, rate, file, start)
        waveform = F.pad(waveform, pad)  # (channel, segment at the file's rate)
        waveform, rate = self.downmix_and_resample(waveform, rate, file.get("channel", None))
        missing = round(float(segment.duration) * rate) - waveform.shape[1]  # by rounding
        return F.pad(waveform, (0, missing)), rate  # a negative pad trims

    def downmix_and_resample(
        self, waveform: Tensor, sample_rate: int, channel: int | None = None
    ) -> tuple[Tensor, int]:
        """Select `channel`, mix down as `mono` says, resample to `self.sample_rate`.

        Parameters
        ----------
        waveform : (channel, time) float32 tensor
        sample_rate : int
            Of `waveform`, in hertz.
        channel : int, optional
            Zero-based.

        Returns
        -------
        waveform : (channel, time) float32 tensor
        sample_rate : int

        Raises
        ------
        InputError
            If there is no such channel.
        """
        channels, frames = waveform.shape
        if channel is not None and not (_is_integer(channel) and 0 <= channel < channels):
            raise InputError(f"there is no channel {channel!r} among 0 to {channels - 1}.")
        target = self.sample_rate or sample_rate
        # given `target` as the rate that it already has, pyannote mixes and leaves the rate to us
        channel = None if channel is None else int(channel)
        if channel is None and self.mono == "downmix" and channels > 1:
            waveform, told = mix(waveform, sample_rate)  # (1, time)
            if told:
                warnings.warn(told, stacklevel=2)
        waveform, _ = super().downmix_and_resample(waveform, target, channel=channel)
        if target != sample_rate:
            resampled = soxr.resample(waveform.T.cpu().numpy(), sample_rate, target)
            waveform = torch.from_numpy(resampled).T.contiguous().to(waveform.device)
            expected = max(1, round(frames * target / sample_rate))  # soxr may be one sample off
            waveform = F.pad(waveform, (0, expected - waveform.shape[1]))
        return waveform, target  # (channel, time)


def _is_integer(value: object) -> bool:
    whole = isinstance(value, (int, np.integer)) or (
        isinstance(value, (float, np.floating)) and float(value).is_integer()
    )
    return whole and not isinstance(value, bool)


def _as_channel_time(waveform: Tensor | np.ndarray) -> Tensor:
    """`waveform` as a `(channel, time)` float32 tensor, or InputError."""
    if isinstance(waveform, np.ndarray) and waveform.dtype.kind in "fiub":
        if waveform.dtype.kind == "f":  # of any width and byte order; torch knows fewer
            with np.errstate(over="ignore"):  # told as infinite
                waveform = waveform.astype(np.float32, copy=not waveform.flags.writeable)
        waveform = torch.as_tensor(np.ascontiguousarray(waveform))
    if not isinstance(waveform, Tensor):
        raise InputError(f"'waveform' must be a tensor or an array, got {type(waveform).__name__}.")
    shape = tuple(waveform.shape)
    if not waveform.is_floating_point():
        raise InputError(
            f"'waveform' must hold floats between -1 and 1, got {waveform.dtype}; "
            "divide integers by their largest value first."
        )
    if waveform.ndim not in (1, 2) or 0 in shape:
        raise InputError(
            f"'waveform' must be (channel, time) or (time,), with at least one sample, got {shape}."
        )
    if waveform.ndim == 2 and shape[0] > shape[1]:
        raise InputError(f"'waveform' must have channels first, (channel, time), got {shape}.")
    if waveform.ndim == 1:
        waveform = waveform[None]  # (1, time)
    return waveform.detach().float()  # (channel, time)


def _name(file: Mapping) -> str:
    path = file.get("audio", None)
    return repr(str(path)) if isinstance(path, (str, os.PathLike)) else repr(str(file["uri"]))


@contextmanager
def opened(file: Mapping) -> Iterator[Sound]:
    """Open a validated file."""
    with open_sound(file["audio"], _name(file)) as sound:
        yield sound


def _as_tensor(samples: np.ndarray) -> Tensor:
    """(time, channel) samples as a (channel, time) tensor; one channel is not copied."""
    return torch.from_numpy(np.ascontiguousarray(samples.T))


def _check_samples(waveform: Tensor, sample_rate: int, file: Mapping, start: int = 0) -> None:
    """Raise InputError at the first sample that is NaN or infinite; `start` is in samples."""
    for part in waveform.split(60 * sample_rate, dim=1):  # hours at once would be copied
        finite = torch.isfinite(part).all(dim=0)  # (time,)
        if not finite.all():
            first = (start + int((~finite).nonzero()[0])) / sample_rate
            raise InputError(f"{_name(file)} has a NaN or infinite sample at {first:.3f} s.")
        start += part.shape[1]


def _place(
    segment: Segment, frames: int, sample_rate: int, mode: str, file: Mapping
) -> tuple[int, int, tuple[int, int]]:
    """Where `segment` lies in a file of `frames` samples.

    Returns
    -------
    start, stop : int
        Samples to read.
    pad : (int, int)
        Zeros to add before and after them.
    """
    first = round(float(segment.start) * sample_rate)
    last = first + round(float(segment.duration) * sample_rate)
    if mode == "raise" and (first < 0 or last > frames + 1):
        raise InputError(
            f"segment {segment.start:.3f} to {segment.end:.3f} s is not inside {_name(file)}, "
            f"which lasts {frames / sample_rate:.3f} s."
        )
    start, stop = min(max(first, 0), frames), min(max(last, 0), frames)
    before = min(max(0, -first), last - first)
    return start, stop, (before, last - first - before - (stop - start))
