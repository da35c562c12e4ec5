"""Hours of audio, generated as they are read: peak memory and time of a pipeline.

    python recipes/long/memory.py --hours 24

Ten minutes each of a conversation, noise and silence, again and again, as a wav that nowhere is.
"""

from __future__ import annotations

import argparse
import io
import resource
import struct
import time
from pathlib import Path

import numpy as np
import pyannote.audio
import soundfile

import pyannote_drz
from pyannote_drz.pipelines.packaging import load_pretrained

RATE = 16000
PART_S = 600
HEADER = 44  # bytes


class Generated(io.RawIOBase):
    """A wav of that many hours, of 16 bits, made where it is read."""

    def __init__(self, hours: float, conversation: np.ndarray):
        self.num_bytes, self.at = 2 * round(hours * 3600 * RATE), 0
        self.header = b"RIFF" + struct.pack("<I", 36 + self.num_bytes) + b"WAVEfmt " + struct.pack(
            "<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16
        ) + b"data" + struct.pack("<I", self.num_bytes)  # fmt: skip
        noise = np.random.default_rng(0).normal(0, 650, 60 * RATE).astype("<i2")
        silence = bytes(2 * PART_S * RATE)
        speech = (32767 * conversation).astype("<i2")
        self.cycle = np.resize(speech, PART_S * RATE).tobytes()
        self.cycle += np.resize(noise, PART_S * RATE).tobytes() + silence

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, HEADER + self.num_bytes)[whence]
        return self.at

    def readinto(self, buffer) -> int:
        content = self.header[self.at : self.at + len(buffer)]
        if not content:
            place = (self.at - HEADER) % len(self.cycle)
            left = HEADER + self.num_bytes - self.at
            content = self.cycle[place : place + max(0, min(len(buffer), left))]
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--pipeline", type=Path, default=pyannote_drz.PRETRAINED)
    arguments = parser.parse_args()
    sample = Path(pyannote.audio.__file__).parent / "sample" / "sample.wav"
    file = Generated(arguments.hours, soundfile.read(sample, dtype="float32")[0])
    pipeline = load_pretrained(arguments.pipeline)
    before = peak_gb()
    steps: dict[str, float] = {}

    def hook(step: str, artifact, file=None, total=None, completed=None) -> None:
        steps[step] = peak_gb()

    began, cpu = time.monotonic(), time.process_time()
    output = pipeline({"audio": io.BufferedReader(file), "uri": "long"}, hook=hook)
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    told = ", ".join(f"{step} {peak:.2f}" for step, peak in steps.items())
    print(
        f"{arguments.hours:g} h in {took_s:.0f} s ({cpu_s:.0f} s of CPU, "
        f"{3600 * arguments.hours / cpu_s:.0f} x real time); "
        f"{len(output.speaker_diarization)} turns of {len(output.speaker_diarization.labels())} "
        f"speakers; peak {peak_gb():.2f} GB, {before:.2f} before; after {told}"
    )


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # KiB, as on Linux


if __name__ == "__main__":
    main()
