"""Recipes: errors taken apart add up to pyannote's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from typer import Typer
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def study(recipe):
    return recipe("synthetic/study.py")


def annotation(turns) -> Annotation:
    made = Annotation(uri="file")
    for track, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), track] = speaker
    return made.support()  # a speaker is not counted twice at once


UEM = Timeline([Segment(0, 30)])
# 0-3 right, 3-4 misses y, 4-5 names y wrongly, 5-6 misses y, 7-9 nobody speaks
REFERENCE = annotation([(0, 4, "x"), (3, 6, "y")])
ANSWER = annotation([(0, 5, "A"), (7, 9, "A")])


def seconds(rows) -> dict:
    return {
        name: (sum(s.speech for s in shares), *np.round(sum(s.errors for s in shares), 6))
        for name, shares in rows.items()
        if shares
    }


def test_by_hand(study):
    file = study.study("set", REFERENCE, ANSWER, UEM)
    assert seconds(study.by_set([file])) == {"set": (7, 2, 2, 1)}
    assert seconds(study.by_speakers([file])) == {"2 speakers": (7, 2, 2, 1)}
    assert seconds(study.by_overlap([file])) == {"10 to 20 %": (7, 2, 2, 1)}  # 1 s of 6
    assert seconds(study.by_concurrency([file])) == {
        "nobody speaks": (0, 0, 2, 0),
        "one speaks": (5, 1, 0, 1),
        "two speak": (2, 1, 0, 0),
        "three or more speak": (0, 0, 0, 0),
    }
    position = seconds(study.by_position([file]))
    assert len(position) == 6
    assert position["0 to 5 s"] == (6, 1, 0, 1) and position["5 to 10 s"] == (1, 1, 2, 0)
    turns = seconds(study.by_turn_length([file]))
    assert turns == {"2 to 4 s": (3, 2, 0, 1), "4 to 8 s": (4, 0, 0, 0)}


@pytest.mark.parametrize("at, where", [(0.0, 0), (0.04, 0), (0.05, 1), (0.999, 4), (1.0, 4)])
def test_bins(study, at, where):
    assert study.bin_of(at, study.OVERLAP_EDGES) == where


def test_names_of_bins(study):
    assert study.bins((0.0, 0.5, np.inf), " s") == ["0 to 0.5 s", "0.5 s and more"]


turns = st.lists(
    st.tuples(st.integers(0, 280), st.integers(1, 100), st.sampled_from("xyz")), max_size=8
)


@settings(max_examples=15, deadline=None)
@given(reference=turns, answer=turns)
def test_shares_of_time_add_up(study, reference, answer):
    made = [
        annotation([(s / 10, (s + d) / 10, who) for s, d, who in t]) for t in (reference, answer)
    ]
    file = study.study("set", made[0], made[1], UEM)
    (whole,) = study.by_set([file])["set"]
    score = file.score
    assert np.allclose(whole.errors, [score.miss, score.false_alarm, score.confusion])
    assert whole.speech == pytest.approx(score.speech)
    for by in (study.by_concurrency, study.by_position):
        parts = [share for shares in by([file]).values() for share in shares]
        assert np.allclose(sum(part.errors for part in parts), whole.errors)
        assert sum(part.speech for part in parts) == pytest.approx(whole.speech)
        assert sum(part.oracle for part in parts) == pytest.approx(whole.oracle)
    of_turns = [share for shares in study.by_turn_length([file]).values() for share in shares]
    missed = sum((share.errors for share in of_turns), np.zeros(3))
    assert np.allclose(missed, whole.errors * [1, 0, 1])  # a false alarm is in nobody's turn


def test_command(study, shared, tmp_path):
    app = Typer()
    app.command()(study.main)
    answers = shared / "ami_excerpts" / "development.rttm"
    arguments = ["--rttm", answers, "AMIExcerpts.SpeakerDiarization.only_words"]
    arguments += ["--registry", shared / "database.yml", "--plot", tmp_path / "new" / "study.png"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert "| AMIExcerpts.SpeakerDiarization.only_words | 6 | " in result.output
    assert (tmp_path / "new" / "study.png").stat().st_size > 1000
    result = CliRunner().invoke(app, ["/no/such", *map(str, arguments[3:5])])
    assert result.exit_code == 2 and "is no folder of a pipeline" in result.output
