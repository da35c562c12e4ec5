import sys
from types import SimpleNamespace

import pytest
import torch
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm

import pyannote_drz
from pyannote_drz.cli import demo


def test_score():
    reference, hypothesis = Annotation(), Annotation()
    reference[Segment(0, 8), 0] = "ann"
    reference[Segment(8, 10), 1] = "bob"
    hypothesis[Segment(1, 10), 0] = "x"
    hypothesis[Segment(11, 12), 1] = "y"
    assert demo.score(reference, hypothesis, duration=12.0) == {
        "diarization error rate": pytest.approx(40),
        "missed detection": pytest.approx(10),
        "false alarm": pytest.approx(10),
        "confusion": pytest.approx(20),
    }


def test_prints_and_writes(tmp_path, monkeypatch, capsys):
    reference = load_rttm(demo.find_sample()[1])["sample"]

    class Oracle:
        model = SimpleNamespace(device=torch.device("cpu"))

        def __call__(self, wav):
            assert wav.name == "sample.wav"
            answer = reference.rename_labels({"speaker90": "SPEAKER_00", "speaker91": "SPEAKER_01"})
            return SimpleNamespace(speaker_diarization=answer)

    monkeypatch.setattr(demo.Pipeline, "from_pretrained", lambda folder: Oracle())
    demo.main(into=tmp_path / "demo")

    printed = capsys.readouterr().out
    assert "    6.69 to   7.12 s   SPEAKER_00" in printed
    for name in ("diarization error rate", "missed detection", "false alarm", "confusion"):
        assert any(line.split() == [*name.split(), "0.0", "%"] for line in printed.splitlines())
    assert "x real time" in printed
    written = load_rttm(tmp_path / "demo" / "sample.rttm")["sample"]
    assert len(written) == len(reference)
    assert (tmp_path / "demo" / "sample.png").read_bytes().startswith(b"\x89PNG")
    assert "pyannote.audio.sample" not in sys.modules


def test_plot_of_nobody(tmp_path):
    reference = load_rttm(demo.find_sample()[1])["sample"]
    demo.plot(reference, Annotation(), 30.0, tmp_path / "sample.png")
    assert (tmp_path / "sample.png").stat().st_size > 0


def test_packaged_model(tmp_path, capsys):
    if not (pyannote_drz.PRETRAINED / "diarizer" / "model.safetensors").is_file():
        pytest.skip("the packaged weights are not there yet")
    demo.main(into=tmp_path)
    assert "diarization error rate" in capsys.readouterr().out
