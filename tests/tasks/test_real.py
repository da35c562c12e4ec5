"""Real conversations: what is left out is named before training starts."""

import warnings

import pytest
from pyannote.core import Annotation, Segment, Timeline

from pyannote_drz.io.errors import InputError
from pyannote_drz.tasks.real import RealConversations


def recording(uri: str, seconds: float, people: str) -> dict:
    annotation = Annotation(uri=uri)
    for k, who in enumerate(people):
        annotation[Segment(k, k + 1)] = who
    annotated = Timeline([Segment(0, seconds)], uri=uri)
    return {"uri": uri, "audio": f"{uri}.wav", "annotation": annotation, "annotated": annotated}


def test_what_is_left_out_is_named():
    files = [recording("long", 40, "AB"), recording("short", 12, "AB"), recording("alone", 40, "A")]
    real = RealConversations(files, 16000)
    with pytest.warns(UserWarning) as told:
        real.check(30.0)
    assert [str(warning.message) for warning in told] == [
        "1 real recordings are not learnt from, as no annotated region of theirs lasts 30.0 s: "
        "short.",
        "1 real recordings are not learnt from, as one person speaks there, or nobody: alone.",
    ]
    with pytest.warns(UserWarning, match="are not validated on, .* lasts 30.0 s: short"):
        real.warn_of_short(30.0, "validated on")


def test_nothing_is_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RealConversations([recording("long", 40, "AB")], 16000).check(30.0)


def test_nothing_to_learn_from():
    many = [recording(f"r{k}", 12, "AB") for k in range(25)]
    with pytest.raises(InputError, match=r"of 30.0 s to learn from: r0, .* and 5 more"):
        RealConversations(many, 16000).check(30.0)
    with pytest.raises(InputError, match="to learn from"):
        RealConversations([], 16000).check(30.0)
