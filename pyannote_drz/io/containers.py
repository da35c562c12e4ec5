"""Containers: what a sound file holds, counted rather than believed.

The length in a header is a guess where a program wrote to a pipe, was stopped, or joined two files.
libsndfile stops where the header says. So headers are compared with what follows them:

    wav    a data chunk that goes beyond the file was cut; lengths that pipes are given are none
    flac   no length is none; one that so few bytes cannot hold is refused
    ogg    files in a row are read one after the other; a page that is cut is told
    mp3    frames are counted, and a header that tells their number is put before them
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from .errors import InputError

MOST_PER_BYTE = 8192  # samples; the shortest frame of flac, 8 bytes, holds up to 65535
OPEN = {0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFFFFE}  # lengths that pipes are given; rounded
UNKNOWN = 2**62  # frames; libsndfile has its largest number for an unknown length


class Part(NamedTuple):
    """What libsndfile reads in one go.

    source : bytes, or None for the whole file as it is
    num_frames : int or None, as counted here; None where the header is not doubted
    """

    source: bytes | None = None
    num_frames: int | None = None


def parts_of(file: BinaryIO, name: str) -> list[Part]:
    """Parts of a sound file, to be read one after the other.

    Parameters
    ----------
    file : binary file
        Seekable.
    name : str
        For messages.

    Raises
    ------
    InputError
        It was cut.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(4)
    if start in (b"RIFF", b"RIFX"):
        check_wav(file, size, name)
    elif start == b"OggS":
        return ogg_parts(file, size, name)
    elif start[:3] == b"ID3" or (start[:1] == b"\xff" and len(start) == 4 and mp3_frame(start)):
        return mp3_parts(file, name)
    return [Part()]


# ---- wav ----------------------------------------------------------------------------------------


def check_wav(file: BinaryIO, size: int, name: str) -> None:
    """Raise InputError if the samples were cut: fewer bytes are there than the header says."""
    order = ">" if file.seek(0) == 0 and file.read(4) == b"RIFX" else "<"
    place = 12
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        if kind == b"data":
            there = size - place - 8
            if length > there and length not in OPEN and length < 0xFFFFF000:
                raise InputError(
                    f"{name} was cut: {there} bytes of samples are there of {length}, the rest "
                    f"is missing."
                )
            return
        place += 8 + length + length % 2


# ---- ogg ----------------------------------------------------------------------------------------


def ogg_parts(file: BinaryIO, size: int, name: str) -> list[Part]:
    """An Ogg, or several in a row, as internet radio and `cat` make them."""
    starts, place, began = [], 0, False  # began: the headers of a stream are over
    while place + 27 <= size:
        file.seek(place)
        head = file.read(27)
        if head[:4] != b"OggS":
            raise InputError(f"{name} is damaged: at byte {place} a page of Ogg should begin.")
        lengths = file.read(head[26])
        is_first = bool(head[5] & 2)
        if is_first and (began or not starts):
            starts.append(place)
        began = not is_first
        end = place + 27 + len(lengths) + sum(lengths)
        if end > size or len(lengths) < head[26]:
            raise InputError(f"{name} was cut: its last page, at byte {place}, is not whole.")
        place = end
    if len(starts) < 2:
        return [Part()]
    parts = []
    for start, end in zip(starts, [*starts[1:], place]):
        file.seek(start)
        parts.append(Part(file.read(end - start)))
    return parts


# ---- mp3 ----------------------------------------------------------------------------------------

# ISO 11172-3, 2.4.2.3, and its extensions: kbit/s by index, for MPEG 1 and for 2 and 2.5.
KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class Mp3Frame(NamedTuple):
    """Header of a frame of MPEG layer 3; rate in Hz, length in bytes, side information too."""

    rate: int
    channels: int
    length: int
    samples: int
    side: int


def mp3_frame(head: bytes) -> Mp3Frame | None:
    """What four bytes say, if they begin a frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
        return None
    first, channels = version == 3, 1 if head[3] >> 6 == 3 else 2
    hertz = RATES[version][rate]
    samples = 1152 if first else 576
    length = samples // 8 * 1000 * KBITS[first][bits] // hertz + padding
    side = (32 if channels == 2 else 17) if first else (17 if channels == 2 else 9)
    return Mp3Frame(hertz, channels, length, samples, side)


def mp3_frames(content: bytes) -> Iterator[tuple[int, Mp3Frame]]:
    """Frames with their places, those that only tell of the others left out; tags are skipped."""
    place, sure = 0, False
    while (place := _next_frame(content, place, sure)) is not None:
        frame = mp3_frame(content[place : place + 4])
        tells = content[place + 4 + frame.side : place + 8 + frame.side] in (b"Xing", b"Info")
        if not tells and place + frame.length <= len(content):
            yield place, frame
        place += frame.length
        sure = True


def _next_frame(content: bytes, place: int, sure: bool) -> int | None:
    """Where the next frame begins: at once, after a tag, or where two are in a row."""
    while place + 4 <= len(content):
        if content[place : place + 3] == b"ID3" and len(content) >= place + 10:
            size = 0
            for byte in content[place + 6 : place + 10]:
                size = size << 7 | byte & 0x7F
            place, sure = place + 10 + size, False
            continue
        frame = mp3_frame(content[place : place + 4])
        if frame and sure:
            return place
        if frame:
            after = content[place + frame.length : place + frame.length + 4]
            if len(after) < 4 or mp3_frame(after) or after[:3] in (b"ID3", b"TAG", b"APE"):
                return place
        sure = False
        place = content.find(b"\xff", place + 1)
        if place < 0:
            return None
    return None


def mp3_parts(file: BinaryIO, name: str) -> list[Part]:
    """Frames of an MP3 as counted, behind a header of ours that tells how many there are."""
    file.seek(0)
    content = file.read()
    frames = list(mp3_frames(content))
    if not frames:
        return [Part()]
    told = _told(content)
    first = frames[0][1]
    place = 0
    for _, frame in frames:
        if (frame.rate, frame.channels) != (first.rate, first.channels):
            raise InputError(
                f"{name} changes from {first.rate} Hz, {first.channels} channels, to {frame.rate} "
                f"Hz, {frame.channels} channels, after {place / first.rate:.1f} s."
            )
        place += frame.samples
    if told is not None and told > len(frames) + 1:
        raise InputError(
            f"{name} was cut: {len(frames)} frames are there of {told}, the rest is missing."
        )
    if told is not None and told >= len(frames) - 1:
        return [Part()]
    pieces = [_header(content, frames)]
    pieces += [content[place : place + frame.length] for place, frame in frames]
    return [Part(b"".join(pieces), len(frames) * first.samples)]


def _told(content: bytes) -> int | None:
    """Number of frames according to the file itself, if it says so."""
    place = _next_frame(content, 0, False)
    if place is None:
        return None
    frame = mp3_frame(content[place : place + 4])
    tag = place + 4 + frame.side
    if content[tag : tag + 4] not in (b"Xing", b"Info") or not content[tag + 7] & 1:
        return None
    return int.from_bytes(content[tag + 8 : tag + 12], "big")


def _header(content: bytes, frames: list[tuple[int, Mp3Frame]]) -> bytes:
    """A silent frame that tells the number of frames, as Xing and LAME write it."""
    head = bytearray(content[frames[0][0] : frames[0][0] + 4])
    head[1] |= 1  # no checksum
    for bits in range(1, 15):  # the shortest that holds it
        head[2] = bits << 4 | head[2] & 0x0C
        frame = mp3_frame(bytes(head))
        if frame.length >= 4 + frame.side + 12:
            break
    tag = b"Xing" + struct.pack(">II", 1, len(frames))
    return (bytes(head) + bytes(frame.side) + tag).ljust(frame.length, b"\0")


def is_possible(num_frames: int, num_bytes: int) -> bool:
    """Whether so few bytes can hold so many frames."""
    return num_frames <= MOST_PER_BYTE * num_bytes
