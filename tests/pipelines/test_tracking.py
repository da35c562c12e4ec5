"""Chunks are 10 s long; of each, what comes 2 s before its end and `STEP_S` before that is told."""

import math

import numpy as np
import pytest

from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.pipelines.tracking import MANY, MOST_REMEMBERED, Tracker

THRESHOLD = 0.35
CHUNK_S, STEP_S, AHEAD_S = 10.0, 6.0, 2.0


def voice(number: int, seconds: float, like: tuple[int, float] | None = None) -> np.ndarray:
    """Summed embedding of somebody, who may be like somebody else."""
    embedding = np.zeros(193)
    embedding[number] = seconds
    if like is not None:
        other, cosine = like
        embedding[number] = seconds * (1 - cosine**2) ** 0.5
        embedding[other] = seconds * cosine
    embedding[-1] = seconds
    return embedding


class Listener:
    """Follows a conversation; the model makes no mistake, but for who is who."""

    def __init__(self, max_speakers: float = math.inf):
        self.tracker = Tracker(max_speakers, THRESHOLD)
        self.told: list[Turn] = []

    def hear(self, first: float, *turns: tuple, prompted=()) -> dict[int, int]:
        """Tell `first` to `first + STEP_S`; turns are (start, end, local speaker, embedding)."""
        last = first + STEP_S
        span = max(last + AHEAD_S - CHUNK_S, 0.0), first, last
        some = [Turn(start, end, local, 1.0) for start, end, local, _ in turns]
        embeddings = np.array([embedding for *_, embedding in turns]).reshape(len(turns), 193)
        speakers = [self.tracker.speakers[number] for number in prompted]
        who = self.tracker.recognize(some, embeddings, speakers, self.told, span)
        for turn, embedding in zip(some, embeddings, strict=True):
            start, end = max(turn.start, first), min(turn.end, last)
            if turn.speaker in who and start < end:
                speaker = who[turn.speaker]
                speaker.embedding = speaker.embedding + embedding
                speaker.last_heard = end
                self.told.append(Turn(start, end, speaker.number, 1.0))
        return {local: speaker.number for local, speaker in who.items()}


def test_new_local_speakers_are_new_by_arrival():
    who = Listener().hear(0, (3, 6, 0, voice(0, 3)), (0, 2.5, 1, voice(1, 2.5)))
    assert who == {1: 0, 0: 1}


def test_local_speakers_of_prompts_are_known():
    listener = Listener()
    listener.hear(0, (0, 3, 0, voice(0, 3)), (3, 6, 1, voice(1, 3)))
    turns = (7, 9, 0, voice(1, 2)), (9, 12, 1, voice(2, 3))
    assert listener.hear(6, *turns, prompted=[1]) == {0: 1, 1: 2}


def test_who_is_heard_in_context_only_does_not_count():
    listener = Listener()
    assert listener.hear(0, (6, 8, 0, voice(0, 2))) == {}
    assert not listener.tracker.speakers


def test_whoever_sounds_alike_is_recognized():
    listener = Listener()
    listener.hear(0, (0, 3, 0, voice(0, 3)), (3, 6, 1, voice(1, 3)))
    listener.hear(6)
    turns = (12, 15, 0, voice(1, 3)), (15, 17, 1, voice(5, 2, (0, 0.5))), (17, 20, 2, voice(7, 3))
    assert listener.hear(12, *turns) == {0: 1, 1: 0, 2: 2}


def test_a_turn_that_goes_on_is_whose_it_was():
    """What is told of it before is a part of the same local speaker."""
    listener = Listener()
    listener.hear(0, (0, 2.5, 0, voice(0, 2.5)), (3, 8, 1, voice(1, 5)))
    assert listener.hear(6, (4, 10, 0, voice(1, 6))) == {0: 1}


def test_nobody_new_is_made_of_a_glimpse():
    listener = Listener()
    assert listener.hear(0, (0, 0.3, 0, voice(0, 0.3))) == {0: 0}  # there is nobody else
    listener.hear(6, (7, 10, 0, voice(1, 3)))
    assert listener.hear(12, (14, 14.5, 0, voice(2, 0.5, (1, 0.1)))) == {0: 1}


def test_who_was_taken_for_somebody_else_has_a_label_as_soon_as_they_are_heard():
    listener = Listener()
    listener.hear(0, (0, 5, 0, voice(0, 5)))
    assert listener.hear(6, (11.5, 13, 0, voice(1, 0.5))) == {0: 0}
    assert listener.hear(12, (11.5, 17, 0, voice(1, 5))) == {0: 1}


def test_one_who_had_two_labels_has_the_one_of_most_seconds():
    listener = Listener()
    listener.hear(0, (0, 4, 0, voice(0, 4)), (4, 6, 1, voice(1, 2)))
    listener.hear(6, (9, 12, 0, voice(2, 3, (0, 0.2))))  # told to be a third one
    assert len(listener.tracker.speakers) == 3
    between = voice(0, 6, (2, 0.7))  # and now heard to be like both
    assert listener.hear(12, (13, 19, 0, between)) == {0: 0}
    assert listener.hear(18, (21, 24, 0, voice(2, 3, (0, 0.2)))) == {0: 0}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_speakers_than_allowed(most):
    listener = Listener(max_speakers=most)
    for step in range(8):
        at = step * STEP_S
        listener.hear(at, (at, at + 3, 0, voice(step, 3)), (at + 3, at + 6, 1, voice(50 + step, 3)))
    assert len(listener.tracker.speakers) == most and listener.tracker.full


def test_hours_take_no_more_than_minutes(monkeypatch):
    """Of long ago, what is remembered is one item for each speaker, and they are still known."""
    monkeypatch.setattr("pyannote_drz.pipelines.tracking.MANY", 12)
    monkeypatch.setattr("pyannote_drz.pipelines.tracking.MOST_REMEMBERED", 30)
    listener, most = Listener(), 0
    for step in range(120):
        at = step * STEP_S
        a, b = step % 5, (step + 1) % 5
        turns = (max(at - 2, 0), at + 3, 0, voice(a, 5)), (at + 3, at + 8, 1, voice(b, 5))
        assert listener.hear(at, *turns) == {0: a, 1: b}
        most = max(most, len(listener.tracker._heard), len(listener.tracker._past))
    assert len(listener.tracker.speakers) == 5 and most <= 32
    assert MANY < MOST_REMEMBERED
