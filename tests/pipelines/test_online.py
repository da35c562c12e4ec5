"""Online: what of a stream is encoded and written, and with which prompts."""

from dataclasses import replace

import pytest
import torch

from pyannote_drz.models.encoders.features import Blocks
from pyannote_drz.pipelines.chunks import ChunkRequest, ChunkResult
from pyannote_drz.pipelines.embeddings import embed
from pyannote_drz.pipelines.online import Stream, check_step, heard_s
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import NOBODY, POSITION_S

from .speech import features_of, speaker_of

RATE = 16000


@pytest.fixture
def follow(settings, monkeypatch):
    """What is written of a stream in which everybody speaks for 2 s in turn, step by step.

    Beside it, how many seconds are encoded in each step.
    """

    def follow(number: int, seconds: float = 30.0, max_speakers: float = 9, **changed):
        requests, encoded = [], []

        def encode(self, waveform, start, stop, at):
            encoded.append((stop - start) * POSITION_S)
            return features_of([(int(k / 25) % number,) for k in range(start, stop)])

        def decode(batch: list[ChunkRequest]) -> list[ChunkResult]:
            (request,) = batch
            requests.append(request)
            prompts, spans = request.prompts
            spans = [(round(start / POSITION_S), round(end / POSITION_S)) for start, end in spans]
            local = [speaker_of(prompts.part(*span)) for span in spans]
            turns = []
            for at in range(request.features.num_positions):
                name = speaker_of(request.features.part(at, at + 1))
                if name not in local:
                    local.append(name)
                where = (at * POSITION_S, (at + 1) * POSITION_S)
                if turns and turns[-1].speaker == local.index(name):
                    turns[-1] = turns[-1]._replace(end=where[1])
                else:
                    turns.append(Turn(*where, local.index(name), 0.9))
            assert len(local) <= 12
            return [ChunkResult(turns, embed(turns, request.features))]

        monkeypatch.setattr(Blocks, "encode", encode)
        stream = Stream(
            torch.ones(round(seconds * RATE)).split(RATE), RATE, replace(settings, **changed),
            None, decode, step=1.0, lookahead=1.0, enrolled=[], max_speakers=max_speakers,
            classes=(f"S{n}" for n in range(99)),
        )  # fmt: skip
        list(stream)
        return requests, encoded

    return follow


def test_nobody_is_known_at_first_and_everybody_in_the_end(follow):
    requests, _ = follow(2)
    assert requests[0].prompts is NOBODY
    assert len(requests[-1].prompts.spans) == 2


@pytest.mark.parametrize("number", [1, 3, 9])
def test_windows_are_no_longer_than_what_the_model_knows(follow, number):
    requests, _ = follow(number)
    assert max(request.features.num_positions for request in requests) == 75
    assert max(request.num_positions for request in requests) <= 125
    assert any(request.prompts.spans for request in requests)


def test_without_prompts_chunks_are_whole_windows(follow):
    requests, _ = follow(2, num_passes=1)
    assert all(request.prompts is NOBODY for request in requests)
    assert max(request.features.num_positions for request in requests) == 125


def test_a_step_encodes_what_it_adds_and_its_context(follow):
    _, encoded = follow(2)
    assert max(encoded) <= 2.0 + 1.0 + 2 * POSITION_S  # what had no context yet, the step


def test_a_local_speaker_is_kept_for_whoever_may_come(follow):
    """Three speakers may all be prompted once they are known to be all."""
    requests, _ = follow(9)
    assert max(len(request.prompts.spans) for request in requests) == 3
    assert all(request.max_speakers == 4 for request in requests)
    requests, _ = follow(3, max_speakers=3)
    assert max(len(request.prompts.spans) for request in requests) == 3
    assert all(request.max_speakers == 3 for request in requests)


@pytest.mark.parametrize("num_passes, most", [(1, 10.0), (2, 6.0)])
def test_steps_must_fit_into_what_is_heard(settings, num_passes, most):
    settings = replace(settings, num_passes=num_passes)
    assert heard_s(settings) == pytest.approx(most)
    check_step(most - 1.5, 1.0, settings)
    with pytest.raises(ValueError, match=f"must fit into a chunk of {most:g} s, got {most:g} and"):
        check_step(most, 1.0, settings)
