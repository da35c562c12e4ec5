"""pyannote.audio's own commands on our folder: optimize, benchmark, apply. Without FFmpeg."""

import shutil

import numpy as np
import pytest
import soundfile
import yaml
from pyannote.audio import Pipeline
from pyannote.audio.__main__ import app
from pyannote.database import FileFinder, registry
from pyannote.metrics.diarization import DiarizationErrorRate
from typer.testing import CliRunner

PROTOCOL = "CommandToy.SpeakerDiarization.Noise"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Two files of noise, 9 s each, in which two people are said to speak."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(1)
    turns = []
    for uri in ("a", "b"):
        soundfile.write(folder / f"{uri}.wav", 0.1 * rng.standard_normal(9 * 16000), 16000)
        turns += [f"SPEAKER {uri} 1 {5 * k} 4 <NA> <NA> {'xy'[k]} <NA> <NA>\n" for k in range(2)]
    (folder / "all.rttm").write_text("".join(turns))
    (folder / "all.uem").write_text("a NA 0 9\nb NA 0 9\n")
    (folder / "all.lst").write_text("a\nb\n")
    subset = {"uri": "all.lst", "annotation": "all.rttm", "annotated": "all.uem"}
    subset |= {"waveform": "{uri}.wav", "sample_rate": 16000}
    noise = {"scope": "file", "development": subset}
    content = {
        "Databases": {"CommandToy": "{uri}.wav"},
        "Protocols": {"CommandToy": {"SpeakerDiarization": {"Noise": noise}}},
    }
    (folder / "database.yml").write_text(yaml.safe_dump(content))
    return folder / "database.yml"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_optimize_keeps_or_improves(folder, database, tmp_path):
    tuned = shutil.copytree(folder, tmp_path / "tuned")
    run("optimize", tuned / "config.yaml", PROTOCOL, "--registry", database, "--average-case",
        "--max-iterations", 3, "--device", "cpu")  # fmt: skip
    (result,) = tuned.glob("config.*.yaml")
    best = yaml.safe_load(result.read_text())["optimization"]["status"]["best_loss"]

    files = list(registry.get_protocol(PROTOCOL, {"audio": FileFinder()}).development())

    def error_rate(path) -> float:
        pipeline, metric = Pipeline.from_pretrained(path), DiarizationErrorRate()
        for file in files:
            metric(file["annotation"], pipeline(file).speaker_diarization, uem=file["annotated"])
        return abs(metric)

    assert error_rate(result) == pytest.approx(best)
    assert best <= error_rate(folder) + 1e-9


def test_benchmark_writes_its_table(folder, database, tmp_path):
    """Its files carry their waveforms, as pyannote's own reader would ask for FFmpeg."""
    run("benchmark", folder, PROTOCOL, tmp_path, "--subset", "development", "--registry", database,
        "--device", "cpu")  # fmt: skip
    table = (tmp_path / f"{PROTOCOL}.development.csv").read_text()
    assert [line.split(",")[0] for line in table.splitlines()[-3:]] == ["a", "b", "TOTAL"]


def test_apply_writes_rttm_and_json(folder, database, tmp_path):
    audio, into = tmp_path / "audio", tmp_path / "into"
    audio.mkdir()
    into.mkdir()
    shutil.copy(database.parent / "a.wav", audio)
    run("apply", folder, audio, "--into", into, "--device", "cpu")
    assert sorted(path.name for path in into.iterdir()) == ["a.json", "a.rttm"]
