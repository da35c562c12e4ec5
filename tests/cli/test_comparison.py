"""Comparison: errors add up to pyannote.metrics' figures, and say who."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_drz.cli.comparison import KINDS, compare, load_references
from pyannote_drz.cli.palette import colours_of


def annotation(*turns) -> Annotation:
    made = Annotation()
    for track, (start, end, label) in enumerate(turns):
        made[Segment(start, end), track] = label
    return made


def test_who_was_mistaken_for_whom():
    reference = annotation((0, 10, "Ann"), (10, 14, "Bob"), (12, 13, "Ann"))
    # "Bob" is our name for Ann: names alone mean nothing
    heard = annotation((0, 11, "Bob"), (11, 14, "SPEAKER_01"), (15, 16, "SPEAKER_01"))
    found = compare(reference, heard, 20.0)
    assert found.mapping == {"Bob": "Ann", "SPEAKER_01": "Bob"}
    assert [tuple(error) for error in found.errors] == [
        (Segment(10, 11), "confusion", "Bob", "Bob"),
        (Segment(12, 13), "missed detection", "Ann", None),
        (Segment(15, 16), "false alarm", None, "SPEAKER_01"),
    ]
    assert "20.0%" in str(found) and found.total == 15.0
    ours, theirs = colours_of(heard, found)
    assert (ours["Bob"], ours["SPEAKER_01"]) == (theirs["Ann"], theirs["Bob"])


def test_nobody_speaks():
    found = compare(Annotation(), annotation((0, 2, "A")), 5.0)
    assert str(found) == "2.0 s of false alarm where nobody speaks"
    assert compare(Annotation(), Annotation(), 5.0).errors == []


spans = st.lists(
    st.tuples(st.integers(0, 18), st.integers(1, 9), st.sampled_from("ABC")), max_size=6
)


@given(spans, spans)
@settings(deadline=None, max_examples=40)
def test_errors_add_up(reference, heard):
    # turns of one speaker do not overlap in what people or pipelines write
    reference, heard = (
        annotation(*((s, s + d, who) for s, d, who in turns)).support()
        for turns in (reference, heard)
    )
    found = compare(reference, heard, 30.0)
    for kind in KINDS:
        listed = sum(error.segment.duration for error in found.errors if error.kind == kind)
        assert listed == pytest.approx(found.seconds[kind])
    if found.total:
        rate = DiarizationErrorRate()(reference, heard, uem=Timeline([Segment(0, 30)]))
        assert sum(found.seconds.values()) / found.total == pytest.approx(rate)


@pytest.mark.parametrize("content", [None, "SPEAKER a 1 zero 1 <NA> <NA> A <NA> <NA>\n"])
def test_bad_reference(tmp_path, content):
    path = tmp_path / "bad.rttm"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match="bad.rttm' as RTTM"):
        load_references(path)
