"""Second thoughts: which turns change their speaker, and what never changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.pipelines.revision import SHORTEST_S, revise
from pyannote_drz.pipelines.stitching import Turn

A, B = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def turns_of(*rows: tuple[float, float, int]) -> list[Turn]:
    return [Turn(start, end, speaker, 0.9) for start, end, speaker in rows]


def speakers(turns: list[Turn]) -> list[int]:
    return [turn.speaker for turn in turns]


def test_later_turns_judge_earlier_ones():
    turns = turns_of((0, 2, 0), (2, 4, 0), (4, 6, 1), (6, 8, 0))
    (revised,) = revise([turns], [np.stack([A, B, B, A])])
    assert speakers(revised) == [0, 1, 1, 0]


def test_another_chunk_judges():
    one, other = turns_of((0, 2, 0), (2, 4, 0)), turns_of((30, 32, 0), (32, 34, 1), (34, 36, 1))
    revised = revise([one, other], [np.stack([A, B]), np.stack([A, B, B])])
    assert [speakers(turns) for turns in revised] == [[0, 1], [0, 1, 1]]


def test_known_people_judge():
    turns = turns_of((0, 2, 0), (2, 4, 0), (4, 6, 0))
    (revised,) = revise([turns], [np.stack([A, B, A])], np.stack([5 * A, 5 * B]))
    assert speakers(revised) == [0, 1, 0]


def test_nobody_talks_over_themselves():
    turns = turns_of((0, 2, 0), (2, 4, 0), (3, 6, 1))
    (revised,) = revise([turns], [np.stack([A, B, B])])
    assert revised == turns


def test_short_turns_stay():
    turns = turns_of((0, 2, 0), (2, 2 + SHORTEST_S - 0.01, 0), (4, 6, 1))
    (revised,) = revise([turns], [np.stack([A, B, B])])
    assert revised == turns


def test_who_is_heard_once_stays():
    turns = turns_of((0, 2, 0), (2, 4, 1))
    (revised,) = revise([turns], [np.stack([A, A])])
    assert revised == turns


def test_nothing_to_revise():
    assert revise([[], []], [np.zeros((0, 3)), np.zeros((0, 3))]) == [[], []]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5))
def test_only_speakers_change(seed, num_chunks, num_people):
    rng = np.random.default_rng(seed)
    chunks, vectors = [], []
    for _ in range(num_chunks):
        rows, until = [], {}
        for start in np.sort(rng.uniform(0, 30, rng.integers(0, 12))).tolist():
            speaker = int(rng.integers(num_people))
            start = max(start, until.get(speaker, 0.0))  # nobody talks over themselves
            until[speaker] = start + float(rng.uniform(0.1, 3))
            rows.append((start, until[speaker], speaker))
        chunks.append(sorted(turns_of(*rows)))
        vectors.append(rng.normal(size=(len(rows), 3)))
    revised = revise(chunks, vectors)
    assert revised == revise(chunks, vectors)
    there = {turn.speaker for turns in chunks for turn in turns}
    for before, after in zip(chunks, revised, strict=True):
        assert [turn[:2] for turn in before] == [turn[:2] for turn in after]
        assert set(speakers(after)) <= there
        for k, turn in enumerate(after):
            for other in after[k + 1 :]:
                apart = turn.speaker != other.speaker or other.start >= turn.end
                assert apart, "somebody talks over themselves"
