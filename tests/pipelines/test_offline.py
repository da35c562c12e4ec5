"""Pass 2: chunks that leave room for prompts, and who is prompted in each of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pyannote_drz.pipelines.chunks import Ask, Step, Written
from pyannote_drz.pipelines.offline import Settings, diarize, hear_again
from pyannote_drz.pipelines.prompts import Person, Sample
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import NOBODY

examples.register_profile("busy", deadline=None)  # a busy machine is not a failure
examples.load_profile("busy")

RATE = 100


def person(number: int, speech: float = 20.0, voice_s: float = 5.0) -> Person:
    """Whose samples are all `number` + 1; without a voice where that has no seconds."""
    sample = Sample(0.0, voice_s, 1.0, torch.full((round(voice_s * RATE),), number + 1.0))
    vector = np.eye(32)[number]
    return Person(number, vector=vector, speech=speech, samples=[sample] if voice_s else [])


def written(*turns: Turn, seconds: float = 6.0) -> Written:
    """Of a chunk; nobody has a voice."""
    voices = np.zeros((len(turns), 33), dtype=np.float32)
    return Written(list(turns), voices, np.zeros(33), np.ones(round(seconds * 50)))


def asked(
    settings: Settings, seconds: float, before: list[Turn], present: list[Person]
) -> list[Ask]:
    """What pass 2 wants to be written of a file of so many seconds."""
    job = hear_again(torch.zeros(round(seconds * RATE)), before, present, settings)
    step = next(job)
    assert step.name == "prompted chunks"
    return step.asks


def who(ask: Ask) -> list[int]:
    """Numbers of the people that are prompted, by what is heard of them."""
    waveform, spans = ask.prompts
    return [int(waveform[round(start * RATE)]) - 1 for start, _ in spans]


# ---- windows ------------------------------------------------------------------------------------


@examples(max_examples=50)
@given(st.integers(1, 120), st.integers(1, 10), st.sampled_from([7.5, 10.0, 12.0, 15.5, 30.0]))
def test_windows_are_no_longer_than_what_the_model_knows(seconds, num_people, duration):
    """And all of a file's are as long as each other where the same people are prompted."""
    settings = Settings(
        sample_rate=RATE, duration=duration, context=1.0, position_s=0.08, bin_s=0.02,
        num_letters=8, threshold=0.0, activity_threshold=0.0, min_duration_off=0.5,
        linking_threshold=0.5, num_passes=2,
    )  # fmt: skip
    asks = asked(settings, seconds, [], [person(number) for number in range(num_people)])
    assert max(ask.num_samples for ask in asks) <= duration * RATE
    assert len({ask.num_samples for ask in asks}) == 1
    for ask in asks:
        assert len(ask.prompts.waveform) % round(settings.position_s * RATE) == 0
        assert len(ask.waveform) == min(round(settings.prompted_duration * RATE), seconds * RATE)


def test_prompted_chunks_leave_room_for_prompts(settings):
    assert settings.prompted_duration == pytest.approx(6.0)
    asks = asked(settings, 20, [], [person(0)])
    assert [len(ask.waveform) for ask in asks] == [600] * 5


def test_nobody_is_prompted_with_nothing(settings):
    assert settings.prompts([]) is NOBODY


# ---- whom ---------------------------------------------------------------------------------------


def test_everybody_is_prompted_everywhere_where_there_are_letters(settings):
    asks = asked(settings, 20, [Turn(0, 3, 2, 1.0)], [person(n) for n in (0, 1, 2, 3)])
    assert [who(ask) for ask in asks] == [[0, 1, 2, 3]] * len(asks)
    assert [ask.max_speakers for ask in asks] == [4] * len(asks)
    assert all(ask.prompts is asks[0].prompts for ask in asks)  # laid out once


def test_with_more_people_than_letters_those_of_the_chunk_come_first(settings):
    """Chunks begin every 4 s: 0 to 6, 4 to 10, 8 to 14, 12 to 18, 14 to 20."""
    present = [person(n, speech=30 - n) for n in range(6)]
    before = [Turn(0, 2, 5, 1.0), Turn(16, 20, 4, 1.0)]
    asks = asked(settings, 20, before, present)
    assert who(asks[0]) == [0, 1, 2, 5]
    assert who(asks[1]) == [0, 1, 2, 5]  # of a neighbour
    assert who(asks[-1]) == [0, 1, 2, 4]


def test_no_more_people_than_there_is_room_for(settings):
    """5 prompts of 0.5 s and 0.2 s fit into 4 s; whoever has none of them has no letter."""
    asks = asked(replace(settings, num_letters=8), 20, [], [person(n) for n in range(9)])
    for ask in asks:
        assert len(ask.prompts.spans) == ask.max_speakers == 5
        assert all(end - start >= 0.5 for start, end in ask.prompts.spans)


def test_whoever_was_never_alone_gets_a_free_letter(settings):
    present = [*(person(n) for n in range(4)), person(4, voice_s=0)]
    asks = asked(settings, 20, [Turn(0, 2, 4, 1.0), Turn(1, 3, 1, 1.0)], present)
    assert 1 in who(asks[0]) and len(who(asks[0])) == 3 and asks[0].max_speakers == 4
    assert who(asks[-1]) == [0, 1, 2, 3] and asks[-1].max_speakers == 4


def test_whoever_was_hardly_heard_is_not_prompted_but_may_speak(settings):
    """Most of them are mistakes of pass 1; those known beforehand are not."""
    enrolled = person(2, speech=1.0)
    enrolled.enrolled = enrolled.samples[0]
    present = [person(0, speech=100), person(1, speech=1.0), enrolled]
    asks = asked(settings, 20, [Turn(0, 1, 1, 1.0)], present)
    assert [who(ask) for ask in asks] == [[0, 2]] * len(asks)
    assert [ask.max_speakers for ask in asks] == [3] + [2] * (len(asks) - 1)


def test_there_is_always_a_letter(settings):
    """Also where nobody was heard, and nobody is worth a prompt."""
    present = [person(0, speech=100, voice_s=0), person(1, speech=1.0)]
    for ask in asked(settings, 20, [Turn(0, 6, 0, 1.0)], present):
        assert who(ask) == [] and ask.max_speakers >= 1


# ---- what becomes of it -------------------------------------------------------------------------


def finish(job, answers: list[Written]):
    """What a job returns when its step is answered so."""
    next(job)
    with pytest.raises(StopIteration) as stop:
        job.send(answers)
    return stop.value.value


def test_letters_are_people(settings):
    """Prompted letters by their prompts, a free one by who was heard at that time in pass 1."""
    present = [person(0), person(1), person(2, voice_s=0)]
    before = [Turn(0, 2, 1, 1.0), Turn(3, 5, 2, 1.0)]
    job = hear_again(torch.zeros(6 * RATE), before, present, settings)
    answer = written(Turn(0, 2.1, 1, 0.9), Turn(3, 5, 2, 0.9), Turn(5.2, 5.9, 0, 0.9))
    chunks, (heard,) = finish(job, [answer])
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 600)]
    told = [(turn.start, turn.end, turn.speaker) for turn in heard.turns]
    assert told == [(0, 2.1, 1), (3, 5, 2), (5.2, 5.9, 0)]


def test_a_free_letter_that_is_nobody_disappears(settings):
    job = hear_again(torch.zeros(6 * RATE), [Turn(0, 2, 0, 1.0)], [person(0)], settings)
    _, (heard,) = finish(job, [written(Turn(0, 2, 0, 0.9), Turn(3, 5, 1, 0.9))])
    assert [turn.speaker for turn in heard.turns] == [0]


def steps_of(settings: Settings, seconds: float) -> list[Step]:
    """Steps of a file in which one person speaks from beginning to end."""

    def answer(ask: Ask) -> Written:
        length = len(ask.waveform) / RATE
        one = written(Turn(0, length, 0, 0.9), seconds=length)
        return one._replace(voices=np.ones((1, 33), dtype=np.float32))

    job = diarize(torch.zeros(round(seconds * RATE)), settings, [], 1, 9, lambda *args: None)
    steps = [next(job)]
    while True:
        try:
            steps.append(job.send([answer(ask) for ask in steps[-1].asks]))
        except StopIteration as stop:
            (turn,) = stop.value.turns
            assert (turn.start, turn.end) == (0, seconds)
            return steps


def test_two_passes(settings):
    """The first hears whole windows, without prompts; the second shorter chunks, with prompts."""
    first, second = steps_of(settings, 30)
    assert (first.name, second.name) == ("chunks", "prompted chunks")
    assert all(ask.prompts is NOBODY and len(ask.waveform) == 1000 for ask in first.asks)
    assert all(ask.prompts.spans and len(ask.waveform) == 600 for ask in second.asks)


def test_one_pass_is_enough_for_one_chunk(settings):
    assert [step.name for step in steps_of(settings, 9)] == ["chunks"]
    assert [step.name for step in steps_of(replace(settings, num_passes=1), 30)] == ["chunks"]
