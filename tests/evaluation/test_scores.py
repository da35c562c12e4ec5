import math

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline

from pyannote_drz.evaluation import evaluate, scores


def annotation(*turns: tuple[float, float, str], uri: str = "file") -> Annotation:
    made = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), track] = speaker
    return made


UEM = Timeline([Segment(0, 10)])
REFERENCE = annotation((0, 4, "x"), (3, 6, "y"))  # 7 s of speech, 1 s of it overlapped


def seconds(score: scores.Score) -> tuple[float, float, float, float]:
    parts = (score.speech, score.miss, score.false_alarm, score.confusion)
    return tuple(round(part, 6) for part in parts)


def test_score_by_hand():
    # 0-3 right, 3-4 misses y, 4-5 names y wrongly, 5-6 misses y, 7-9 nobody speaks
    hypothesis = annotation((0, 5, "A"), (7, 9, "A"))
    score = scores.score(REFERENCE, hypothesis, UEM, uri="file")
    assert seconds(score) == (7, 2, 2, 1)
    assert score.error == pytest.approx(5)
    assert (score.reference_speakers, score.speakers) == (2, 1)


def test_labels_are_free_and_the_uem_counts():
    renamed = annotation((3, 6, "A"), (0, 4, "B"), (10, 60, "C"))
    score = scores.score(REFERENCE, renamed, UEM)
    assert seconds(score) == (7, 0, 0, 0)
    assert score.speakers == 2  # C speaks only where nothing is annotated
    half = scores.score(REFERENCE, Annotation(), Timeline([Segment(0, 3)]))
    assert seconds(half) == (3, 3, 0, 0)
    assert half.reference_speakers == 1


def test_collar_is_a_quarter_second_on_either_side():
    reference = annotation((2, 4, "x"))
    slack = annotation((1.76, 4.24, "A"))
    score = scores.score(reference, slack, UEM)
    assert score.error == pytest.approx(0.48)
    assert score.collar_speech == pytest.approx(1.5)
    assert score.collar_error == pytest.approx(0)
    late = scores.score(reference, annotation((2, 4.5, "A")), UEM)
    assert late.collar_error == pytest.approx(0.25)


def test_the_edge_of_the_uem_gets_no_collar():
    score = scores.score(annotation((-5, 15, "x")), annotation((0, 10, "A")), UEM)
    assert score.collar_speech == pytest.approx(10)


def test_score_needs_something_annotated():
    with pytest.raises(ValueError, match="nothing of file 'silent' is annotated"):
        scores.score(REFERENCE, REFERENCE, Timeline(), uri="silent")


def test_baselines_by_hand():
    answers = scores.baselines(REFERENCE, UEM)
    errors = {name: seconds(scores.score(REFERENCE, a, UEM)) for name, a in answers.items()}
    assert errors == {
        "nobody speaks": (7, 7, 0, 0),
        "one speaker, always": (7, 1, 4, 2),  # x is the longest; 4-6 is y
        "one speaker, oracle activity": (7, 1, 0, 2),
    }


def test_baselines_without_speech():
    answers = scores.baselines(Annotation(), UEM)
    errors = [seconds(scores.score(Annotation(), a, UEM)) for a in answers.values()]
    assert errors == [(0, 0, 0, 0), (0, 0, 10, 0), (0, 0, 0, 0)]
    always = scores.score(Annotation(), answers["one speaker, always"], UEM)
    summary = scores.summarize([always])
    assert math.isnan(summary["der"]) and math.isnan(summary["der_low"])
    assert summary["false_alarm_seconds_per_file"] == pytest.approx(10)
    assert "| – | – to – |" in evaluate.table(
        {"x": [scores.score(Annotation(), Annotation(), UEM)]}
    )


def test_baselines_on_a_uem_of_several_parts():
    parts = Timeline([Segment(0, 2), Segment(5, 7)])
    answers = scores.baselines(REFERENCE, parts)
    score = scores.score(REFERENCE, answers["one speaker, always"], parts)
    assert seconds(score) == (3, 0, 1, 1)


def test_bootstrap():
    assert scores.bootstrap(np.array([1.0, 1.0]), np.array([4.0, 4.0])) == (25, 25)
    assert scores.bootstrap(np.array([3.0]), np.array([4.0])) == (75, 75)
    # two files of equal speech, all wrong or all right: 0, 50 and 100 % with odds 1 : 2 : 1
    assert scores.bootstrap(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == (0, 100)
    random = np.random.default_rng(1)
    errors = random.uniform(0, 1, size=400)
    low, high = scores.bootstrap(errors, np.ones(400))
    spread = 100 * errors.std() / math.sqrt(400)  # what theory says
    assert low == pytest.approx(100 * errors.mean() - 1.96 * spread, abs=0.3)
    assert high == pytest.approx(100 * errors.mean() + 1.96 * spread, abs=0.3)
    assert (low, high) == scores.bootstrap(errors, np.ones(400))
    assert (low, high) != scores.bootstrap(errors, np.ones(400), seed=1)


def test_summarize_pools_seconds_rather_than_rates():
    short = scores.score(annotation((0, 1, "x")), Annotation(), UEM)  # all of 1 s missed
    long = scores.score(annotation((0, 9, "x")), annotation((0, 9, "A")), UEM)  # 9 s right
    summary = scores.summarize([short, long])
    assert summary["der"] == summary["miss"] == pytest.approx(10)
    assert summary["false_alarm"] == summary["confusion"] == 0
    assert summary["right_speaker_count"] == 50
    with pytest.raises(ValueError, match="no file to score"):
        scores.summarize([])
