"""Chunks go from 10 to 20 s here, and 12 to 18 s of them are told."""

import math

import numpy as np

from pyannote_drz.pipelines.prompts import Speaker
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.pipelines.tracking import Tracker

SPAN = (10.0, 12.0, 18.0)
THRESHOLD = 0.25  # context alone may decide


def of(x: float, y: float, seconds: float = 5.0) -> np.ndarray:
    embedding = np.zeros(193)
    embedding[[0, 1, -1]] = x, y, seconds
    return embedding


def unlike(number: int, seconds: float = 5.0) -> np.ndarray:
    """Nobody else's voice."""
    embedding = np.zeros(193)
    embedding[[2 + number, -1]] = seconds
    return embedding


def meet(tracker: Tracker, *turns: Turn, prompted=(), before=(), embeddings=None) -> dict[int, int]:
    if embeddings is None:
        embeddings = [unlike(100 + turn.speaker) for turn in turns]
    embeddings = np.array(embeddings)
    some = [tracker.speakers[number] for number in prompted]
    who = tracker.recognize(list(turns), embeddings, some, list(before), SPAN)
    return {local: speaker.number for local, speaker in who.items()}


def tracker_of(*last_heard: float, max_speakers: float = math.inf) -> Tracker:
    """Somebody for each time at which they were last heard."""
    tracker = Tracker(max_speakers, THRESHOLD)
    for number, time in enumerate(last_heard):
        known = Speaker(number, embedding=unlike(number), speech=1.0, last_heard=time)
        tracker.speakers.append(known)
    return tracker


def test_new_local_speakers_are_new_by_arrival():
    tracker = Tracker(math.inf, THRESHOLD)
    assert meet(tracker, Turn(15, 16, 0, 1.0), Turn(13, 14, 1, 1.0)) == {1: 0, 0: 1}


def test_local_speakers_of_prompts_are_known():
    tracker = tracker_of(9, 9, 9)
    who = meet(tracker, Turn(13, 14, 1, 1.0), Turn(15, 16, 2, 1.0), prompted=[0, 2])
    assert who == {0: 0, 1: 2, 2: 3}


def test_who_is_heard_in_context_only_does_not_count():
    tracker = Tracker(math.inf, THRESHOLD)
    assert meet(tracker, Turn(10, 12, 0, 1.0), Turn(18, 20, 1, 1.0)) == {}
    assert len(tracker.speakers) == 0


def test_a_new_local_speaker_is_recognized_by_what_it_says_in_the_context():
    tracker = tracker_of(9, 12)
    before = [Turn(10.1, 12, 1, 1.0)]
    assert meet(tracker, Turn(10, 13, 0, 1.0), Turn(14, 15, 1, 1.0), before=before) == {0: 1, 1: 2}


def test_whoever_the_chunk_names_itself_is_nobody_else():
    turns = Turn(10, 13, 1, 1.0), Turn(14, 15, 0, 1.0)
    who = meet(tracker_of(12), *turns, prompted=[0], before=[Turn(10, 12, 0, 1.0)])
    assert who == {0: 0, 1: 1}


def test_a_glimpse_of_somebody_in_the_context_is_not_enough():
    tracker = tracker_of(12)
    assert meet(tracker, Turn(10, 13, 0, 1.0), before=[Turn(10, 10.5, 0, 1.0)]) == {0: 1}


def test_who_is_silent_now_is_nobody_else():
    """Taken for speaker 0 in the step before; but this chunk has two, and 0 is the other one."""
    before = [Turn(10, 11, 0, 1.0), Turn(11.2, 12, 0, 1.0)]
    turns = Turn(10, 11, 0, 1.0), Turn(11.2, 14, 1, 1.0)
    assert meet(tracker_of(12), *turns, before=before) == {1: 1}


def test_no_more_speakers_than_allowed():
    tracker = tracker_of(5, 9, max_speakers=3)
    who = meet(tracker, Turn(13, 14, 0, 1.0), Turn(14, 15, 1, 1.0), Turn(15, 16, 2, 1.0))
    assert who == {0: 2, 1: 1, 2: 0}  # a newcomer, then who was heard last
    assert len(tracker.speakers) == 3 and tracker.full


def test_whoever_sounds_alike_is_recognized():
    tracker = tracker_of(5, 9)
    tracker.threshold = 0.5
    tracker.speakers[0].embedding, tracker.speakers[1].embedding = of(1, 0), of(0, 1)
    turns = Turn(13, 14, 0, 1.0), Turn(14, 15, 1, 1.0), Turn(15, 16, 2, 1.0)
    embeddings = [of(-1, -1), of(0.2, 3), of(2, 0.1)]
    assert meet(tracker, *turns, embeddings=embeddings) == {0: 2, 1: 1, 2: 0}


def test_nobody_new_is_made_of_a_glimpse():
    assert meet(tracker_of(5, 9), Turn(13, 13.2, 0, 1.0)) == {0: 1}  # who was heard last
    assert meet(Tracker(math.inf, THRESHOLD), Turn(13, 13.2, 0, 1.0)) == {
        0: 0
    }  # there is nobody else
