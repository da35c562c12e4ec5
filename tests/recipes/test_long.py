"""Recipes: what is counted on long recordings."""

import pytest
from pyannote.core import Annotation, Segment


@pytest.fixture(scope="module")
def long(recipe):
    return recipe("long/evaluate.py")


def conversation(*turns: tuple[float, float, str]) -> Annotation:
    annotation = Annotation()
    for track, (start, end, label) in enumerate(turns):
        annotation[Segment(start, end), track] = label
    return annotation


def test_what_is_right_never_swaps(long):
    """Though B never speaks alone in two turns, and A fills B's turns as much as B does."""
    reference = conversation((0, 10, "A"), (2, 3, "B"), (11, 14, "B"), (15, 20, "A"), (16, 17, "B"))
    assert long.swaps(reference, reference) == 0
    assert long.swaps(reference, reference.rename_labels({"A": "x", "B": "y"})) == 0


def test_a_turn_of_another_name_swaps_there_and_back(long):
    reference = conversation((0, 4, "A"), (5, 9, "A"), (10, 14, "A"), (15, 20, "B"))
    said = conversation((0, 4, "x"), (5, 9, "y"), (10, 14, "x"), (15, 20, "y"))
    assert long.swaps(reference, said) == 2
    missed = conversation((0, 4, "x"), (10, 14, "x"), (15, 20, "y"))
    assert long.swaps(reference, missed) == 0
