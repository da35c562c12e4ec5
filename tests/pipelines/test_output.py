"""What a pipeline returns, as a notebook shows it."""

import matplotlib
import pytest
from pyannote.core import Annotation

from pyannote_drz.pipelines.output import Pix2SeqOutput, annotate
from pyannote_drz.pipelines.stitching import Turn


@pytest.fixture
def output() -> Pix2SeqOutput:
    diarization = annotate([Turn(1, 5, 0, 0.9), Turn(4, 9, 1, 0.5)], {0: "Ann", 1: "Eve"}, "talk")
    return Pix2SeqOutput(diarization, Annotation(uri="exclusive"))


def test_a_notebook_shows_who_spoke_when(output, monkeypatch):
    monkeypatch.setattr(Annotation, "_repr_png_", lambda annotation: annotation.uri.encode())
    assert output._repr_png_() == b"talk"


def test_as_a_picture(output):
    pytest.importorskip("IPython")  # draws for pyannote.core
    matplotlib.use("agg")
    assert output._repr_png_().startswith(b"\x89PNG")
