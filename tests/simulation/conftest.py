"""A tiny bank of made-up voices: bursts of harmonics between pauses."""

import numpy as np
import pytest
import soundfile as sf

from pyannote_drz.simulation import VoiceBank


def voice(seed: int, seconds: float = 20.0) -> np.ndarray:
    """Words of 0.4 to 1.6 s between pauses of 0.2 to 0.4 s, (samples,)."""
    rng = np.random.default_rng(seed)
    pitch, parts, total = rng.uniform(80, 250), [], 0.0
    while total < seconds:
        length, pause = rng.uniform(0.4, 1.6), rng.uniform(0.2, 0.4)
        t = np.arange(int(length * 16000)) / 16000
        tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 10))
        parts += [0.1 * tone * np.sqrt(np.hanning(len(t))), np.zeros(int(pause * 16000))]
        total += length + pause
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="session")
def voice_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    files = []
    for k in range(10):
        audio = voice(k) * 10 ** (-k / 20)  # files differ in level
        sf.write(folder / f"{k}.wav", audio, 16000)
        half = len(audio) / 32000
        files.append(
            (folder / f"{k}.wav", f"speaker{k}", "ab"[k % 2], [(0, half), (half, 2 * half)])
        )
    return files


@pytest.fixture(scope="session")
def bank(voice_files):
    return VoiceBank.from_files(voice_files)
