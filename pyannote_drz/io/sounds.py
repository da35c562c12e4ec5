"""Sounds: samples of anything that is a sound file, in blocks, to their end.

libsndfile decodes; how much there is, containers.py counts. What goes wrong on the way, in a file
of the caller's too, is an error: never a shorter recording.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from .containers import UNKNOWN, Part, is_possible, parts_of
from .errors import InputError, one_line

BLOCK = 2**18  # frames read at once: 16 s at 16 kHz
IN_MEMORY = 2**26  # bytes of a pipe; what is longer goes to the disk


class Sound:
    """An open sound file.

    Attributes
    ----------
    name : str
        For messages.
    rate : int
        In Hz.
    channels : int
    num_frames : int or None
        None where only reading to the end can tell.
    """

    def __init__(self, source: Guarded | str, parts: list[Part], num_bytes: int, name: str):
        self.source, self.parts, self.name = source, parts, name
        kinds = []
        self.num_frames: int | None = 0
        for part in parts:
            with self._decoder(part) as decoder:
                kinds.append((decoder.samplerate, decoder.channels))
                num_frames = part.num_frames or decoder.frames
            if num_frames >= UNKNOWN:
                self.num_frames = None
            elif not is_possible(num_frames, num_bytes):
                raise InputError(
                    f"{name} claims {num_frames} samples in a file of {num_bytes} bytes, which "
                    f"cannot hold as many."
                )
            elif self.num_frames is not None:
                self.num_frames += num_frames
        if len(set(kinds)) > 1:
            told = " and ".join(f"{rate} Hz, {channels} channels" for rate, channels in kinds[:2])
            raise InputError(f"{name} holds several recordings in a row, of {told}.")
        [(self.rate, self.channels)] = set(kinds)

    @contextmanager
    def _decoder(self, part: Part) -> Iterator[soundfile.SoundFile]:
        source = self.source if part.source is None else BytesIO(part.source)
        if isinstance(source, Guarded):
            source.seek(0)
        try:
            with soundfile.SoundFile(source) as decoder:
                yield decoder
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a headerless .raw
            self._raise_of_file()
            raise InputError(
                f"cannot read {self.name} as audio (wav, flac, ogg, opus and mp3 are known): "
                f"{getattr(error, 'error_string', error)}"
            ) from error
        self._raise_of_file()

    def _raise_of_file(self) -> None:
        if isinstance(self.source, Guarded):
            self.source.raise_kept(self.name)

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples, as (frames, channels) float32 arrays.

        Raises
        ------
        InputError
            The file is damaged, or ends before it should.
        """
        for part in self.parts:
            with self._decoder(part) as decoder:
                yield from self._blocks(decoder, part)

    def _blocks(self, decoder: soundfile.SoundFile, part: Part) -> Iterator[np.ndarray]:
        claimed = part.num_frames or decoder.frames
        is_open, heard = claimed >= UNKNOWN, 0
        while True:
            block = np.full((BLOCK, self.channels), np.nan, dtype=np.float32)
            try:
                count = decoder.buffer_read_into(block, "float32")
            except soundfile.LibsndfileError as error:
                self._raise_of_file()
                # At the end of a flac of open length libsndfile errs, though all was decoded.
                lost = np.isnan(block).all(axis=1)
                count = int(lost.argmax()) if lost.any() else len(block)
                if not is_open or not heard + count:
                    why = error.error_string
                    raise self._damaged(heard + count, claimed, why) from error
                yield block[:count]
                return
            self._raise_of_file()
            if not count:
                break
            heard += count
            yield block[:count]
        # An encoder's delay may be counted in the header of an MP3, or not.
        if not is_open and heard < claimed - 4 * 1152:
            raise self._damaged(heard, claimed, "the rest is missing")
        if heard == 0:
            raise InputError(f"audio file {self.name} holds no sample.")

    def _damaged(self, heard: int, claimed: int, why: str) -> InputError:
        whole = "" if claimed >= UNKNOWN else f" of {claimed / self.rate:.3f} s"
        return InputError(
            f"{self.name} is damaged: it can be read up to {heard / self.rate:.3f} s{whole} "
            f"({why or 'lost sync'})."
        )

    def count(self) -> int:
        """Number of frames; read to the end where the header does not tell."""
        if self.num_frames is None:
            self.num_frames = sum(len(block) for block in self.blocks())
        return self.num_frames

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames from `start` to `stop`, as a (frames, channels) float32 array.

        Raises
        ------
        InputError
            The file is damaged, or ends before `stop`.
        """
        if start == 0 and stop is None:
            return self._all()
        stop = self.count() if stop is None else stop
        is_plain = len(self.parts) == 1 and self.parts[0] == Part() and self.num_frames is not None
        if not is_plain:  # where frames are is only known from the beginning
            return self._all()[start:stop]
        with self._decoder(self.parts[0]) as decoder:
            decoder.seek(start)
            block = np.empty((stop - start, self.channels), dtype=np.float32)
            try:
                count = decoder.buffer_read_into(block, "float32") if len(block) else 0
            except soundfile.LibsndfileError as error:
                self._raise_of_file()
                raise self._damaged(start, self.num_frames, error.error_string) from error
            self._raise_of_file()
        if count < len(block) - 4 * 1152 or (len(block) and not count):
            raise self._damaged(start + count, self.num_frames, "the rest is missing")
        block[count:] = 0
        return block

    def _all(self) -> np.ndarray:
        """All samples; hours of audio are in memory once where the header tells how many."""
        if self.num_frames is None:
            return np.concatenate(list(self.blocks()))
        try:
            samples = np.empty((self.num_frames, self.channels), dtype=np.float32)
        except MemoryError as error:
            seconds = self.num_frames / self.rate
            raise InputError(
                f"{self.name} lasts {seconds:.0f} s, more than memory holds."
            ) from error
        place = 0
        for block in self.blocks():
            block = block[: len(samples) - place]
            samples[place : place + len(block)] = block
            place += len(block)
        return samples[:place]


class Guarded:
    """A binary file of the caller's that keeps what it raises: libsndfile's callbacks lose it."""

    def __init__(self, file: BinaryIO):
        self.file, self.error = file, None

    def raise_kept(self, name: str) -> None:
        """Raise what the file raised, if it did."""
        if self.error is None:
            return
        if not isinstance(self.error, Exception):  # Ctrl-C
            raise self.error
        raise InputError(f"{name} cannot be read: {one_line(self.error)}") from self.error

    def read(self, size: int = -1) -> bytes:
        try:
            content = bytearray()
            while size < 0 or len(content) < size:  # some give less than they are asked for
                more = self.file.read(size - len(content) if size >= 0 else -1)
                if not isinstance(more, (bytes, bytearray, memoryview)):
                    raise TypeError(f"it gives {type(more).__name__} instead of bytes")
                if not more:
                    break
                content += more
            return bytes(content)
        except BaseException as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            self.file.seek(offset, whence)  # some give nothing back
            return self.file.tell()
        except BaseException as error:
            self.error = error
            return 0

    def tell(self) -> int:
        return self.seek(0, os.SEEK_CUR)

    def write(self, content: bytes) -> int:  # soundfile asks whether there is one
        raise OSError("a recording is not written to")


def is_file_object(source: object) -> bool:
    """Whether that is read like an open file, whatever its class."""
    return callable(getattr(source, "read", None)) and not isinstance(source, type)


@contextmanager
def open_sound(source: str | os.PathLike | BinaryIO, name: str) -> Iterator[Sound]:
    """Open a path, a pipe, or an open binary file, which is left rewound.

    Parameters
    ----------
    source : path or binary file
    name : str
        For messages.

    Raises
    ------
    InputError
        It is no sound file that libsndfile knows, was cut, or holds no sample.
    """
    if is_file_object(source):
        with seekable(source) as file:
            guarded = Guarded(file)
            try:
                yield _sound(guarded, guarded, name)
            finally:
                if file is source and guarded.error is None:
                    file.seek(0)
        return
    path = Path(source)
    try:
        with path.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield _sound(str(path), Guarded(file), name)
                return
            with seekable(file) as whole:
                guarded = Guarded(whole)
                yield _sound(guarded, guarded, name)
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error


def _sound(source: Guarded | str, file: Guarded, name: str) -> Sound:
    num_bytes = file.seek(0, os.SEEK_END)
    file.raise_kept(name)
    if num_bytes == 0:
        raise InputError(f"cannot read {name} as audio: the file is empty.")
    try:
        parts = parts_of(file, name)
    finally:
        file.raise_kept(name)
    sound = Sound(source, parts, num_bytes, name)
    if sound.num_frames == 0:
        raise InputError(f"audio file {name} holds no sample.")
    return sound


@contextmanager
def seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The same file, or if it is a pipe all that it gives, which longer ones keep on the disk."""
    can_seek = getattr(file, "seekable", None)
    if callable(getattr(file, "seek", None)) and (can_seek is None or can_seek()):
        yield file
        return
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as whole:
        while block := file.read(2**20):
            whole.write(block)
        yield whole
