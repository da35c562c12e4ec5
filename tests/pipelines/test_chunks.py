"""Chunks: how a file is cut, and what is written of each part, whatever comes before it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyannote_drz.decoding import Decoded
from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines import chunks
from pyannote_drz.pipelines.chunks import (
    Chunk,
    ChunkRequest,
    decode_chunks,
    embed,
    split,
    without_unison,
)
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import NOBODY, POSITION_S, Prompts, lay_out

from .speech import features_of


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start, end, speaker, 0.5)


def noise(num_positions: int, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(num_positions, 4, 7, generator=generator).softmax(-1)
    short, long = torch.randn(2, num_positions, 192, generator=generator)
    return Features(probabilities, short, long).to(torch.float16)


def prompts_of(*lengths: int) -> Prompts:
    """Of that many positions."""
    return lay_out([noise(n, seed=n) for n in lengths])


# ---- cutting ------------------------------------------------------------------------------------


def test_a_short_file_is_one_chunk():
    assert split(7, duration=10, context=2) == [Chunk(0, 7, 0, 7)]
    assert split(10, duration=10, context=2) == [Chunk(0, 10, 0, 10)]
    # pyannote's sample is 30.002 s long, and 2 ms are not worth another chunk of 30 s
    assert split(11, duration=10, context=2) == [Chunk(0, 10, 0, 11)]


def test_the_last_chunk_is_shifted_left():
    assert split(17, duration=10, context=2) == [
        Chunk(0, 10, 0, 8),
        Chunk(6, 16, 8, 14),
        Chunk(7, 17, 14, 17),
    ]


@given(st.integers(1, 500), st.integers(5, 60), st.data())
def test_chunks_tile_the_file(num_positions, duration, data):
    context = data.draw(st.integers(0, (duration - 1) // 2))
    some = split(num_positions, duration, context)
    edges = [some[0].first] + [chunk.last for chunk in some]
    assert edges[0] == 0 and edges[-1] == num_positions
    assert [chunk.first for chunk in some] == edges[:-1]  # no gap, no overlap
    for chunk in some:
        assert chunk.stop - chunk.start == min(duration, num_positions)
        assert 0 <= chunk.start <= chunk.first < chunk.last
        assert chunk.last <= chunk.stop or chunk.last == num_positions == chunk.stop + 1
        assert chunk.first == 0 or chunk.first - chunk.start >= context
        assert chunk.last == num_positions or chunk.stop - chunk.last >= context


# ---- turns --------------------------------------------------------------------------------------


def test_a_model_that_repeats_itself_is_heard_once():
    loop = [turn(0.02, 29.98 + 0.02 * (k % 2), k) for k in range(8)]
    assert without_unison([turn(0.0, 12.2, 1), *loop]) == [turn(0.0, 12.2, 1), loop[0]]


def test_overlap_stays():
    overlap = [turn(0.0, 5.0, 0), turn(0.05, 4.8, 1), turn(1.0, 5.0, 2), turn(4.9, 5.1, 3)]
    assert without_unison(overlap) == overlap


# ---- embeddings ---------------------------------------------------------------------------------


def test_embeddings_are_of_what_is_said_alone():
    heard = features_of([(0,)] * 25 + [(0, 1)] * 25 + [(1,)] * 25 + [()] * 25)
    embeddings = embed([turn(0.0, 4.0, 0), turn(2.0, 8.0, 1)], heard)
    assert embeddings.shape == (2, 193)
    assert embeddings[:, -1] == pytest.approx([2.0, 2.0])  # s; silence is no speech
    assert embeddings[0, :2] == pytest.approx([2.0, 0.0], abs=1e-3)
    assert embeddings[1, :2] == pytest.approx([0.0, 2.0], abs=1e-3)


def test_whoever_is_never_alone_has_a_little():
    heard = features_of([(0,)] * 25 + [(0, 1)] * 25)
    _, never = embed([turn(0.0, 4.0, 0), turn(2.0, 4.0, 1)], heard)
    assert 0 < never[-1] < 0.05 and never[1] > 0


# ---- windows ------------------------------------------------------------------------------------


def says(monkeypatch, model, *rows: list[tuple[int, int, int]]):
    """Make any model write these triplets, (start bin, end bin, speaker); edges stay there."""
    tokens = [torch.tensor(model.vocabulary.from_triplets(row)) for row in rows]
    tokens = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    decoded = Decoded(tokens, torch.full(tokens.shape, 0.5))
    monkeypatch.setattr(chunks, "decode", lambda *args, **kwargs: decoded)
    monkeypatch.setattr(chunks, "with_heard_edges", lambda turns, features: turns)


@pytest.mark.parametrize("prompts", [NOBODY, prompts_of(12), prompts_of(15, 7)])
def test_what_is_written_begins_with_the_chunk(model, prompts):
    """As long as the chunk, whatever lies before it."""
    (result,) = decode_chunks(model, [ChunkRequest(noise(38), 4, prompts)])
    assert result.embeddings.shape == (len(result.turns), 193)
    assert all(0 <= turn.start < turn.end <= 38 * POSITION_S + 1e-6 for turn in result.turns)


def test_embeddings_are_those_of_the_chunk(model, monkeypatch):
    prompts, chunk = prompts_of(15, 7), noise(38)
    first = 4 * prompts.features.num_positions
    spans = [(first + 10, first + 50, 0), (first + 60, first + 100, 1)]
    says(monkeypatch, model, [*model.vocabulary.given(prompts.spans), *spans])
    (result,) = decode_chunks(model, [ChunkRequest(chunk, 4, prompts)])
    told = [(round(t.start, 6), round(t.end, 6), t.speaker) for t in result.turns]
    assert told == [(0.2, 1.0, 0), (1.2, 2.0, 1)]
    np.testing.assert_allclose(result.embeddings, embed(result.turns, chunk))


def test_what_is_written_of_prompts_is_not_told(model, monkeypatch):
    """Neither their own turns, nor what comes between them and the chunk."""
    prompts = prompts_of(12, 12)
    given, begin = model.vocabulary.given(prompts.spans), 120
    between = [(111, 118, 0), (112, 119, 1)]
    over = (115, begin + 50, 2)
    says(monkeypatch, model, [*given, *between, over, (begin + 60, begin + 70, 0)])
    (result,) = decode_chunks(model, [ChunkRequest(noise(25), 4, prompts)])
    told = [(round(t.start, 6), round(t.end, 6), t.speaker) for t in result.turns]
    assert told == [(0.0, 1.0, 2), (1.2, 1.4, 0)]


def test_a_window_alone_is_as_in_a_batch(model):
    """Prompted or not: windows of a batch are as long as each other, chunks need not be."""
    requests = [
        ChunkRequest(noise(62 - prompts.features.num_positions, seed=5), 4, prompts)
        for prompts in (NOBODY, prompts_of(12), prompts_of(7, 15))
    ]
    assert len({request.num_positions for request in requests}) == 1
    for request, expected in zip(requests, decode_chunks(model, requests), strict=True):
        (alone,) = decode_chunks(model, [request])
        assert [t[:3] for t in alone.turns] == [t[:3] for t in expected.turns]
        np.testing.assert_allclose(alone.embeddings, expected.embeddings, rtol=1e-3, atol=1e-4)


def test_local_speakers_of_prompts_count_among_all(model):
    request = ChunkRequest(noise(25), 2, prompts_of(7, 8))
    (result,) = decode_chunks(model, [request])
    assert {turn.speaker for turn in result.turns} <= {0, 1}
    with pytest.raises(ValueError, match="breaks the grammar"):
        decode_chunks(model, [request._replace(max_speakers=1)])
