"""Encoding: files can be read, their bytes are those of the samples, nothing half-written stays."""

import numpy as np
import pytest
import soundfile as sf

from pyannote_drz.simulation.writing.encoding import FORMATS, with_serial, write_audio

RATE = 16000


@pytest.fixture(scope="module")
def audio():
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 200 * np.arange(65 * RATE) / RATE)
    return (0.1 * tone + 0.01 * rng.standard_normal(len(tone))).astype(np.float32)


@pytest.mark.parametrize("kind", FORMATS)
def test_same_samples_same_bytes(audio, tmp_path, kind):
    audio = audio[: 3 * RATE] if kind == "opus" else audio
    paths = [tmp_path / f"{k}.{kind}" for k in range(2)]
    for path in paths:
        write_audio(path, audio)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    read, rate = sf.read(paths[0], dtype="float32")
    assert rate == RATE and read.shape == audio.shape
    assert np.sqrt(np.mean((read - audio) ** 2)) < (0.02 if kind == "opus" else 1 / 32768)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"0.{kind}", f"1.{kind}"]


def test_checksums_are_those_of_libogg(audio, tmp_path):
    """The serial number that a file has already changes nothing, checksums included."""
    sf.write(tmp_path / "x.opus", audio[: 2 * RATE], RATE, format="OGG", subtype="OPUS")
    ogg = (tmp_path / "x.opus").read_bytes()
    serial = int.from_bytes(ogg[14:18], "little")
    assert with_serial(ogg, serial) == ogg
    assert with_serial(with_serial(ogg, 7), serial) == ogg != with_serial(ogg, 7)


def test_nothing_stays_of_a_failed_file(tmp_path, monkeypatch, audio):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(sf.SoundFile, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        write_audio(tmp_path / "x.flac", audio)
    assert not any(tmp_path.iterdir())
