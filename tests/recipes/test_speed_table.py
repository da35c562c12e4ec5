"""The table of speeds: recordings that repeat, systems on their own, and where time goes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from pyannote.core import Annotation, Segment

RATE = 16000


@pytest.fixture(scope="module")
def recipe(repository):
    """The recipe's modules, which find each other as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository / "recipes" / "speed")
        import cases
        import hear
        import pyannotes_own
        import speed

        yield cases, hear, pyannotes_own, speed
    for name in ("cases", "hear", "pyannotes_own", "speed"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """What there is without a protocol: 30 s of two people, and a batch."""
    return recipe[0].make_cases(None, tmp_path_factory.mktemp("made"), 30)


def test_recordings_begin_again_where_they_end(recipe, tmp_path):
    tone = np.sin(np.arange(3 * RATE) / 10) * np.linspace(0, 0.5, 3 * RATE)
    soundfile.write(tmp_path / "a.wav", tone, RATE)
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 1 1.5 <NA> <NA> x <NA> <NA>\n")
    case = recipe[0].repeated(tmp_path / "a.wav", tmp_path / "a.rttm", 7, tmp_path / "b.wav", "", 2)
    samples, _ = soundfile.read(case.files[0])
    assert np.allclose(samples, np.tile(tone, 3)[2 * RATE :], atol=1e-4)
    turns = [(t.start, t.end) for t in case.references["b"].itersegments()]
    assert turns == [(0, 0.5), (2, 3.5), (5, 6.5)]


def test_cases_without_a_protocol(made):
    one, batch = made
    assert one.name == "30 s, 2 people" and batch.name == "16 x 30 s at once"
    for case in made:
        frames = [soundfile.info(file).frames for file in case.files]
        assert frames == [30 * RATE] * len(case.files)
        assert sum(frames) == case.seconds * RATE
        assert set(case.references) == {file.stem for file in case.files}


def test_row_scores_against_the_reference(recipe, made):
    turns = {
        uri: [(turn.start, turn.end, who) for turn, _, who in of.itertracks(yield_label=True)]
        for uri, of in made[1].references.items()
    }
    took = {"wall_s": 10, "cpu_s": 20, "load_s": 3, "loaded_gb": 0.5, "peak_gb": 1, "turns": turns}
    row = recipe[3].row("ours, one pass", made[1], took)
    assert row == "| ours, one pass | 48.0 | 24.0 | 1.00 | 0.50 | 3.0 | 0.0 | 32 of 32 |"
    nothing = recipe[3].row("ours, one pass", made[0], took | {"turns": {}, "gpu_gb": 2})
    assert "GPU 2.00" in nothing and nothing.endswith("| 100.0 | 0 of 2 |")


def test_time_is_that_of_the_step_that_is_reported(recipe, monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 6.0])
    monkeypatch.setattr(recipe[1].time, "perf_counter", lambda: next(clock))
    stages = recipe[1].Stages()
    for step in ("features", "chunks", "features"):
        stages(step, None, total=2, completed=1)
    assert stages.seconds == {"features": 4.0, "chunks": 2.0}


def test_ours_is_heard_in_a_process_of_its_own(recipe, made):
    took = recipe[3].measure("ours, one pass", made[0], ["--device", "cpu"], 1)
    assert 0 < took["wall_s"] and 0 < took["cpu_s"] and took["loaded_gb"] <= took["peak_gb"]
    assert {"features", "chunks", "clustering"} <= set(took["stages"])
    assert sum(took["stages"].values()) <= took["wall_s"]
    (turns,) = took["turns"].values()
    assert turns and all(0 <= start < end <= 30 for start, end, _ in turns)


def test_what_cannot_be_run_is_left_out(recipe, made, capsys, monkeypatch, tmp_path):
    _, hear, _, speed = recipe
    monkeypatch.setattr(speed, "make_cases", lambda *_: made[:1])
    with pytest.raises(typer.BadParameter, match="'theirs' is none of ours"):
        speed.main(systems=["theirs"])
    speed.main(
        registry=None, longest=30, systems=[hear.SHERPA], threads=1, device="cpu", pipeline=None,
        peer=Path("nowhere.py"), patience=60, work=tmp_path,
    )  # fmt: skip
    assert "sherpa-onnx could not be run here: " in capsys.readouterr().out


def test_masked_embeddings_are_those_of_the_encoder(recipe, encoder, sample):
    own = recipe[2].MaskedCAMPPlus().eval()
    waveform = sample[None, 7 * RATE : 12 * RATE]
    with torch.inference_mode():
        expected = encoder.campplus(waveform)
        whole = own(waveform[None], torch.ones(1, 293))
        part = own(waveform[None], (torch.arange(293) < 100)[None].float())
    assert torch.cosine_similarity(whole, expected).item() > 0.999
    assert torch.cosine_similarity(part, expected).item() < 0.99


def test_pyannotes_own_pipeline_finds_people(recipe, sample):
    pipeline = recipe[2].make_pipeline("cpu")
    heard = pipeline({"waveform": sample[None, : 12 * RATE], "sample_rate": RATE, "uri": "x"})
    assert isinstance(heard.speaker_diarization, Annotation)
    assert heard.speaker_diarization.get_timeline().extent() in Segment(0, 12.1)
    assert heard.speaker_diarization.labels()
