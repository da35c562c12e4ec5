import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pyannote.core import Segment
from pyannote.database.protocol.protocol import ProtocolFile

from pyannote_drz.io.audio import Audio

FORMATS = {  # extension -> libsndfile's format and subtype, and the relative error to allow
    "wav": ("WAV", "PCM_16", 1e-3),
    "flac": ("FLAC", "PCM_16", 1e-3),
    "ogg": ("OGG", "VORBIS", 0.1),  # one sample late at 16 kHz, a 440 Hz tone is 0.17 off
    "opus": ("OGG", "OPUS", 0.1),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.1),
}


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def tone(duration: float, sample_rate: int, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """(time, channel) sine; channel c has amplitude 0.4 / (c + 1)."""
    t = np.arange(round(duration * sample_rate)) / sample_rate
    levels = 0.4 / (1 + np.arange(channels))
    return (np.sin(2 * np.pi * hertz * t)[:, None] * levels).astype("float32")


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """One second of 44.1 kHz stereo; the right channel is half the left."""
    path = tmp_path / "stereo.wav"
    soundfile.write(path, tone(1.0, 44100, channels=2), 44100, subtype="FLOAT")
    return path


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("sample_rate", [8000, 16000, 48000])
def test_reads_each_format(tmp_path, extension, sample_rate):
    kind, subtype, tolerance = FORMATS[extension]
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(1.0, sample_rate), sample_rate, format=kind, subtype=subtype)

    waveform, rate = Audio(sample_rate=16000, mono="downmix")(path)

    assert rate == 16000 and waveform.dtype == torch.float32 and waveform.is_contiguous()
    assert abs(waveform.shape[1] - 16000) <= 1
    expected = torch.from_numpy(tone(1.0, 16000)[:, 0])
    middle = slice(2000, 14000)  # away from the codecs' and the resampler's edges
    assert relative_error(waveform[0, middle], expected[middle]) < tolerance
    assert Audio().get_duration(path) == pytest.approx(1.0, abs=1e-3)


def test_all_ways_in_give_the_same_samples(stereo):
    data = tone(1.0, 44100, channels=2)
    with open(stereo, "rb") as opened:
        opened.seek(100)  # a file that was read before
        files = [
            stereo,
            str(stereo),
            opened,
            io.BytesIO(stereo.read_bytes()),
            {"audio": stereo},
            {"audio": opened, "uri": "x"},
            {"waveform": torch.from_numpy(data.T.copy()), "sample_rate": 44100},
            {"waveform": data.T.astype("float64"), "sample_rate": np.int64(44100)},
            ProtocolFile({"uri": "x"}, lazy={"audio": lambda file: stereo}),
        ]
        for file in files:
            waveform, rate = Audio()(file)
            assert rate == 44100 and waveform.shape == (2, 44100)
            assert torch.allclose(waveform.T, torch.from_numpy(data), atol=1e-6)
            assert Audio().get_duration(file) == 1.0
            part, _ = Audio().crop(file, Segment(0.5, 0.75))
            assert torch.equal(part, waveform[:, 22050:33075])
        assert opened.tell() == 0


def test_open_mp3():
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(1.0, 16000), 16000, format="MP3")
    assert Audio()(buffer)[0].shape == (1, 16000)
    assert Audio().crop(buffer, Segment(0.2, 0.3))[0].shape == (1, 1600)


def test_validate_leaves_the_callers_mapping_alone(stereo):
    file = {"audio": stereo}
    assert Audio.validate_file(file)["uri"] == "stereo"
    assert file == {"audio": stereo}
    assert Audio.validate_file({"waveform": torch.zeros(9), "sample_rate": 8000})["uri"]
    complete = {"audio": stereo, "uri": "x"}
    assert Audio.validate_file(complete) is complete


def test_a_protocol_file_stays_lazy(stereo):
    asked = []
    lazy = {"audio": lambda file: stereo, "annotation": asked.append}
    file = ProtocolFile({"uri": "x"}, lazy=lazy)
    assert Audio.validate_file(file) is file
    assert not asked


def test_channels(stereo):
    both, _ = Audio()(stereo)
    assert both.shape[0] == 2
    right, _ = Audio(mono="downmix")({"audio": stereo, "channel": 1})
    assert torch.equal(right, both[1:])
    mean, _ = Audio(mono="downmix")(stereo)
    assert torch.allclose(mean, both.mean(dim=0, keepdim=True))
    one, _ = Audio(mono="random")(stereo)
    assert any(torch.equal(one[0], channel) for channel in both)
    with pytest.raises(ValueError, match="no channel 2 among 0 to 1"):
        Audio()({"audio": stereo, "channel": 2})


def test_one_dimension_is_one_channel():
    waveform, _ = Audio()({"waveform": np.zeros(100, "float32"), "sample_rate": 8000})
    assert waveform.shape == (1, 100)


@pytest.mark.parametrize("sample_rate", [7350, 22254, 44100, 96000])
def test_resampling_keeps_a_tone_and_its_time(sample_rate):
    file = {"waveform": tone(1.0, sample_rate).T, "sample_rate": sample_rate}
    waveform, _ = Audio(sample_rate=16000)(file)
    assert waveform.shape == (1, 16000)
    expected = torch.from_numpy(tone(1.0, 16000)[:, 0])
    assert (waveform[0, 500:-500] - expected[500:-500]).abs().max() < 1e-3


def test_resampling_never_leaves_nothing():
    file = {"waveform": torch.ones(1), "sample_rate": 48000}
    assert Audio(sample_rate=16000)(file)[0].shape == (1, 1)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_crop_is_that_part_of_the_whole(tmp_path, extension):
    kind, subtype, tolerance = FORMATS[extension]
    path = tmp_path / f"noise.{extension}"
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    soundfile.write(path, noise, 16000, format=kind, subtype=subtype)
    whole, _ = Audio()(path)
    part, _ = Audio().crop(path, Segment(1.5, 2.25))
    assert part.shape == (1, 12000)
    assert relative_error(part, whole[:, 24000:36000]) < tolerance


@pytest.mark.parametrize("in_memory", [False, True])
def test_crop_beyond_the_file(stereo, in_memory):
    file = stereo
    if in_memory:
        file = dict(zip(("waveform", "sample_rate"), Audio()(stereo), strict=True))
    whole, _ = Audio()(file)
    audio = Audio(sample_rate=16000, mono="downmix")

    before, _ = Audio().crop(file, Segment(-0.5, 0.5), mode="pad")
    assert torch.equal(before, torch.cat([torch.zeros(2, 22050), whole[:, :22050]], dim=1))
    after, _ = Audio().crop(file, Segment(0.5, 1.5), mode="pad")
    assert torch.equal(after, torch.cat([whole[:, 22050:], torch.zeros(2, 22050)], dim=1))
    around, _ = audio.crop(file, Segment(-1.0, 4.0), mode="pad")
    assert around.shape == (1, 80000)
    for outside in (Segment(2, 3), Segment(-3, -2)):
        assert not audio.crop(file, outside, mode="pad")[0].any()

    for outside in (Segment(-0.5, 0.5), Segment(0.5, 1.5), Segment(2, 3)):
        with pytest.raises(ValueError, match="is not inside .* which lasts 1.000 s"):
            audio.crop(file, outside)
    assert audio.crop(file, Segment(0, 1))[0].shape == (1, 16000)  # up to the end is inside
    with pytest.raises(ValueError, match="empty segment"):
        audio.crop(file, Segment(0.5, 0.5))
    with pytest.raises(ValueError, match="mode must be 'raise' or 'pad', got 'wrap'"):
        audio.crop(file, Segment(0, 1), mode="wrap")


def test_crop_has_exactly_the_samples_of_its_duration(stereo):
    audio = Audio(sample_rate=16000, mono="downmix")
    for start in np.linspace(0, 0.3, 23):
        waveform, _ = audio.crop(stereo, Segment(start, start + 0.1234))
        assert waveform.shape == (1, round(0.1234 * 16000))


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_bad_files_are_named(tmp_path):
    audio = Audio(sample_rate=16000)
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros((0, 1)), 16000)
    broken = np.zeros(16000, "float32")
    broken[8000] = np.nan
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, broken, 16000, subtype="FLOAT")
    cases = [
        (tmp_path / "missing.wav", "missing.wav' does not exist"),
        (tmp_path, "is a folder"),
        (write_bytes(tmp_path / "text.wav", b"not audio at all"), "cannot read .*text.wav' as"),
        (write_bytes(tmp_path / "nothing.wav", b""), "cannot read .*nothing.wav' as"),
        (write_bytes(tmp_path / "nothing.raw", b"\0\0"), "cannot read .*nothing.raw' as"),
        (empty, "empty.wav' holds no sample"),
        (nan, "nan.wav' has a NaN or infinite sample at 0.500 s"),
        (io.BytesIO(b"junk"), "cannot read 'stream' as audio"),
        (io.StringIO("junk"), "must be binary and seekable"),
        (3, "got int"),
        ({}, r"must have 'audio' or 'waveform', got only \[\]"),
        ({"audio": None}, "got NoneType"),
    ]
    for file, message in cases:
        with pytest.raises(ValueError, match=message):
            audio(file)
        if file is not nan:
            with pytest.raises(ValueError, match=message):
                audio.get_duration(file)
    assert audio.crop(nan, Segment(0, 0.25))[0].shape == (1, 4000)
    with pytest.raises(ValueError, match="at 0.500 s"):
        audio.crop(nan, Segment(0.4, 0.6))


@pytest.mark.parametrize(
    "waveform, sample_rate, message",
    [
        (torch.zeros(1, 100), None, "sample_rate=None"),
        (torch.zeros(1, 100), 0, "sample_rate=0"),
        (torch.zeros(1, 100), True, "sample_rate=True"),
        (torch.zeros(1, 100), 16000.5, "sample_rate=16000.5"),
        (torch.zeros(100, 2), 16000, r"channels first, \(channel, time\), got \(100, 2\)"),
        (torch.zeros(1, 1, 100), 16000, r"got \(1, 1, 100\)"),
        (torch.zeros(1, 0), 16000, r"at least one sample, got \(1, 0\)"),
        (np.zeros((1, 100), "int16"), 16000, "got torch.int16"),
        ([0.0] * 100, 16000, "got list"),
        (torch.full((1, 100), float("inf")), 100, "'waveform' has a NaN .* at 0.000 s"),
    ],
)
def test_bad_waveforms_are_named(waveform, sample_rate, message):
    with pytest.raises(ValueError, match=message):
        Audio()({"waveform": waveform, "sample_rate": sample_rate})


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="got 'stereo'"):
        Audio(mono="stereo")
    with pytest.raises(ValueError, match="got -1"):
        Audio(sample_rate=-1)


def test_reads_the_shared_excerpts(shared):
    paths = sorted((shared / "ami_excerpts" / "audio").iterdir())
    paths += sorted((shared / "simulated_dev" / "chunks2").iterdir())[:3]
    for path in paths:
        waveform, rate = Audio(sample_rate=16000, mono="downmix")(path)
        assert rate == 16000 and waveform.shape[1] / rate == pytest.approx(30, abs=0.1)
