"""Voices that nobody has, on disk, as protocols of pyannote.database."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyannote.database import registry

from pyannote_drz.simulation import VoiceBank, VoiceFile

SAMPLE_RATE = 16000
SECONDS = 12.0


def voice(pitch_hz: float, resonance_hz: float, seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Words of a buzz between pauses, (samples,); pitch and resonance belong to the speaker."""
    rng = np.random.default_rng(seed)
    harmonics = np.arange(1, 20)[:, None]
    loudness = np.exp(-(((harmonics * pitch_hz - resonance_hz) / 500) ** 2)) + 0.03
    parts, total = [], 0.0
    while total < seconds:
        length, pause = rng.uniform(0.5, 1.5), rng.uniform(0.2, 0.3)
        time = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        buzz = (loudness * np.sin(2 * np.pi * pitch_hz * harmonics * time)).sum(0)
        buzz *= np.sqrt(np.hanning(len(time))) / np.abs(buzz).max()
        parts += [0.2 * buzz, np.zeros(int(pause * SAMPLE_RATE))]
        total += length + pause
    audio = np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]
    return (audio + 1e-4 * rng.standard_normal(len(audio))).astype(np.float32)


# Pitch and resonance of people as different as can be.
PEOPLE = [(90.0, 300.0), (220.0, 900.0), (130.0, 2000.0), (180.0, 3000.0)]

PROTOCOL = """
      {name}:
        scope: {scope}
        train: {{uri: {train}.lst, annotation: train.rttm, annotated: train.uem}}
        development: {{uri: dev.lst, annotation: dev.rttm, annotated: dev.uem}}
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """wavs, RTTM, lists and database.yml of TaskToy.SpeakerDiarization.*.

    Voices: four people; FileScope: their labels mean nothing; OneSpeaker: the first of them;
    Missing: one more, whose audio is nowhere; Real: conversations of two.
    """
    folder = tmp_path_factory.mktemp("voices")
    for subset in ("train", "dev"):
        uris = [f"{subset}{k}" for k in range(len(PEOPLE))]
        for k, (uri, (pitch_hz, resonance_hz)) in enumerate(zip(uris, PEOPLE)):
            seed = k + 10 * (subset == "dev")
            soundfile.write(folder / f"{uri}.wav", voice(pitch_hz, resonance_hz, seed), SAMPLE_RATE)
        real = f"{subset}-real"
        both = np.concatenate([voice(*PEOPLE[0], 20, 6.0), voice(*PEOPLE[1], 21, 6.0)])
        soundfile.write(folder / f"{real}.wav", both, SAMPLE_RATE)
        everybody = [*uris, real, "nowhere"]
        labels = [*uris, None, "nobody"]
        turns = [
            f"SPEAKER {uri} 1 0 {SECONDS} <NA> <NA> {label} <NA> <NA>"
            for uri, label in zip(everybody, labels)
            if label
        ]
        turns += [f"SPEAKER {real} 1 {6 * k} 6 <NA> <NA> {'xy'[k]} <NA> <NA>" for k in range(2)]
        (folder / f"{subset}.rttm").write_text("\n".join(turns) + "\n")
        annotated = [f"{uri} NA 0 {SECONDS}" for uri in everybody]
        (folder / f"{subset}.uem").write_text("\n".join(annotated) + "\n")
        (folder / f"{subset}.lst").write_text("\n".join(uris) + "\n")
        (folder / f"{subset}-one.lst").write_text(uris[0] + "\n")
        (folder / f"{subset}-missing.lst").write_text("\n".join([*uris, "nowhere"]) + "\n")
        (folder / f"{subset}-real.lst").write_text(real + "\n")
    protocols = [
        ("Voices", "global", "train"),
        ("FileScope", "file", "train"),
        ("OneSpeaker", "global", "train-one"),
        ("Missing", "global", "train-missing"),
        ("Real", "file", "train-real"),
    ]
    text = "Databases:\n  TaskToy: '{uri}.wav'\nProtocols:\n  TaskToy:\n    SpeakerDiarization:"
    for name, scope, train in protocols:
        part = PROTOCOL.format(name=name, scope=scope, train=train).rstrip()
        text += part.replace("dev.lst", "dev-real.lst") if name == "Real" else part
    (folder / "database.yml").write_text(text + "\n")
    return folder


@pytest.fixture
def toy(folder):
    """`toy("Voices")` is TaskToy.SpeakerDiarization.Voices."""
    registry.load_database(str(folder / "database.yml"))

    def protocol(name: str):
        from pyannote.database import FileFinder

        return registry.get_protocol(
            f"TaskToy.SpeakerDiarization.{name}", preprocessors={"audio": FileFinder()}
        )

    return protocol


@pytest.fixture(scope="session")
def bank(folder) -> VoiceBank:
    """The training voices."""
    files = [
        VoiceFile(folder / f"train{k}.wav", f"train{k}", "toy", [(0.0, SECONDS)])
        for k in range(len(PEOPLE))
    ]
    return VoiceBank.from_files(files)
