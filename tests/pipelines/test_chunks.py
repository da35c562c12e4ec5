from pyannote_drz.pipelines.chunks import without_unison
from pyannote_drz.pipelines.stitching import Turn


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start, end, speaker, 0.5)


def test_a_model_that_repeats_itself_is_heard_once():
    loop = [turn(0.02, 29.98 + 0.02 * (k % 2), k) for k in range(8)]
    assert without_unison([turn(0.0, 12.2, 1), *loop]) == [turn(0.0, 12.2, 1), loop[0]]


def test_overlap_stays():
    overlap = [turn(0.0, 5.0, 0), turn(0.05, 4.8, 1), turn(1.0, 5.0, 2), turn(4.9, 5.1, 3)]
    assert without_unison(overlap) == overlap
