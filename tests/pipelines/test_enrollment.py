"""Enrollment: who is called by name, and how sure that is."""

import numpy as np
import pytest
import torch

from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines.enrollment import (
    ACCEPT,
    Enrolled,
    call_by_name,
    identify,
    probabilities_of,
    same_name,
)
from pyannote_drz.pipelines.offline import Diarization, speakers_of
from pyannote_drz.pipelines.prompts import Speaker
from pyannote_drz.pipelines.stitching import Turn


def of(degrees: float, seconds: float = 20.0) -> np.ndarray:
    embedding = np.zeros(193)
    angle = np.deg2rad(degrees)
    embedding[[0, 1, -1]] = seconds * np.cos(angle), seconds * np.sin(angle), seconds
    return embedding


def speakers(*degrees: float) -> list[Speaker]:
    return [Speaker(k, embedding=of(angle)) for k, angle in enumerate(degrees)]


def test_the_same_are_named_and_strangers_keep_numbers():
    names, scores = identify(
        speakers(92, 5, 180), [Enrolled("Ann", of(0)), Enrolled("Bob", of(90))]
    )
    assert names == {0: "Bob", 1: "Ann"}
    assert scores[0]["Bob"] > 0.9 > 0.1 > scores[0]["Ann"]
    assert max(scores[2].values()) < 0.1


def test_a_name_is_given_once_and_to_the_likeliest():
    names, _ = identify(speakers(20, 5), [Enrolled("Ann", of(0))])
    assert names == {1: "Ann"}


def test_two_speakers_who_sound_like_one_name_have_it():
    """Clustering has told them apart; others are as unlike them as they are unlike the name."""
    ann = [Enrolled("Ann", of(0))]
    heard = speakers(5, 25, 140, 160)
    names, scores = identify(heard, ann)
    assert names == {0: "Ann"}
    assert same_name(heard, ann, names, scores) == {1: 0}
    assert same_name(heard, ann, {}, scores) == {}


def test_one_name_is_one_speaker_of_the_file():
    degrees, seconds = (5, 25, 140, 160), 4.0
    positions = round(seconds / 0.08)
    voices = torch.tensor(np.stack([of(angle, 1.0)[:-1] for angle in degrees]), dtype=torch.float32)
    probabilities = torch.zeros(len(degrees) * positions, 4, 7)
    probabilities[..., 1] = 1.0  # one local speaker, always
    voices = voices.repeat_interleave(positions, 0)
    features, waveform = Features(probabilities, voices, voices), torch.zeros(16 * 16000)
    turns = [Turn(k * seconds, (k + 1) * seconds, k, 0.5) for k in range(len(degrees))]
    before = Diarization(turns, speakers_of(turns, features, waveform))
    told, names, scores = call_by_name(before, [Enrolled("Ann", of(0))], features, waveform, 1)
    assert told.turns == [Turn(0.0, 8.0, 0, 0.5), *turns[2:]]
    assert names == {0: "Ann"} and scores[0]["Ann"] > 0.9
    assert told.speakers[0].speech == pytest.approx(8.0)
    told, names, _ = call_by_name(before, [Enrolled("Ann", of(0))], features, waveform, 4)
    assert told == before and names == {0: "Ann"}


def test_a_recording_that_is_like_everybody_joins_nobody_else():
    """A telephone, say: all of a file are like it, and what is theirs alone is not."""
    heard = speakers(-30, 0, 30)
    known = [Enrolled("Ann", of(-28))]
    names, scores = identify(heard, known)
    assert names == {0: "Ann"} and scores[1]["Ann"] > ACCEPT
    assert same_name(heard, known, names, scores) == {}


def test_more_alike_is_more_probable():
    table = probabilities_of(np.stack([of(a) for a in range(0, 181, 10)]), [Enrolled("A", of(0))])
    assert (np.diff(table[:, 0]) < 0).all() and table[0, 0] > ACCEPT > table[-1, 0]


def test_nobody():
    assert identify([], [Enrolled("Ann", of(0))]) == ({}, {})
    assert identify(speakers(0), []) == ({}, {})


def test_whoever_was_hardly_heard_has_a_probability():
    silent = Enrolled("Ann", np.zeros(193))
    assert probabilities_of(of(0)[None], [silent])[0, 0] == pytest.approx(0, abs=0.1)
