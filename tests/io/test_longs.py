"""Long recordings are read piece by piece, and are what is read at once."""

import os
import threading

import numpy as np
import pytest
import soundfile
import torch

from pyannote_drz.io import longs
from pyannote_drz.io.audio import Audio
from pyannote_drz.io.errors import InputError
from pyannote_drz.io.longs import is_long, read_long, rewindable


def written(path, rate: int, channels: int, seconds: float = 7.3):
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((round(seconds * rate), channels))
    soundfile.write(path, noise, rate)
    return {"audio": str(path)}


@pytest.mark.parametrize("rate", [16000, 8000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_samples(tmp_path, monkeypatch, rate, channels):
    monkeypatch.setattr(longs, "PART_S", 1.0)
    monkeypatch.setattr(longs, "LONG_S", 7.0)
    file = written(tmp_path / "m.wav", rate, channels)
    assert is_long(file)
    found, expected = read_long(file, 16000), Audio(16000, mono="downmix")(file)[0][0]
    assert abs(len(found) - len(expected)) <= 2
    length = min(len(found), len(expected))
    difference = (found.read()[:length] - expected[:length]).abs()[:-1000]  # no end is padded alike
    assert difference.max() < (1e-6 if rate == 16000 else 1e-3)
    assert torch.equal(found[100:][:50], found.read()[100:150])
    assert torch.equal(torch.cat(list(found.split(1001))), found.read())
    assert len(found[10**9 :]) == 0 and len(found[10**9 : 10**9 + 1]) == 0


def test_one_channel(tmp_path):
    file = written(tmp_path / "m.wav", 16000, 2)
    second = read_long({**file, "channel": 1}, 16000).read()
    assert torch.equal(second, Audio(16000)(file)[0][1])
    with pytest.raises(InputError, match="there is no channel 2 among 0 to 1"):
        read_long({**file, "channel": 2}, 16000)


def test_short_ones_are_not_long(tmp_path):
    assert not is_long(written(tmp_path / "m.wav", 16000, 1))
    assert not is_long({"waveform": torch.zeros(1, 10), "sample_rate": 1})


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_a_pipe_is_kept_and_may_be_long(tmp_path, monkeypatch, container):
    monkeypatch.setattr(longs, "LONG_S", 7.0)
    file = written(tmp_path / "m.wav", 16000, 1)
    stored = tmp_path / "stored"
    soundfile.write(stored, soundfile.read(file["audio"])[0], 16000, format=container)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(stored.read_bytes()))
    feeder.start()
    with rewindable({"audio": str(pipe), "uri": "pipe"}) as kept:
        assert is_long(kept)
        found = read_long(kept, 16000).read()
    feeder.join()
    assert torch.equal(found, Audio(16000)(stored)[0][0])


def test_what_can_be_read_again_is_left_as_it_is(tmp_path):
    file = written(tmp_path / "m.wav", 16000, 1)
    known = {"waveform": torch.zeros(1, 10), "sample_rate": 1, "audio": "no longer there"}
    with rewindable(known) as same:
        assert same is known
    with rewindable(file) as same, open(file["audio"], "rb") as sound:
        assert same is file
        with rewindable({"audio": sound}) as opened:
            assert opened["audio"] is sound


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "m.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.0]), 16000, "FLOAT")
    with pytest.raises(InputError, match="NaN or infinite"):
        read_long({"audio": str(path)}, 16000)
