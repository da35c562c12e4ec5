"""Recipes: voices lose what nobody says in them, and nothing else."""

import sys

import numpy as np
import pytest
import torch
from pyannote.core import Annotation, Segment
from pyannote.database import registry

from pyannote_drz.models.encoders import FeatureEncoder

VOICES = "Voices.SpeakerDiarization.Voices"


@pytest.fixture(scope="module")
def trim_voices(recipe):
    threads = torch.get_num_threads()
    yield recipe("synthetic/trim_voices.py")
    torch.set_num_threads(threads)


@pytest.fixture
def annotation() -> Annotation:
    turns = Annotation(uri="ann")
    turns[Segment(1.0, 4.0)], turns[Segment(5.0, 6.0)] = "ann", "ann"
    return turns


@pytest.mark.parametrize(
    "pauses, left",
    [
        ([], [(1, 4), (5, 6)]),
        ([(2.0, 2.28)], [(1, 4), (5, 6)]),  # shorter than a pause
        ([(2.0, 2.5)], [(1, 2), (2.5, 4), (5, 6)]),
        ([(0.0, 1.5), (3.8, 5.5)], [(1.5, 3.8), (5.5, 6)]),
        ([(2.0, 2.5), (2.6, 3.0)], [(1, 2), (3, 4), (5, 6)]),  # too short between two pauses
        ([(4.5, 7.0)], [(1, 4)]),
        ([(0.0, 8.0)], []),
    ],
)
def test_trim(trim_voices, annotation, pauses, left):
    silent = np.zeros(400, dtype=bool)
    for start_s, end_s in pauses:
        silent[round(start_s / 0.02) : round(end_s / 0.02)] = True
    trimmed = trim_voices.trim(annotation, silent)
    assert trimmed.uri == "ann" and set(trimmed.labels()) <= {"ann"}
    found = [(segment.start, segment.end) for segment in trimmed.itersegments()]
    assert np.allclose(found, left) if left else not found


def test_pauses_of_a_real_voice(trim_voices, shared):
    """Silence is put into real speech: it goes, and most of the speech stays."""
    import soundfile

    path = sorted((shared / "voices/audio").glob("librispeech*.opus"))[0]
    samples, rate = soundfile.read(path, dtype="float32", frames=10 * 16000)
    assert rate == 16000
    speech, silence = torch.from_numpy(samples), torch.zeros(2 * rate)
    silent = trim_voices.nobody(FeatureEncoder(), torch.cat([speech, silence, speech]))
    half = round(len(speech) / rate / 0.02)
    assert silent[half + 10 : half + 90].all()
    assert silent[:half].mean() < 0.2 and silent[half + 100 :].mean() < 0.2


def test_bad_input(trim_voices, tmp_path, monkeypatch):
    words = ["trim_voices.py", str(tmp_path / "no.yml"), VOICES, str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=r"trim_voices.py: .*no\.yml"):
        trim_voices.main()
    assert not (tmp_path / "out").exists()


def test_whole_database(trim_voices, tmp_path, monkeypatch):
    """References of a protocol are trimmed, and found by the database.yml that is written."""
    import soundfile

    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "v0.wav", 1e-3 * rng.standard_normal(3 * 16000), 16000)
    (tmp_path / "voices.rttm").write_text("SPEAKER v0 1 0 3 <NA> <NA> v0 <NA> <NA>\n")
    (tmp_path / "voices.uem").write_text("v0 1 0 3\n")
    (tmp_path / "voices.lst").write_text("v0\n")
    (tmp_path / "database.yml").write_text(
        "Databases: {TrimToy: '{uri}.wav'}\nProtocols: {TrimToy: {SpeakerDiarization: {Voices: "
        "{scope: global, train: {uri: voices.lst, annotation: voices.rttm, annotated: voices.uem}"
        "}}}}\n"
    )
    out = tmp_path / "out"
    name = "TrimToy.SpeakerDiarization.Voices"
    words = ["trim_voices.py", str(tmp_path / "database.yml"), name, str(out)]
    monkeypatch.setattr(sys, "argv", words)
    trim_voices.main()
    assert sorted(p.name for p in out.iterdir()) == [
        "database.yml", "train.lst", "train.rttm", "train.uem",
    ]  # fmt: skip
    registry.load_database(out / "database.yml")
    (file,) = registry.get_protocol(name).train()
    assert not file["annotation"]  # noise is nobody
