"""Material: voices of protocols, and bad protocols told apart in one sentence each."""

from types import SimpleNamespace

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline

from pyannote_drz.simulation import VoiceBank, VoiceFile
from pyannote_drz.tasks.material import (
    bank_embeddings,
    protocol_voices,
    rttm_paths,
    voice_files,
)


def test_protocol_voices(toy):
    files = protocol_voices(toy("Voices"), "train")
    assert [file.speaker for file in files] == [f"train{k}" for k in range(4)]


@pytest.mark.parametrize(
    "name, subset, said",
    [
        ("OneSpeaker", "train", r"one speaker only \(train0\)"),
        ("FileScope", "train", "labels of file scope"),
        ("Voices", "test", "has no test subset"),
        ("Voices", "holdout", "must be train, development or test, not 'holdout'"),
    ],
)
def test_protocol_without_enough_voices(toy, name, subset, said):
    with pytest.raises(ValueError, match=said) as error:
        protocol_voices(toy(name), subset)
    assert "\n" not in str(error.value)


def test_protocol_of_people_who_always_overlap():
    annotation = Annotation(uri="x")
    for track, label in enumerate("ab"):
        annotation[Segment(0, 2), track] = label
    file = {"uri": "x", "database": "Both", "scope": "global", "audio": "x.wav",
            "annotation": annotation, "annotated": Timeline([Segment(0, 2)])}  # fmt: skip
    protocol = SimpleNamespace(name="Both.SpeakerDiarization.All", train=lambda: [file])
    with pytest.raises(ValueError, match=r"All \(train\) has no single-speaker speech"):
        protocol_voices(protocol, "train")


def test_missing_audio_of_a_plain_path(toy, tmp_path):
    file = next(toy("Voices").train())
    missing = {
        "uri": "gone", "database": "TaskToy", "scope": "global", "audio": tmp_path / "gone.wav",
        "annotation": file["annotation"], "annotated": file["annotated"],
    }  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"audio of gone is missing: .*gone\.wav"):
        list(voice_files([missing]))


def test_missing_scripts(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such"):
        rttm_paths(tmp_path / "no-such.rttm")
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        rttm_paths([tmp_path])  # a folder without any


def test_voice_files(toy):
    files = list(voice_files(toy("Voices").train()))
    assert [file.speaker for file in files] == [f"train{k}" for k in range(4)]
    assert {file.source for file in files} == {"TaskToy"}
    assert all(file.regions == [(0.0, 12.0)] for file in files)
    assert list(voice_files(toy("FileScope").train())) == []


# ---- embeddings of voices -----------------------------------------------------------------------


def test_embeddings_of_a_bank(bank, encoder, tmp_path, monkeypatch):
    """One of each voice; the second time they are found in the cache."""
    embeddings = bank_embeddings(bank, encoder.campplus, tmp_path / "new")
    assert embeddings.shape == (len(bank), 192) and embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all() and np.ptp(embeddings, 0).max() > 0.5
    (cached,) = (tmp_path / "new").iterdir()
    assert cached.name.startswith("embeddings-") and cached.suffix == ".npy"

    monkeypatch.setattr(encoder.campplus, "forward", None)  # not asked again
    again = bank_embeddings(bank, encoder.campplus, tmp_path / "new")
    np.testing.assert_array_equal(again, embeddings)


def test_embeddings_of_other_audio_are_others(folder, bank, encoder, tmp_path):
    """Though speakers have the same names, and as much to say."""
    files = [
        VoiceFile(folder / f"dev{k}.wav", f"train{k}", "toy", [(0.0, 12.0)])
        for k in range(len(bank))
    ]
    first = bank_embeddings(bank, encoder.campplus, tmp_path)
    other = bank_embeddings(VoiceBank.from_files(files), encoder.campplus, tmp_path)
    assert not np.array_equal(other, first)


def test_short_voices_have_embeddings(folder, encoder, tmp_path):
    """0.3 s of one, which is less than the encoder likes."""
    files = [
        VoiceFile(folder / f"train{k}.wav", f"train{k}", "toy", [(0.0, length)])
        for k, length in enumerate((0.3, 6.0))
    ]
    embeddings = bank_embeddings(VoiceBank.from_files(files), encoder.campplus, tmp_path)
    assert np.isfinite(embeddings).all()
