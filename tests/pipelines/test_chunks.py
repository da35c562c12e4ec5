"""Chunks in batches: what is written of a chunk, whatever comes before it in its window."""

import numpy as np
import pytest
import torch

from pyannote_drz.decoding import Decoded
from pyannote_drz.pipelines import chunks
from pyannote_drz.pipelines.chunks import Ask, Step, Written, run, without_unison, write
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import Prompts, lay_out

RATE = 16000
POSITION = 1280  # samples


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start, end, speaker, 0.5)


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def prompts_of(*lengths: int) -> Prompts:
    """Voices of that many samples."""
    return lay_out([noise(n, seed=n) for n in lengths], RATE, POSITION)


# ---- turns --------------------------------------------------------------------------------------


def test_a_model_that_repeats_itself_is_heard_once():
    loop = [turn(0.02, 29.98 + 0.02 * (k % 2), k) for k in range(8)]
    assert without_unison([turn(0.0, 12.2, 1), *loop]) == [turn(0.0, 12.2, 1), loop[0]]


def test_overlap_stays():
    overlap = [turn(0.0, 5.0, 0), turn(0.05, 4.8, 1), turn(1.0, 5.0, 2), turn(4.9, 5.1, 3)]
    assert without_unison(overlap) == overlap


# ---- windows ------------------------------------------------------------------------------------


def says(monkeypatch, model, *rows: list[tuple[int, int, int]]):
    """Make any model write these triplets, (start bin, end bin, speaker)."""
    tokens = [torch.tensor(model.vocabulary.from_triplets(row)) for row in rows]
    tokens = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    decoded = Decoded(tokens, torch.full(tokens.shape, 0.5))
    monkeypatch.setattr(chunks, "decode", lambda *args, **kwargs: decoded)


@pytest.mark.parametrize("prompts", [prompts_of(), prompts_of(16000), prompts_of(20001, 8000)])
def test_what_is_written_begins_with_the_chunk(model, prompts):
    """As long as the chunk, whatever lies before it."""
    chunk = noise(48000)
    (written,) = write(model, [Ask(chunk, 4, prompts)])
    assert len(written.speech) == 152  # 38 positions of 80 ms, of which 3 s fill 37.5
    assert written.voices.shape == (len(written.turns), 17)
    assert all(0 <= turn.start < turn.end <= 3.04 for turn in written.turns)
    assert len(written.whole) == 17 and 0 < written.whole[-1] < 38  # weights of positions


def test_voices_are_those_of_the_chunk(model, monkeypatch):
    """Of seconds of the window, prompts included."""
    prompts, chunk = prompts_of(20001, 8000), noise(48000)
    begin = len(prompts.waveform)
    first = begin // POSITION
    spans = [(first * 4 + 10, first * 4 + 50, 0), (first * 4 + 60, first * 4 + 100, 1)]
    says(monkeypatch, model, [*model.vocabulary.given(prompts.spans), *spans])
    (written,) = write(model, [Ask(chunk, 4, prompts)])
    told = [(round(t.start, 6), round(t.end, 6), t.speaker) for t in written.turns]
    assert told == [(0.2, 1.0, 0), (1.2, 2.0, 1)]

    with torch.inference_mode():
        memory = model.listen(torch.cat([prompts.waveform, chunk])[None])
    sums = memory.voice_sums[0].numpy()
    whole_positions = [(first + 3, first + 12), (first + 15, first + 25)]
    for voice, (start, stop) in zip(written.voices, whole_positions, strict=True):
        np.testing.assert_allclose(voice, sums[stop] - sums[start], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(written.whole, sums[-1] - sums[first], rtol=1e-4, atol=1e-4)
    speech = 1 - (1 - memory.activity[0].sigmoid()).prod(-1)
    np.testing.assert_allclose(written.speech, speech[4 * first :], rtol=1e-4, atol=1e-5)


def test_what_is_written_of_prompts_is_not_told(model, monkeypatch):
    """Neither their own turns, nor what comes between them and the chunk."""
    prompts = prompts_of(16000, 16000)  # s: 0 to 1, 1.2 to 2.2, and the chunk from 2.4
    given = model.vocabulary.given(prompts.spans)
    begin = 120
    between = [(111, 118, 0), (112, 119, 1)]
    over = (115, begin + 50, 2)
    says(monkeypatch, model, [*given, *between, over, (begin + 60, begin + 70, 0)])
    (written,) = write(model, [Ask(noise(32000), 4, prompts)])
    told = [(round(t.start, 6), round(t.end, 6), t.speaker) for t in written.turns]
    assert told == [(0.0, 1.0, 2), (1.2, 1.4, 0)]


@pytest.mark.parametrize("position", range(30, 50))
def test_a_turn_that_ends_where_the_chunk_begins_is_none_of_it(model, monkeypatch, position):
    """Wherever that is: 2.8 is a little less than 140 times 0.02."""
    prompts = Prompts(noise(position * POSITION), [(0.0, 1.0)])
    given, begin = model.vocabulary.given(prompts.spans), 4 * position
    says(monkeypatch, model, [*given, (55, begin, 0), (60, begin + 1, 1)])
    (written,) = write(model, [Ask(noise(16000), 4, prompts)])
    assert [turn.speaker for turn in written.turns] == [1]


def test_a_window_alone_is_as_in_a_batch(model):
    """Prompted or not: windows of a batch are as long as each other, chunks need not be."""
    asks = []
    for prompts in (prompts_of(), prompts_of(16000), prompts_of(8000, 20001)):
        asks.append(Ask(noise(80000 - len(prompts.waveform), seed=5), 4, prompts))
    assert len({ask.num_samples for ask in asks}) == 1
    together = write(model, asks)
    for ask, expected in zip(asks, together, strict=True):
        (alone,) = write(model, [ask])
        assert [t[:3] for t in alone.turns] == [t[:3] for t in expected.turns]
        for a, b in zip(alone[1:], expected[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_prompts_matter(model):
    chunk = noise(48000)
    one, other = (write(model, [Ask(chunk, 4, prompts_of(n))])[0] for n in (16000, 16001))
    assert not np.allclose(one.speech, other.speech, atol=1e-6)


def test_letters_of_prompts_count_among_all(model):
    ask = Ask(noise(32000), 2, prompts_of(8000, 9000))
    (written,) = write(model, [ask])
    assert {turn.speaker for turn in written.turns} <= {0, 1}
    with pytest.raises(ValueError, match="breaks the grammar"):
        write(model, [ask._replace(max_speakers=1)])


# ---- batches ------------------------------------------------------------------------------------


def batches_of(*files: list[Ask], batch_size: int = 8) -> list[list[int]]:
    """Lengths of windows in the order in which they were written."""

    def job(asks: list[Ask]):
        written = yield Step("chunks", asks)
        return written

    def write(asks: list[Ask]) -> list[Written]:
        batches.append([ask.num_samples for ask in asks])
        return asks  # whatever was written

    batches = []
    jobs = [(job(asks), lambda *args, **kwargs: None) for asks in files]
    assert list(run(jobs, write, batch_size)) == list(files)
    return batches


def test_files_share_batches():
    asks = [Ask(noise(100), 4)] * 3
    assert batches_of(asks, asks, asks, batch_size=4) == [[100] * 4, [100] * 4, [100]]


def test_prompts_of_different_lengths_are_not_in_one_batch():
    """Windows are not padded: nobody would have been trained with that."""
    short, long = prompts_of(3 * POSITION), prompts_of(9 * POSITION)
    chunk = noise(100)
    one = [Ask(chunk, 4, short), Ask(chunk, 4, long), Ask(chunk, 4, long)]
    two = [Ask(chunk, 4), Ask(chunk, 4, short)]
    for batch in batches_of(one, two):
        assert len(set(batch)) == 1
    assert batches_of(one) == [[6 * POSITION + 100], [12 * POSITION + 100] * 2]


def test_chunks_of_different_lengths_share_a_batch_where_windows_are_as_long():
    prompts = prompts_of(3 * POSITION)
    asks = [Ask(noise(9000), 4), Ask(noise(9000 - len(prompts.waveform)), 4, prompts)]
    assert batches_of(asks) == [[9000, 9000]]
