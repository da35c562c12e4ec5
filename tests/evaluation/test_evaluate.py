import json
import math

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import registry
from typer.testing import CliRunner

from pyannote_drz.evaluation import evaluate


def annotation(*turns: tuple[float, float, str], uri: str = "file") -> Annotation:
    made = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), track] = speaker
    return made


UEM = Timeline([Segment(0, 10)])
REFERENCE = annotation((0, 4, "x"), (3, 6, "y"))  # 7 s of speech, 1 s of it overlapped


def seconds(score: evaluate.Score) -> tuple[float, float, float, float]:
    parts = (score.speech, score.miss, score.false_alarm, score.confusion)
    return tuple(round(part, 6) for part in parts)


def test_score_by_hand():
    # 0-3 right, 3-4 misses y, 4-5 names y wrongly, 5-6 misses y, 7-9 nobody speaks
    hypothesis = annotation((0, 5, "A"), (7, 9, "A"))
    score = evaluate.score(REFERENCE, hypothesis, UEM, uri="file")
    assert seconds(score) == (7, 2, 2, 1)
    assert score.error == pytest.approx(5)
    assert (score.reference_speakers, score.speakers) == (2, 1)


def test_labels_are_free_and_the_uem_counts():
    renamed = annotation((3, 6, "A"), (0, 4, "B"), (10, 60, "C"))
    score = evaluate.score(REFERENCE, renamed, UEM)
    assert seconds(score) == (7, 0, 0, 0)
    assert score.speakers == 2  # C speaks only where nothing is annotated
    half = evaluate.score(REFERENCE, Annotation(), Timeline([Segment(0, 3)]))
    assert seconds(half) == (3, 3, 0, 0)
    assert half.reference_speakers == 1


def test_collar_is_a_quarter_second_on_either_side():
    reference = annotation((2, 4, "x"))
    slack = annotation((1.76, 4.24, "A"))
    score = evaluate.score(reference, slack, UEM)
    assert score.error == pytest.approx(0.48)
    assert score.collar_speech == pytest.approx(1.5)
    assert score.collar_error == pytest.approx(0)
    late = evaluate.score(reference, annotation((2, 4.5, "A")), UEM)
    assert late.collar_error == pytest.approx(0.25)


def test_the_edge_of_the_uem_gets_no_collar():
    score = evaluate.score(annotation((-5, 15, "x")), annotation((0, 10, "A")), UEM)
    assert score.collar_speech == pytest.approx(10)


def test_score_needs_something_annotated():
    with pytest.raises(ValueError, match="nothing of file 'silent' is annotated"):
        evaluate.score(REFERENCE, REFERENCE, Timeline(), uri="silent")


def test_baselines_by_hand():
    answers = evaluate.baselines(REFERENCE, UEM)
    scores = {name: seconds(evaluate.score(REFERENCE, a, UEM)) for name, a in answers.items()}
    assert scores == {
        "nobody speaks": (7, 7, 0, 0),
        "one speaker, always": (7, 1, 4, 2),  # x is the longest; 4-6 is y
        "one speaker, oracle activity": (7, 1, 0, 2),
    }


def test_baselines_without_speech():
    answers = evaluate.baselines(Annotation(), UEM)
    scores = [seconds(evaluate.score(Annotation(), a, UEM)) for a in answers.values()]
    assert scores == [(0, 0, 0, 0), (0, 0, 10, 0), (0, 0, 0, 0)]
    always = evaluate.score(Annotation(), answers["one speaker, always"], UEM)
    summary = evaluate.summarize([always])
    assert math.isnan(summary["der"]) and math.isnan(summary["der_low"])
    assert summary["false_alarm_seconds_per_file"] == pytest.approx(10)
    assert "| – | – to – |" in evaluate.table(
        {"x": [evaluate.score(Annotation(), Annotation(), UEM)]}
    )


def test_baselines_on_a_uem_of_several_parts():
    parts = Timeline([Segment(0, 2), Segment(5, 7)])
    answers = evaluate.baselines(REFERENCE, parts)
    score = evaluate.score(REFERENCE, answers["one speaker, always"], parts)
    assert seconds(score) == (3, 0, 1, 1)


def test_bootstrap():
    assert evaluate.bootstrap(np.array([1.0, 1.0]), np.array([4.0, 4.0])) == (25, 25)
    assert evaluate.bootstrap(np.array([3.0]), np.array([4.0])) == (75, 75)
    # two files of equal speech, all wrong or all right: 0, 50 and 100 % with odds 1 : 2 : 1
    assert evaluate.bootstrap(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == (0, 100)
    random = np.random.default_rng(1)
    errors = random.uniform(0, 1, size=400)
    low, high = evaluate.bootstrap(errors, np.ones(400))
    spread = 100 * errors.std() / math.sqrt(400)  # what theory says
    assert low == pytest.approx(100 * errors.mean() - 1.96 * spread, abs=0.3)
    assert high == pytest.approx(100 * errors.mean() + 1.96 * spread, abs=0.3)
    assert (low, high) == evaluate.bootstrap(errors, np.ones(400))
    assert (low, high) != evaluate.bootstrap(errors, np.ones(400), seed=1)


def test_summarize_pools_seconds_rather_than_rates():
    short = evaluate.score(annotation((0, 1, "x")), Annotation(), UEM)  # all of 1 s missed
    long = evaluate.score(annotation((0, 9, "x")), annotation((0, 9, "A")), UEM)  # 9 s right
    summary = evaluate.summarize([short, long])
    assert summary["der"] == summary["miss"] == pytest.approx(10)
    assert summary["false_alarm"] == summary["confusion"] == 0
    assert summary["right_speaker_count"] == 50
    with pytest.raises(ValueError, match="no file to score"):
        evaluate.summarize([])


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
