"""Online: what of a stream is written, and with which prompts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pyannote_drz.pipelines.chunks import Ask, Written
from pyannote_drz.pipelines.online import Stream, check_step, heard_s
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import NOBODY

RATE = 100


def follow(settings, seconds: float, num_people: int, max_people: float = 9) -> list[Ask]:
    """What is written of a stream in which everybody speaks for 2 s in turn, step by step.

    Whoever is prompted is recognised by the samples of their prompt, which say who speaks.
    """
    asks = []
    speaker = torch.arange(round(seconds * RATE)) // (2 * RATE) % num_people

    def write(batch: list[Ask]) -> list[Written]:
        (ask,) = batch
        asks.append(ask)
        waveform, spans = ask.prompts
        names = [int(waveform[round(start * RATE)]) for start, _ in spans]
        edges = [0, *(ask.waveform.diff().nonzero()[:, 0] + 1).tolist(), len(ask.waveform)]
        turns, vectors = [], []
        for start, end in zip(edges, edges[1:], strict=False):
            name = int(ask.waveform[start])
            if name not in names:
                names.append(name)
            turns.append(Turn(start / RATE, end / RATE, names.index(name), 0.9))
            vectors.append((end - start) * np.append(np.eye(12)[name], 1.0))
        assert len(names) <= 12
        speech = np.ones(len(ask.waveform) // 2)
        return [Written(turns, np.array(vectors), np.ones(13), speech)]

    stream = Stream(
        speaker.float().split(RATE), RATE, settings, write, step=1.0, lookahead=1.0, known=[],
        max_people=max_people, classes=(f"S{n}" for n in range(99)),
    )  # fmt: skip
    list(stream)
    return asks


def test_nobody_is_known_at_first_and_everybody_in_the_end(settings):
    asks = follow(settings, 20, num_people=2)
    assert asks[0].prompts is NOBODY
    assert len(asks[-1].prompts.spans) == 2


def test_windows_are_no_longer_than_what_the_model_knows(settings):
    for num_people in (1, 3, 9):
        asks = follow(settings, 40, num_people)
        assert max(len(ask.waveform) for ask in asks) == 600
        assert max(ask.num_samples for ask in asks) <= 1000
        assert any(ask.prompts.spans for ask in asks)


def test_without_prompts_chunks_are_whole_windows(settings):
    asks = follow(replace(settings, num_passes=1), 20, num_people=2)
    assert all(ask.prompts is NOBODY for ask in asks)
    assert max(len(ask.waveform) for ask in asks) == 1000


def test_a_letter_is_kept_for_whoever_may_come(settings):
    """Three people may all be prompted once they are known to be all."""
    asks = follow(settings, 40, num_people=9)
    assert max(len(ask.prompts.spans) for ask in asks) == 3
    assert all(ask.max_speakers == 4 for ask in asks)
    asks = follow(settings, 40, num_people=3, max_people=3)
    assert max(len(ask.prompts.spans) for ask in asks) == 3
    assert all(ask.max_speakers == 3 for ask in asks)


@pytest.mark.parametrize("num_passes, most", [(1, 10.0), (2, 6.0)])
def test_steps_must_fit_into_what_is_heard(settings, num_passes, most):
    settings = replace(settings, num_passes=num_passes)
    assert heard_s(settings) == pytest.approx(most)
    check_step(most - 1.5, 1.0, settings)
    with pytest.raises(ValueError, match=f"must fit into a chunk of {most:g} s, got {most:g} and"):
        check_step(most, 1.0, settings)
