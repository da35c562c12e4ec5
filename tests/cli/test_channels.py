"""Channels heard apart, mixed, or one of them, as `diarize --channels` says."""

import numpy as np
import pytest
import soundfile
from pyannote.core import Segment

from pyannote_drz.cli.channels import hear
from pyannote_drz.io import longs
from pyannote_drz.io.errors import InputError
from pyannote_drz.pipelines.output import Pix2SeqOutput, annotate, confidence_of
from pyannote_drz.pipelines.stitching import Turn

RATE = 16000


@pytest.fixture
def call(tmp_path):
    """Two seconds: the first channel is loud in the first second, the other in the second one."""
    samples = np.zeros((2 * RATE, 2), dtype=np.float32)
    samples[:RATE, 0], samples[RATE:, 1] = 0.1, 0.2
    soundfile.write(tmp_path / "call.wav", samples, RATE)
    return tmp_path / "call.wav"


@pytest.fixture
def diarize():
    """Whoever is loud speaks; "Ann", who is known, is louder."""
    heard = []

    def diarize(file) -> Pix2SeqOutput:
        heard.append(file)
        if "waveform" not in file:
            return Pix2SeqOutput(annotate([], {}, file["uri"]), annotate([], {}, file["uri"]))
        seconds = file["waveform"][0].view(-1, RATE).amax(dim=1).tolist()
        names = {0: "SPEAKER_00", 1: "Ann"}
        turns = [Turn(k, k + 1, int(loud > 0.15), 0.9) for k, loud in enumerate(seconds) if loud]
        told = annotate(turns, names, file["uri"])
        return Pix2SeqOutput(told, told, confidence=confidence_of(turns))

    diarize.heard = heard
    return diarize


def test_each(call, diarize):
    output, duration, waveform = hear(diarize, call, "each", RATE, "call", True)
    assert duration == 2.0 and waveform.shape == (2 * RATE,) and len(diarize.heard) == 2
    told = {who: segment for segment, _, who in output.speaker_diarization.itertracks(True)}
    assert told == {"1:SPEAKER_00": Segment(0, 1), "Ann": Segment(1, 2)}
    assert output.speaker_diarization.uri == "call"
    assert sorted(output.confidence.values()) == [0.9, 0.9]


@pytest.mark.parametrize("channel, who", [(0, "SPEAKER_00"), (1, "Ann")])
def test_one(call, diarize, channel, who):
    output, _, _ = hear(diarize, call, channel, RATE, "call", True)
    assert output.speaker_diarization.labels() == [who]
    with pytest.raises(InputError, match="there is no channel 2"):
        hear(diarize, call, 2, RATE, "call", True)


def test_mix(call, diarize):
    hear(diarize, call, "mix", RATE, "call", False)
    assert diarize.heard[0]["waveform"].shape == (1, 2 * RATE)


def test_hours_are_not_read_here(call, diarize, monkeypatch):
    monkeypatch.setattr(longs, "LONG_S", 1.0)
    output, duration, waveform = hear(diarize, call, 1, RATE, "call", False)
    assert diarize.heard == [{"audio": call, "channel": 1, "uri": "call"}]
    assert duration == 2.0 and waveform is None
    hear(diarize, call, "each", RATE, "call", False)
    assert [file["channel"] for file in diarize.heard[1:]] == [0, 1]
    hear(diarize, call, "each", RATE, "call", True)  # a report plays all of it
    assert "waveform" in diarize.heard[3]
