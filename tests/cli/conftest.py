"""Voices that nobody has, on disk, as a pyannote.database protocol: enough to train on."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra.core.global_hydra import GlobalHydra

from pyannote_drz.cli.train import main

SAMPLE_RATE = 16000


def voice(seed: int, duration_s: float) -> np.ndarray:
    """Syllables of a buzz whose pitch and resonance belong to the speaker."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    pitch_hz, resonance_hz = rng.uniform(90, 250), rng.uniform(400, 2500)
    harmonics = np.arange(1, 16)
    loudness = np.exp(-(((harmonics * pitch_hz - resonance_hz) / 600) ** 2)) + 0.05
    buzz = (loudness[:, None] * np.sin(2 * np.pi * pitch_hz * harmonics[:, None] * time)).sum(0)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)  # 4 a second
    return 0.1 * syllables * buzz / np.abs(buzz).max() + 1e-4 * rng.standard_normal(len(time))


def write_protocol(folder: Path, name: str = "Toy", num_speakers: int = 4) -> Path:
    """Write wavs, RTTM, lists and database.yml of `name`.SpeakerDiarization.Voices."""
    folder.mkdir(parents=True, exist_ok=True)
    for subset in ("train", "development"):
        uris, turns, annotated = [], [], []
        for speaker in range(num_speakers):
            uri = f"{subset}{speaker}"
            soundfile.write(
                folder / f"{uri}.wav", voice(speaker + 100 * (subset == "train"), 6), SAMPLE_RATE
            )
            uris.append(uri)
            turns.append(f"SPEAKER {uri} 1 0.2 5.6 <NA> <NA> {uri} <NA> <NA>")
            annotated.append(f"{uri} NA 0 6")
        (folder / f"{subset}.lst").write_text("\n".join(uris) + "\n")
        (folder / f"{subset}.rttm").write_text("\n".join(turns) + "\n")
        (folder / f"{subset}.uem").write_text("\n".join(annotated) + "\n")
    path = folder / "database.yml"
    path.write_text(
        f"Databases:\n  {name}: '{{uri}}.wav'\n"
        f"Protocols:\n  {name}:\n    SpeakerDiarization:\n      Voices:\n        scope: global\n"
        + "".join(
            f"        {s}: {{uri: {s}.lst, annotation: {s}.rttm, annotated: {s}.uem}}\n"
            for s in ("train", "development")
        )
    )
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """database.yml of CliToy.SpeakerDiarization.Voices."""
    return write_protocol(tmp_path_factory.mktemp("voices"), "CliToy")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run `pyannote-audio-train` as typed, in an empty folder, but without another Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.CACHE", tmp_path / "cache")

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["pyannote-audio-train", *map(str, arguments)])
        try:
            main()
        finally:
            GlobalHydra.instance().clear()

    return run
