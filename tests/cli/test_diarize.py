"""`pyannote-drz diarize`: all that is asked for is written, bad input is told in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyannote.core import Segment
from pyannote.database.util import load_rttm
from typer.testing import CliRunner

from pyannote_drz.cli import diarize, main
from pyannote_drz.pipelines.output import Pix2SeqOutput, annotate, confidence_of
from pyannote_drz.pipelines.stitching import Turn

RATE = 16000
TURNS = [Turn(0.5, 3, 0, 0.6), Turn(2, 4, 1, 0.4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two short recordings, one that is broken, and a reference of the first."""
    folder = tmp_path_factory.mktemp("recordings")
    noise = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE)
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", noise, RATE)
    (folder / "broken.wav").write_bytes(b"no audio")
    (folder / "a.rttm").write_text("SPEAKER a 1 0.5 2.5 <NA> <NA> Ann <NA> <NA>\n")
    return folder


@pytest.fixture
def heard(monkeypatch):
    """A pipeline that hears the same in everything, and keeps what it was asked."""
    asked = []

    class Fake:
        @staticmethod
        def set_num_speakers(**options):
            from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin

            return SpeakerDiarizationMixin.set_num_speakers(**options)

        def __call__(self, file, hook, **options):
            asked.append((file["uri"], options))
            hook("chunks", None, total=2, completed=1)
            names = {0: [*options["known_speakers"], "SPEAKER_00"][0], 1: "SPEAKER_01"}
            diarization = annotate(TURNS, names, file["uri"])
            return Pix2SeqOutput(diarization, diarization, confidence=confidence_of(TURNS))

    monkeypatch.setattr(diarize, "load_pipeline", lambda folder, device: Fake())
    return asked


def run(*words):
    return CliRunner().invoke(main.app, ["diarize", *map(str, words)])


def test_packaged_pipeline(folder, tmp_path):
    """The real one, from the command to the files."""
    done = run(folder / "a.wav", "--out", tmp_path, "--json", "--known", f"Ann={folder}/b.wav")
    if isinstance(done.exception, SystemExit):  # noise may have no voice to enrol
        assert "no voice was heard" in done.stderr and not list(tmp_path.iterdir())
        done = run(folder / "a.wav", "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.exception
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["uri"] == "a" and content["duration"] == 5.0


def test_everything_at_once(folder, tmp_path, heard):
    done = run(
        folder / "a.wav", folder / "b.wav", "--rttm", "--json", "--srt", "--audacity", "--textgrid",
        "--out", tmp_path / "text", "--plot", tmp_path / "plots", "--report", tmp_path / "pages",
        "--speakers", 2,
    )  # fmt: skip
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert done.stdout == ""
    extensions = ("rttm", "json", "srt", "txt", "TextGrid")
    expected = {f"text/{name}.{ext}" for name in "ab" for ext in extensions}
    expected |= {
        f"{kind}/{n}.{e}" for n in "ab" for kind, e in [("plots", "png"), ("pages", "html")]
    }
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")} == expected
    assert load_rttm(tmp_path / "text" / "b.rttm")["b"].get_timeline().extent() == Segment(0.5, 4)
    assert [uri for uri, _ in heard] == ["a", "b"] and heard[0][1]["num_speakers"] == 2


def test_prints_rttm_and_scores(folder, heard):
    done = run(folder / "a.wav", "--reference", folder / "a.rttm", "--known", f"Eve={folder}/b.wav")
    assert done.exit_code == 0, done.exception
    assert done.stdout == (
        "SPEAKER a 1 0.500 2.500 <NA> <NA> Eve <NA> <NA>\n"
        "SPEAKER a 1 2.000 2.000 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
    )
    assert "diarization error rate 80.0%" in done.stderr  # 2 s of false alarm, 2.5 of speech
    ((_, options),) = heard
    assert options["known_speakers"]["Eve"]["waveform"].shape == (1, 5 * RATE)


def test_a_bad_file_does_not_stop_others(folder, tmp_path, heard):
    missing = folder / "missing.wav"
    done = run(folder / "broken.wav", missing, folder / "b.wav", "--out", tmp_path)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    told = [line for line in done.stderr.splitlines() if line.startswith("pyannote-drz:")]
    assert len(told) == 2 and "broken.wav" in told[0] and "does not exist" in told[1]
    assert [path.name for path in tmp_path.iterdir()] == ["b.rttm"]


def test_nothing_half_written(folder, tmp_path, heard, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pyannote_drz.cli.report.make_report", fail)
    report = tmp_path / "page.html"
    done = run(folder / "a.wav", "--out", tmp_path, "--report", report)
    assert done.exit_code == 1 and "no space left" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, said",
    [
        (["a.wav", "--rttm", "--srt"], "--rttm and --srt cannot both be printed"),
        (["a.wav", "b.wav", "--srt"], "--srt does not name its recording"),
        (["a.wav", "other/a.wav", "--out", "x"], "would be written to the same file"),
        (["--plot", "a.wav", "b.wav"], "a.wav' must be the name of a PNG file"),
        (["a.wav", "b.wav", "--report", "x.html"], "x.html' must be a folder"),
        (["--plot", "a.wav", "b.wav", "a.wav"], "a.wav' must be a folder"),
        (["a.wav", "--out", "b.wav"], "b.wav' is a file"),
        (["a.wav", "--known", "Ann"], "must be NAME=WAV, not 'Ann'"),
        (["a.wav", "--known", "A=a.wav", "--known", "A=b.wav"], "names 'A' twice"),
        (["a.wav", "--known", "A=missing.wav"], "missing.wav' does not exist"),
        (["a.wav", "--reference", "none.rttm"], "none.rttm' as RTTM"),
        (["a.wav", "--min-speakers", "3", "--max-speakers", "2"], "min_speakers"),
    ],
)
def test_what_cannot_be(folder, heard, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    done = run(*words)
    assert isinstance(done.exception, ValueError) and said in str(done.exception)
    assert sorted(folder.rglob("*")) == before and not heard


@pytest.mark.parametrize(
    "words, said",
    [
        (["--pipeline", "nowhere"], "nowhere' is no folder of a pipeline"),
        (["--device", "abacus"], "--device abacus"),
    ],
)
def test_no_such_pipeline_or_device(folder, words, said):
    done = run(folder / "a.wav", *words)
    assert isinstance(done.exception, ValueError) and said in str(done.exception)


def test_no_reference_of_that_file(folder, heard):
    done = run(folder / "b.wav", "--reference", folder / "a.rttm")
    assert done.exit_code == 1 and "no reference of 'b', only of a" in done.stderr
