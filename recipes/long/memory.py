"""Hours of audio, generated as they are read, through `pyannote-drz diarize`: peak memory, time.

    python recipes/long/memory.py --hours 24

Ten minutes each of a conversation, noise and silence, again and again, as a wav in a pipe.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

RATE = 16000
PART_S = 600


def feed(pipe: BinaryIO, hours: float, conversation: np.ndarray) -> None:
    """Write a wav of that many hours, of 16 bits, and close the pipe."""
    num_bytes = 2 * round(hours * 3600 * RATE)
    noise = np.random.default_rng(0).normal(0, 650, 60 * RATE)
    parts = [32767 * conversation, noise, np.zeros(1)]
    cycle = b"".join(np.resize(part.astype("<i2"), PART_S * RATE).tobytes() for part in parts)
    with pipe:
        pipe.write(b"RIFF" + struct.pack("<I", 36 + num_bytes) + b"WAVEfmt ")
        pipe.write(struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16))
        pipe.write(b"data" + struct.pack("<I", num_bytes))
        for first in range(0, num_bytes, len(cycle)):
            pipe.write(cycle[: num_bytes - first])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    hours = parser.parse_args().hours
    package = Path(importlib.util.find_spec("pyannote.audio").origin).parent  # imports nothing
    sample = package / "sample" / "sample.wav"
    conversation = soundfile.read(sample, dtype="float32")[0]
    began = time.monotonic()
    command = subprocess.Popen(
        [sys.executable, "-m", "pyannote_drz.cli.main", "diarize", "/dev/stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    threading.Thread(target=feed, args=(command.stdin, hours, conversation), daemon=True).start()
    rttm = command.stdout.read().decode()
    _, status, used = os.wait4(command.pid, 0)
    if status:
        sys.exit(f"diarize ended with {os.waitstatus_to_exitcode(status)}.")
    cpu_s = used.ru_utime + used.ru_stime
    speakers = {line.split()[7] for line in rttm.splitlines()}
    print(
        f"{hours:g} h in {time.monotonic() - began:.0f} s ({cpu_s:.0f} s of CPU, "
        f"{3600 * hours / cpu_s:.0f} x real time), from start to end of the command; "
        f"{len(rttm.splitlines())} turns of {len(speakers)} speakers; "
        f"peak {used.ru_maxrss * 1024 / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
