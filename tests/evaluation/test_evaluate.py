import json

import pytest
from pyannote.database import registry
from typer.testing import CliRunner

from pyannote_drz.evaluation import evaluate


@pytest.fixture(scope="module")
def loaded(shared):
    registry.load_database(shared / "database.yml")
    return shared


def test_unknown_names_are_refused(loaded):
    with pytest.raises(ValueError, match="no protocol 'No.SpeakerDiarization.Such' in the reg"):
        evaluate.protocol_files("No.SpeakerDiarization.Such", "development")
    with pytest.raises(ValueError, match="has no 'test' subset"):
        evaluate.protocol_files("AMIExcerpts.SpeakerDiarization.only_words", "test")
    with pytest.raises(ValueError, match="got 'dev'"):
        evaluate.protocol_files("AMIExcerpts.SpeakerDiarization.only_words", "dev")
    with pytest.raises(ValueError, match="'/no/such' is no folder of a pipeline"):
        evaluate.pipeline_system("/no/such", "cpu")


# percent; measured once by other code on the same files: the project's PEERS.md
@pytest.mark.parametrize(
    "protocol, limit, name, percent",
    [
        ("AMIExcerpts.SpeakerDiarization.only_words", None, "one speaker, always", 67.7),
        ("SimDev.SpeakerDiarization.chunks2", 20, "one speaker, oracle activity", 21.9),
        ("SimDev.SpeakerDiarization.chunks3", 20, "one speaker, oracle activity", 41.6),
        ("SimDev.SpeakerDiarization.chunks4", 20, "one speaker, oracle activity", 50.0),
    ],
)
def test_baselines_on_real_references(loaded, protocol, limit, name, percent):
    files = evaluate.protocol_files(protocol, "development")[:limit]
    scores, _, audio = evaluate.evaluate(files, lambda file: file["annotation"])
    assert evaluate.summarize(scores[name])["der"] == pytest.approx(percent, abs=0.05)
    assert evaluate.summarize(scores["nobody speaks"])["der"] == pytest.approx(100)
    assert evaluate.summarize(scores["this system"])["der"] == 0
    assert audio == pytest.approx(30 * len(files), abs=1)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and what was said, without the box and line breaks of an error."""
    result = CliRunner().invoke(evaluate.app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


def test_command_scores_an_rttm(loaded, tmp_path):
    protocol = "AMIExcerpts.SpeakerDiarization.only_words"
    common = [protocol, "--registry", loaded / "database.yml"]
    into = tmp_path / "out.json"
    reference = loaded / "ami_excerpts" / "development.rttm"
    code, said = run("--rttm", reference, *common, "--json", into)
    assert code == 0, said
    assert "| this system | 0.0 | 0.0 to 0.0 |" in said
    assert "| one speaker, always | 67.7 |" in said
    assert "real time" not in said  # nobody measured it
    report = json.loads(into.read_text())
    assert len(report["protocols"][protocol]["systems"]["nobody speaks"]["files"]) == 6

    # a folder is the union of its files; a recording that it does not name is silence
    (tmp_path / "rttm").mkdir()
    for line in reference.read_text().splitlines():
        if "EN2001" in line:
            with open(tmp_path / "rttm" / f"{line.split()[1]}.rttm", "a") as file:
                print(line, file=file)
    code, said = run("--rttm", tmp_path / "rttm", *common)
    assert code == 0 and "| this system |" in said and "| this system | 0.0 |" not in said

    other = tmp_path / "other.rttm"
    other.write_text("SPEAKER someone 1 0.0 1.0 <NA> <NA> A <NA> <NA>\n")
    code, said = run("--rttm", other, *common)
    assert code == 2 and "has no turn for any file to score" in said


def test_command_names_what_is_missing(loaded):
    code, said = run("--registry", loaded / "database.yml")
    assert code == 2 and "name a pipeline's folder first" in said
    code, said = run("p", "--registry", "nowhere.yml")
    assert code == 2 and "'nowhere.yml' does not exist" in said
