"""Sound files as people have them: read to their end, or refused in one sentence; nothing is lost."""

import io
import os
import re
import tempfile
import threading
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyannote.core import Segment

from pyannote_drz.io.audio import Audio
from pyannote_drz.io.errors import InputError

RATE = 16000
SECONDS = 4
KINDS = {
    "wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III"),
}  # fmt: skip


def sound(seed: int = 0, seconds: float = SECONDS, level: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (level * np.cumsum(noise - noise.mean()) / 30).clip(-1, 1).astype(np.float32)


def encoded(kind: str, samples: np.ndarray | None = None, rate: int = RATE, **more) -> bytes:
    file = io.BytesIO()
    container, subtype = KINDS[kind]
    samples = sound() if samples is None else samples
    soundfile.write(file, samples, rate, format=container, subtype=subtype, **more)
    return file.getvalue()


def without_length(flac: bytes) -> bytes:
    """As ffmpeg writes flac to a pipe."""
    content = bytearray(flac)
    content[21] &= 0xF0
    content[22:42] = bytes(20)
    return bytes(content)


def claiming(flac: bytes, number: int) -> bytes:
    content = bytearray(flac)
    content[21] = content[21] & 0xF0 | number >> 32
    content[22:26] = (number & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def wav_length(length: int) -> bytes:
    content = bytearray(encoded("wav"))
    content[4:8] = min(length + 36, 2**32 - 1).to_bytes(4, "little")
    content[40:44] = length.to_bytes(4, "little")
    return bytes(content)


def vbr(samples: np.ndarray) -> bytes:
    quiet = np.concatenate([samples[: len(samples) // 4] / 300, samples[len(samples) // 4 :]])
    content = encoded("mp3", quiet, bitrate_mode="VARIABLE", compression_level=0.1)
    return content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1)


ID3 = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)

# What a file holds, and how many seconds of it are heard.
WHOLE = {
    **{kind: (lambda kind=kind: encoded(kind), SECONDS) for kind in KINDS},
    "flac of open length": (lambda: without_length(encoded("flac")), SECONDS),
    "flac of open length, one block": (lambda: without_length(encoded("flac", sound()[:999])), 999 / RATE),
    "wav of a pipe": (lambda: wav_length(2**32 - 1), SECONDS),
    "wav of another pipe": (lambda: wav_length(0x7FFFFFFF), SECONDS),
    "two oggs": (lambda: encoded("ogg") + encoded("ogg"), 2 * SECONDS),
    "two opus": (lambda: encoded("opus") + encoded("opus", sound(1)), 2 * SECONDS),
    "three opus": (lambda: 3 * encoded("opus"), 3 * SECONDS),
    "mp3 of variable rate, no header": (lambda: vbr(sound()), SECONDS),
    "two mp3": (lambda: encoded("mp3") + encoded("mp3"), 2 * SECONDS),
    "two mp3 with tags": (lambda: ID3 + encoded("mp3") + ID3 + encoded("mp3") + b"TAG" + bytes(125), 2 * SECONDS),
    "mp3 after a tag": (lambda: ID3 + encoded("mp3"), SECONDS),
    "mp3 of 22 kHz, two": (lambda: 2 * encoded("mp3", rate=22050), 2 * SECONDS * RATE / 22050),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_all_of_it_is_heard(tmp_path, name):
    make, seconds = WHOLE[name]
    content = make()
    (tmp_path / "x.bin").write_bytes(content)
    for file in (tmp_path / "x.bin", io.BytesIO(content)):
        waveform, rate = Audio()(file)
        # Encoders add two frames of 72 ms at most, to each of the files that are one here.
        slack = 0.3 if "mp3" in name else 0.001
        assert waveform.shape[1] / rate == pytest.approx(seconds, abs=slack)
        assert Audio().get_duration(file) == pytest.approx(seconds, abs=slack)
        part, _ = Audio().crop(file, Segment(seconds / 2, seconds / 2 + 0.02))
        assert part.shape[1] == round(0.02 * rate)
        loud = waveform[0].square().mean()
        assert waveform[0, -rate // 2 :].square().mean() > loud / 100  # to the end


def half(kind: str) -> bytes:
    content = encoded(kind)
    return content[: len(content) // 2]


# What a file holds, and what is told.
REFUSED = {
    "half a wav": (lambda: half("wav"), "x.bin' was cut: 63"),
    "a wav without its last byte": (lambda: encoded("wav")[:-1], "was cut"),
    "half a flac": (lambda: half("flac"), "is damaged: it can be read up to"),
    "half an ogg": (lambda: half("ogg"), "was cut: its last page"),
    "half an opus": (lambda: half("opus"), "was cut: its last page"),
    "half an mp3": (lambda: half("mp3"), "was cut: "),
    "a flac that claims 2^36 samples": (lambda: claiming(encoded("flac"), 2**36 - 1)[:2000], "claims 68719476735 samples in a file of 2000 bytes, which cannot hold as many"),
    "a flac that claims an hour": (lambda: claiming(encoded("flac"), 3600 * RATE), "is damaged: it can be read up to 4.000 s of 3600.000 s"),
    "mp3 that changes its rate": (lambda: encoded("mp3") + encoded("mp3", rate=22050), "changes from 16000 Hz, 1 channels, to 22050 Hz"),
    "oggs of two kinds": (lambda: encoded("opus") + encoded("ogg", np.stack([sound()] * 2, 1)), "several recordings in a row"),
    "ogg and rubbish": (lambda: encoded("ogg") + 40 * b"x", "a page of Ogg should begin"),
    "nothing": (lambda: b"", "the file is empty"),
    "zeros": (lambda: bytes(5000), "cannot read"),
    "text": (lambda: b"Dear all,", "cannot read"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "cannot read"),
    "riff of nothing": (lambda: b"RIFF\xff\xff\xff\xffWAVE", "cannot read"),
    "an ogg page of nothing": (lambda: b"OggS" + bytes(23), "cannot read"),
    "one header of mp3": (lambda: encoded("mp3")[:4], "cannot read"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(tmp_path, name):
    make, said = REFUSED[name]
    (tmp_path / "x.bin").write_bytes(make())
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        Audio()(tmp_path / "x.bin")
    assert "\n" not in str(caught.value) and "x.bin" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), keep=st.floats(0, 1), head=st.integers(0, 60))  # fmt: skip
def test_flipped_and_cut(kind, flips, keep, head):
    """Any damage: samples, or one sentence; never another error."""
    content = bytearray(SAMPLES[kind])
    for at, byte in flips:
        content[int(at * (len(content) - 1))] = byte
    if flips:
        content[min(head, len(content) - 1)] = flips[0][1]
    content = bytes(content[: int(keep * 1.5 * len(content))])
    try:
        waveform, rate = Audio()(io.BytesIO(content))
        assert waveform.ndim == 2 and rate > 0
    except InputError as error:
        assert "\n" not in str(error)


SAMPLES = {kind: encoded(kind, sound(seconds=0.5)) for kind in KINDS}


# ---- files of others ----------------------------------------------------------------------------


class Failing(io.BytesIO):
    """Fails half-way, as a connection does."""

    def read(self, size=-1):
        if self.tell() > len(self.getvalue()) // 2:
            raise ConnectionResetError("connection reset by peer")
        return super().read(min(size, 4096) if size > 0 else 4096)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_fails_is_an_error(kind):
    with pytest.raises(InputError, match="connection reset by peer"):
        Audio()(Failing(encoded(kind)))


def test_ctrl_c_in_a_file_is_ctrl_c():
    class Interrupted(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 50_000:
                raise KeyboardInterrupt
            return super().read(size)

    with pytest.raises(KeyboardInterrupt):
        Audio()(Interrupted(encoded("wav")))


class Minimal:
    """Has what it needs, and no base class."""

    def __init__(self, content: bytes):
        self.read = io.BytesIO(content).read


@pytest.mark.parametrize("make", [tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile, tempfile.TemporaryFile])  # fmt: skip
def test_temporary_files(make):
    with make() as file:
        file.write(encoded("wav"))
        for what in (file, {"audio": file}):
            assert Audio()(what)[0].shape == (1, SECONDS * RATE)
            assert file.tell() == 0


def test_what_cannot_be_sought():
    assert Audio()(Minimal(encoded("flac")))[0].shape == (1, SECONDS * RATE)
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, encoded("opus")), os.close(writer)))
    thread.start()
    with open(reader, "rb") as file:
        assert Audio()(file)[0].shape == (1, SECONDS * RATE)
    thread.join()


def test_named_pipes_and_devices(tmp_path):
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(encoded("wav")))
    thread.start()
    assert Audio()(path)[0].shape == (1, SECONDS * RATE)
    thread.join()
    with pytest.raises(InputError, match="is a device"):
        Audio()("/dev/zero")


# ---- arrays -------------------------------------------------------------------------------------


def frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


ARRAYS = {
    "float64": lambda x: x.astype("float64"),
    "big-endian": lambda x: x.astype(">f4"),
    "long double": lambda x: x.astype(np.longdouble),
    "half": lambda x: x.astype(np.float16).astype(np.float16),
    "read-only": lambda x: frozen(x.copy()),
    "backwards": lambda x: x[::-1].copy()[::-1],
    "with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "float64 tensor": lambda x: torch.from_numpy(x).double(),
    "bfloat16 tensor": lambda x: torch.from_numpy(x).bfloat16(),
    "(1, time)": lambda x: x[None],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    waveform, _ = Audio()({"waveform": ARRAYS[name](sound()), "sample_rate": RATE})
    assert waveform.shape == (1, SECONDS * RATE) and waveform.dtype == torch.float32
    assert not waveform.requires_grad
    torch.testing.assert_close(waveform[0], torch.from_numpy(sound()), rtol=1e-2, atol=1e-3)


BAD_ARRAYS = {
    "integers": (np.zeros(9, np.int16), "must hold floats between -1 and 1, got torch.int16"),
    "complex": (np.zeros(9, complex), "must be a tensor or an array"),
    "text": (np.array(["a"]), "must be a tensor or an array"),
    "objects": (np.array([None]), "must be a tensor or an array"),
    "frames first": (np.zeros((9, 2), np.float32), "must have channels first"),
    "nothing": (np.zeros(0, np.float32), "with at least one sample"),
    "cube": (np.zeros((1, 1, 9), np.float32), "must be (channel, time) or (time,)"),
    "a list": ([0.0] * 9, "must be a tensor or an array, got list"),
    "nan": (np.full(9, np.nan, np.float32), "NaN or infinite sample at 0.000 s"),
    "beyond single precision": (np.full(9, 1e300), "NaN or infinite sample at 0.000 s"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(name):
    array, said = BAD_ARRAYS[name]
    with pytest.raises(InputError, match=re.escape(said)):
        Audio()({"waveform": array, "sample_rate": RATE})


# ---- channels -----------------------------------------------------------------------------------


def channels(*rows) -> dict:
    return {"waveform": np.stack(rows), "sample_rate": RATE}


x, y = sound(1), sound(2)
MIXED = {
    "one swapped": (channels(x, -x), x, True),
    "one swapped, quieter": (channels(x, -0.8 * x), x, True),
    "two of three": (channels(x, -x, 0 * x), x, True),
    "of four, all swapped in pairs": (channels(x, -x, x, -x), x, True),
    "the same": (channels(x, x), x, False),
    "one silent": (channels(x, 0 * x), x / 2, False),
    "one of four": (channels(0 * x, x, 0 * x, 0 * x), x / 4, False),
    "two people": (channels(x, y), (x + y) / 2, False),
    "silence": (channels(0 * x, 0 * x), 0 * x, False),
}


@pytest.mark.parametrize("name", MIXED)
def test_channels_that_cancel(name, recwarn):
    file, expected, told = MIXED[name]
    waveform, _ = Audio(mono="downmix")(file)
    np.testing.assert_allclose(waveform[0].numpy(), expected, atol=1e-6)
    assert bool([w for w in recwarn if "channels cancel each other" in str(w.message)]) == told


def test_channels_that_cancel_for_a_while(recwarn):
    """A phone call whose second half has a wire swapped."""
    other = x.copy()
    other[len(x) // 2 :] *= -1
    waveform, _ = Audio(mono="downmix")(channels(x, other))
    assert waveform.square().mean() > 0.9 * np.square(x).mean()
    assert [w for w in recwarn if "channels cancel each other" in str(w.message)]


# ---- length -------------------------------------------------------------------------------------


def test_hours_of_silence_take_no_memory_to_look_at(tmp_path):
    """20 h in a few MB: their length is told without hearing them."""
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(20 * 6):
            file.write(np.zeros(600 * 8000, np.int16))
    tracemalloc.start()
    assert Audio().get_duration(path) == 20 * 3600
    part, _ = Audio(sample_rate=RATE).crop(path, Segment(36000, 36001))
    assert tracemalloc.get_traced_memory()[1] < 50e6 and part.shape == (1, RATE)
    tracemalloc.stop()
