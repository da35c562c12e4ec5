"""Prompts: whose, and which of their seconds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines.embeddings import embed
from pyannote_drz.pipelines.offline import cutter
from pyannote_drz.pipelines.prompts import (
    MOST_STRETCHES,
    Speaker,
    Stretch,
    choose,
    prompts_of,
    remember,
    waveform_of,
)
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import (
    LONGEST_PROMPT,
    POSITION_S,
    PROMPTS_SHARE,
    SHORTEST_PROMPT,
    SILENCE_POSITIONS,
    room_for,
)

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")

WINDOW_S = 30.0


def counting(num_positions: int, first: int = 0) -> Features:
    """Features of a recording that counts its positions."""
    features = Features.silence(num_positions)
    short = torch.zeros(num_positions, 192)
    short[:, 0] = torch.arange(first, first + num_positions)
    return features._replace(short=short)


RECORDING = cutter(counting(1250), torch.arange(1250 * 1280) / 1280)


def heard(*turns: Turn, embeddings: np.ndarray | None = None) -> Speaker:
    """Speaker 0, after these turns of three speakers."""
    speakers = [Speaker(number) for number in range(3)]
    if embeddings is None:
        embeddings = np.tile(np.append(np.ones(192), 1.0), (len(turns), 1))
    remember(speakers, turns, embeddings, RECORDING)
    return speakers[0]


def best(speaker: Speaker) -> tuple[float, float]:
    return speaker.stretches[0].start, speaker.stretches[0].end


def stretch(start: float, end: float) -> Stretch:
    return Stretch(start, end, 1.0, 1.0, *RECORDING(start, end))


# ---- which seconds ------------------------------------------------------------------------------


def test_only_what_is_said_alone_can_be_a_prompt():
    speaker = heard(Turn(0, 4, 0, 0.5), Turn(1, 1.6, 1, 1.0), Turn(3.9, 5, 2, 1.0))
    assert best(speaker) == (1.6, 3.9)
    (first, *_) = speaker.stretches
    assert first.probability == 0.5 and speaker.speech == 4 and speaker.last_heard == 4
    assert first.features.short[:, 0].tolist() == list(range(20, 48))  # whole positions
    assert first.waveform[0] == 20 and len(first.waveform) == round(2.3 * 16000)


def test_too_short_for_a_prompt():
    assert not heard(Turn(0, 0.4, 0, 1.0)).stretches
    assert best(heard(Turn(0, 0.5, 0, 1.0))) == (0, 0.5)
    assert not heard(Turn(0, 3, 0, 1.0), Turn(0.4, 2.6, 1, 1.0)).stretches


def test_the_middle_of_a_long_turn():
    assert best(heard(Turn(10, 30, 0, 0.5))) == (17.5, 22.5)


def test_the_best_are_kept_and_replaced_only_by_better():
    speaker = heard(*(Turn(10 * k, 10 * k + 1 + k % 4, 0, 0.9) for k in range(7)))
    assert len(speaker.stretches) == MOST_STRETCHES
    assert [s.start for s in speaker.stretches] == [30, 20, 60]


def test_what_is_not_kept_is_not_cut():
    speaker, asked = heard(*(Turn(10 * k, 10 * k + 4, 0, 1.0) for k in range(4))), []
    embedding = np.append(np.ones(192), 1.0)[None]
    remember([speaker], [Turn(60, 62, 0, 1.0)], embedding, lambda *span: asked.append(span))
    assert not asked


def test_what_sounds_like_all_the_rest_wins():
    """The longest turn is somebody else's."""
    embeddings = np.zeros((4, 193))
    embeddings[:, :2] = [[0.0, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.0]]
    embeddings[:, -1] = 1.0
    turns = [Turn(s, s + n, 0, 1.0) for s, n in zip((0, 10, 20, 30), (5, 2, 2, 3), strict=True)]
    assert best(heard(*turns)) == (0, 5)
    speaker = heard(*turns, embeddings=embeddings)
    assert [s.start for s in speaker.stretches] == [30, 20, 10]
    assert speaker.stretches[0].likeness == pytest.approx(0.9, abs=0.1)


# ---- whose --------------------------------------------------------------------------------------


def test_most_and_most_recent_speech_is_prompted():
    alone = [stretch(0, 1)]
    speakers = [
        Speaker(0, speech=30, last_heard=300, stretches=alone),
        Speaker(1, speech=100, last_heard=0, stretches=alone),  # 5 half-lives ago: counts 3 s
        Speaker(2, speech=5, last_heard=300, stretches=alone),
        Speaker(3, speech=500, last_heard=300),  # never alone
    ]
    assert [speaker.number for speaker in choose(speakers, 2, now=300)] == [0, 2]
    assert [speaker.number for speaker in choose(speakers, 9, now=300)] == [0, 1, 2]
    assert choose(speakers, 0, now=300) == []


# ---- how much -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number, longest", [(1, 62), (2, 62), (3, 47), (4, 34), (8, 15)])
def test_the_more_speakers_the_shorter_their_prompts(number, longest):
    speakers = [Speaker(i, stretches=[stretch(6 * i, 6 * i + 5)]) for i in range(number)]
    features, spans = prompts_of(speakers, WINDOW_S)
    assert [round((end - start) / POSITION_S) for start, end in spans] == [longest] * number
    middle = features.short[round(spans[-1][0] / POSITION_S) + longest // 2, 0]
    assert middle == pytest.approx((6 * number - 3.5) / POSITION_S, abs=2)  # of the stretch


@given(st.floats(3.0, 60.0), st.lists(st.floats(0.58, 5.0), min_size=1, max_size=26))
def test_all_prompts_fit_into_their_share_of_the_window(window_s, lengths):
    """Where there is room, and then all of them are long enough."""
    most = room_for(PROMPTS_SHARE * window_s)
    speakers = [Speaker(i, stretches=[stretch(0, n)]) for i, n in enumerate(lengths)][:most]
    features, spans = prompts_of(speakers, window_s)
    assert features.num_positions * POSITION_S <= PROMPTS_SHARE * window_s + 1e-6
    assert features.num_positions == sum(
        round((end - start) / POSITION_S) + SILENCE_POSITIONS for start, end in spans
    )
    for (start, end), length in zip(spans, lengths, strict=False):
        assert min(SHORTEST_PROMPT, length) - 2 * POSITION_S <= end - start <= LONGEST_PROMPT


def test_what_is_given_to_other_files_is_at_most_five_seconds():
    samples = waveform_of([stretch(10, 13), stretch(20, 23), stretch(30, 33)], 16000)
    assert len(samples) == 5 * 16000
    assert samples[0] == 125 and samples[3 * 16000] == 250  # positions


def test_remembered_seconds_sound_like_their_turn():
    """What is cut and what is embedded are the same positions."""
    features = counting(200)
    turns = [Turn(1.0, 5.03, 0, 1.0)]
    speaker = Speaker(0)
    remember([speaker], turns, embed(turns, features), cutter(features, torch.zeros(256000)))
    assert speaker.stretches[0].features.short[:, 0].tolist() == list(range(13, 62))
