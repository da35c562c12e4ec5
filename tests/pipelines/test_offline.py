"""Pass 2: chunks that leave room for prompts, and who is prompted in each of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines.batches import Step
from pyannote_drz.pipelines.chunks import ChunkRequest, ChunkResult
from pyannote_drz.pipelines.embeddings import embed
from pyannote_drz.pipelines.offline import Settings, diarize, prompted_pass
from pyannote_drz.pipelines.prompts import Speaker, Stretch
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import NOBODY, POSITION_S

from .speech import features_of, speaker_of

examples.register_profile("busy", deadline=None)  # a busy machine is not a failure
examples.load_profile("busy")


def speaker(number: int, speech: float = 20.0, seconds: float = 5.0) -> Speaker:
    """Who is recognized by embedding; without a stretch alone where that has no seconds."""
    features = features_of([(number,)] * round(seconds / POSITION_S))
    stretch = Stretch(0.0, seconds, 1.0, 1.0, features, torch.zeros(round(seconds * 16000)))
    return Speaker(number, speech=speech, stretches=[stretch] if seconds else [])


def silence(seconds: float) -> Features:
    return Features.silence(round(seconds / POSITION_S))


def result(*turns: Turn) -> ChunkResult:
    """Of a chunk; nobody has an embedding."""
    return ChunkResult(list(turns), np.zeros((len(turns), 193), dtype=np.float32))


def asked(
    settings: Settings, seconds: float, before: list[Turn], present: list[Speaker]
) -> list[ChunkRequest]:
    """What the prompted pass wants to be written of a file of so many seconds."""
    step = next(prompted_pass(silence(seconds), before, present, settings))
    assert step.name == "prompted chunks"
    return step.requests


def who(request: ChunkRequest) -> list[int]:
    """Numbers of the speakers that are prompted, by what is heard of them."""
    features, spans = request.prompts
    positions = [(round(start / POSITION_S), round(end / POSITION_S)) for start, end in spans]
    return [speaker_of(features.part(*span)) for span in positions]


# ---- windows ------------------------------------------------------------------------------------


@examples(max_examples=50)
@given(st.integers(1, 120), st.integers(1, 10), st.sampled_from([7.5, 10.0, 12.0, 15.5, 30.0]))
def test_windows_are_no_longer_than_what_the_model_knows(seconds, number, duration):
    """And all of a file's are as long as each other where the same speakers are prompted."""
    settings = Settings(
        duration=duration, context=1.0, max_local_speakers=8, threshold=0.0, min_duration_off=0.5,
        clustering_threshold=0.5, num_passes=2,
    )  # fmt: skip
    requests = asked(settings, seconds, [], [speaker(k) for k in range(number)])
    assert max(request.num_positions for request in requests) * POSITION_S <= duration
    assert len({request.num_positions for request in requests}) == 1


def test_prompted_chunks_leave_room_for_prompts(settings):
    assert settings.prompted_duration == pytest.approx(6.0)
    requests = asked(settings, 20, [], [speaker(0)])
    assert [request.features.num_positions for request in requests] == [75] * 5


# ---- whom ---------------------------------------------------------------------------------------


def test_everybody_is_prompted_everywhere_where_there_is_room(settings):
    requests = asked(settings, 20, [Turn(0, 3, 2, 1.0)], [speaker(n) for n in (0, 1, 2, 3)])
    assert [who(request) for request in requests] == [[0, 1, 2, 3]] * len(requests)
    assert [request.max_speakers for request in requests] == [4] * len(requests)
    assert all(request.prompts is requests[0].prompts for request in requests)  # laid out once


def test_with_more_speakers_than_may_be_written_those_of_the_chunk_come_first(settings):
    """Chunks begin every 4 s: 0 to 6, 4 to 10, 8 to 14, 12 to 18, 14 to 20."""
    present = [speaker(n, speech=30 - n) for n in range(6)]
    before = [Turn(0, 2, 5, 1.0), Turn(16, 20, 4, 1.0)]
    requests = asked(settings, 20, before, present)
    assert who(requests[0]) == [0, 1, 2, 5]
    assert who(requests[1]) == [0, 1, 2, 5]  # of a neighbour
    assert who(requests[-1]) == [0, 1, 2, 4]


def test_no_more_speakers_than_there_is_room_for(settings):
    """5 prompts of 0.5 s and 0.24 s fit into 4 s."""
    requests = asked(
        replace(settings, max_local_speakers=8), 20, [], [speaker(n) for n in range(9)]
    )
    for request in requests:
        assert len(request.prompts.spans) == request.max_speakers == 5
        assert all(end - start >= 0.5 for start, end in request.prompts.spans)


def test_whoever_was_never_alone_may_be_written(settings):
    present = [*(speaker(n) for n in range(4)), speaker(4, seconds=0)]
    requests = asked(settings, 20, [Turn(0, 2, 4, 1.0), Turn(1, 3, 1, 1.0)], present)
    assert 1 in who(requests[0]) and len(who(requests[0])) == 3 and requests[0].max_speakers == 4
    assert who(requests[-1]) == [0, 1, 2, 3] and requests[-1].max_speakers == 4


def test_whoever_was_hardly_heard_is_not_prompted_but_may_speak(settings):
    """Most of them are mistakes of pass 1."""
    present = [speaker(0, speech=100), speaker(1, speech=1.0), speaker(2, speech=50)]
    requests = asked(settings, 20, [Turn(0, 1, 1, 1.0)], present)
    assert [who(request) for request in requests] == [[0, 2]] * len(requests)
    assert [request.max_speakers for request in requests] == [3] + [2] * (len(requests) - 1)


def test_somebody_may_always_be_written(settings):
    """Also where nobody was heard, and nobody is worth a prompt."""
    present = [speaker(0, speech=100, seconds=0), speaker(1, speech=1.0)]
    for request in asked(settings, 20, [Turn(0, 6, 0, 1.0)], present):
        assert who(request) == [] and request.max_speakers >= 1


# ---- what becomes of it -------------------------------------------------------------------------


def finish(job, answers: list[ChunkResult]):
    """What a job returns when its step is answered so."""
    next(job)
    with pytest.raises(StopIteration) as stop:
        job.send(answers)
    return stop.value.value


def test_local_speakers_are_speakers_of_the_file(settings):
    """Prompted ones by their prompts, a new one by who was heard at that time in pass 1."""
    present = [speaker(0), speaker(1), speaker(2, seconds=0)]
    before = [Turn(0, 2, 1, 1.0), Turn(3, 5, 2, 1.0)]
    job = prompted_pass(silence(6), before, present, settings)
    answer = result(Turn(0, 2.1, 1, 0.9), Turn(3, 5, 2, 0.9), Turn(5.2, 5.9, 0, 0.9))
    chunks, (turns,) = finish(job, [answer])
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 75)]
    told = [(turn.start, turn.end, turn.speaker) for turn in turns]
    assert told == [(0, 2.1, 1), (3, 5, 2), (5.2, 5.9, 0)]


def test_a_new_local_speaker_that_is_nobody_disappears(settings):
    job = prompted_pass(silence(6), [Turn(0, 2, 0, 1.0)], [speaker(0)], settings)
    _, (turns,) = finish(job, [result(Turn(0, 2, 0, 0.9), Turn(3, 5, 1, 0.9))])
    assert [turn.speaker for turn in turns] == [0]


def steps_of(settings: Settings, seconds: float) -> list[Step]:
    """Steps of a file in which one person speaks from beginning to end."""

    def answer(request: ChunkRequest) -> ChunkResult:
        turns = [Turn(0, request.features.num_positions * POSITION_S, 0, 0.9)]
        return ChunkResult(turns, embed(turns, request.features))

    features = features_of([(0,)] * round(seconds / POSITION_S))
    waveform = torch.zeros(round(seconds * 16000))
    job = diarize(features, waveform, settings, 1, 9, lambda *args: None)
    steps = [next(job)]
    while True:
        try:
            steps.append(job.send([answer(request) for request in steps[-1].requests]))
        except StopIteration as stop:
            (turn,) = stop.value.turns
            assert (turn.start, turn.end) == (0, pytest.approx(seconds))
            return steps


def test_two_passes(settings):
    """The first hears whole windows, without prompts; the second shorter chunks, with prompts."""
    first, second = steps_of(settings, 30.4)
    assert (first.name, second.name) == ("chunks", "prompted chunks")
    for request in first.requests:
        assert request.prompts is NOBODY and request.features.num_positions == 125
    for request in second.requests:
        assert request.prompts.spans and request.features.num_positions == 75


def test_one_pass_where_that_is_asked_for(settings):
    assert [step.name for step in steps_of(settings, 8.8)] == ["chunks", "prompted chunks"]
    assert [step.name for step in steps_of(replace(settings, num_passes=1), 30.4)] == ["chunks"]
