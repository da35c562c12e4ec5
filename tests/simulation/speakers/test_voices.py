"""Voices: pieces hold speech and only speech; caches hold what was read."""

import csv

import numpy as np
import pytest
import soundfile
import torch

from pyannote_drz.io.errors import InputError
from pyannote_drz.simulation import VoiceBank
from pyannote_drz.simulation.speakers.voices import read_mono


def test_pieces(bank):
    assert len(bank) == 10
    assert bank.samples.dtype == torch.int16
    assert (bank.speech_s > 10).all()
    ends = bank.pieces["start"] + bank.pieces["length"]
    assert (bank.pieces["start"][1:] == ends[:-1]).all() and ends[-1] == len(bank.samples)
    for k in range(len(bank)):
        pieces = bank.pieces_of(k)
        assert (pieces["speaker"] == k).all()
        assert (pieces["length"] / 16000).max() < 1.8  # no pause is inside
        assert len(set(pieces["utterance"])) == 2
        audio = np.concatenate(
            [bank.samples[p["start"] : p["start"] + p["length"]] * p["gain"] for p in pieces]
        )
        assert 0.9 < np.sqrt((audio**2).mean()) < 1.1  # all at one level


def test_cache(voice_files, bank, tmp_path):
    first = VoiceBank.cached(voice_files, tmp_path)
    again = VoiceBank.cached(voice_files, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for other in (first, again):
        assert torch.equal(other.samples, bank.samples)
        assert (other.pieces == bank.pieces).all()
        assert (other.speakers, other.sources) == (bank.speakers, bank.sources)
    assert len(VoiceBank.cached(voice_files[:3], tmp_path)) == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="list of files is empty"):
        VoiceBank.from_files([])
    with pytest.raises(ValueError, match="nowhere.wav' of voice 'x' is missing"):
        VoiceBank.from_files([("nowhere.wav", "x", "s", [(0, 1)])])
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="cannot be read"):
        VoiceBank.from_files([(tmp_path / "text.wav", "x", "s", [(0, 1)])])


def test_real_voices(shared):
    with (shared / "voices/utterances.csv").open() as rows:
        rows = [row for row in csv.DictReader(rows) if row["subset"] == "development"][:20]
    files = [
        (
            shared / f"voices/audio/{row['uri']}.opus",
            row["uri"],
            row["source"],
            [(float(row["start_s"]), float(row["start_s"]) + float(row["duration_s"]))],
        )
        for row in rows
    ]
    bank = VoiceBank.from_files(files)
    assert set(bank.speakers) == {row["uri"] for row in rows}
    assert (bank.speech_s > 0.5).all()


def test_speeds_make_other_people(bank, voice_files, tmp_path):
    more = bank.at_speeds([1.25])
    assert len(more) == 2 * len(bank) and len(more.pieces) == 2 * len(bank.pieces)
    assert more.speakers[len(bank)] == f"{bank.speakers[0]} x 1.25"
    assert more.sources[len(bank) :] == bank.sources
    assert (more.pieces["start"] + more.pieces["length"] <= len(more.samples)).all()
    np.testing.assert_allclose(more.speech_s[len(bank) :], bank.speech_s / 1.25, rtol=1e-3)
    assert not set(more.pieces["utterance"][len(bank.pieces) :]) & set(bank.pieces["utterance"])

    def pitch_hz(piece):
        spoken = more.samples[piece["start"] :][: piece["length"]].numpy() * 1.0
        spectrum = np.abs(np.fft.rfft(spoken, 2**18))
        return np.argmax(spectrum) * 16000 / 2**18

    for speaker in range(len(bank)):
        slow, fast = more.pieces_of(speaker), more.pieces_of(speaker + len(bank))
        longest = int(np.argmax(slow["length"]))
        assert pitch_hz(fast[longest]) == pytest.approx(1.25 * pitch_hz(slow[longest]), rel=0.02)

    cached = VoiceBank.cached(voice_files, tmp_path, speeds=[1.25])
    assert len(cached) == len(VoiceBank.cached(voice_files, tmp_path, speeds=[1.25])) == len(more)
    assert len(VoiceBank.cached(voice_files, tmp_path)) == len(bank)
    for speeds in ([1.0], [3.0], [0.9, 0.9]):
        with pytest.raises(ValueError, match="speed"):
            bank.at_speeds(speeds)


def test_channels_that_cancel(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    soundfile.write(tmp_path / "m.wav", np.stack([noise, -noise], axis=1), 16000, "FLOAT")
    with pytest.warns(UserWarning, match="channels cancel each other"):
        assert np.array_equal(read_mono(tmp_path / "m.wav"), noise)
    soundfile.write(tmp_path / "n.wav", np.stack([noise, noise], axis=1), 16000, "FLOAT")
    assert np.array_equal(read_mono(tmp_path / "n.wav"), noise)


def test_what_cannot_be_heard(tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, "FLOAT")
    with pytest.raises(InputError, match="NaN or infinite sample"):
        read_mono(tmp_path / "nan.wav")
    whole = tmp_path / "whole.wav"
    soundfile.write(whole, np.zeros(32000), 16000)
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:20000])
    with pytest.raises(InputError, match="cut.wav' cannot be read"):
        read_mono(tmp_path / "cut.wav")
