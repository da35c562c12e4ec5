"""Encoding: audio files whose bytes depend on nothing but the samples."""

import zlib
from pathlib import Path

import numpy as np
import soundfile as sf

from ...io.atomic import atomic_write
from ..slices import SAMPLE_RATE

# Name, which is also the file's extension -> format and subtype of libsndfile.
FORMATS = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS"), "wav": ("WAV", "PCM_16")}
BLOCK = 60 * SAMPLE_RATE  # samples written at once
OGG_SERIAL = 0  # of the only stream in a file


def write_audio(path: Path, audio: np.ndarray) -> None:
    """Write a file, all of it or nothing; its extension names one of `FORMATS`.

    Parameters
    ----------
    path : Path
    audio : ndarray
        (samples,) float32 at 16 kHz within -1..1.
    """
    kind, subtype = FORMATS[path.suffix[1:]]
    with atomic_write(path) as part:
        with sf.SoundFile(part, "w", SAMPLE_RATE, 1, subtype, format=kind) as file:
            for first in range(0, len(audio), BLOCK):
                file.write(audio[first : first + BLOCK])
        if kind == "OGG":  # libsndfile numbers the stream by the clock
            part.write_bytes(with_serial(part.read_bytes(), OGG_SERIAL))


def write_text(path: Path, text: str) -> None:
    """Write a file, all of it or nothing."""
    with atomic_write(path) as part:
        part.write_text(text)


def with_serial(ogg: bytes, serial: int) -> bytes:
    """An Ogg file of one stream, with another serial number (RFC 3533, section 6)."""
    pages, position = [], 0
    while position < len(ogg):
        num_segments = ogg[position + 26]
        body = position + 27 + num_segments
        end = body + sum(ogg[position + 27 : body])
        page = bytearray(ogg[position:end])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)  # the checksum is taken with zeros in its place
        page[22:26] = _crc(bytes(page)).to_bytes(4, "little")
        pages.append(bytes(page))
        position = end
    return b"".join(pages)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _crc(data: bytes) -> int:
    """Ogg's checksum: zlib's polynomial, its bits in the other order, beginning with 0."""
    mirrored = zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
