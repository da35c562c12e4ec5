"""What explains speed, counted instead of timed: how often encoders and decoder run."""

import pytest

from pyannote_drz.models.encoders.features import (
    BEFORE,
    BEFORE_EMBEDDINGS,
    BLOCK_S,
    CONTEXT_S,
)
from pyannote_drz.pipelines import chunks
from pyannote_drz.prompting import POSITION_S

SAMPLE_RATE = 16000
SECONDS = 90.0  # of the noise


class Counts:
    """How often the parts of a model ran."""

    def __init__(self):
        self.encoded_s = self.embedded_s = 0.0
        self.chunks = self.batches = self.steps = self.longest = 0


@pytest.fixture
def counts(pipeline, monkeypatch):
    counts, model = Counts(), pipeline.model
    listen, write, decode = model.prefill, model.logits, chunks.decode

    def encoded(module, arguments) -> None:
        waveforms, *skip = arguments
        counts.encoded_s += waveforms.numel() / SAMPLE_RATE
        counts.embedded_s += waveforms.numel() / SAMPLE_RATE - sum(skip) * POSITION_S

    def listened(features, *arguments, **options):
        counts.batches += 1
        counts.chunks += len(features.short)
        return listen(features, *arguments, **options)

    def written(*arguments, **options):
        counts.steps += 1
        return write(*arguments, **options)

    def decoded(*arguments, **options):
        result = decode(*arguments, **options)
        counts.longest += result.tokens.shape[1]
        return result

    handle = model.encoder.register_forward_pre_hook(encoded)
    monkeypatch.setattr(model, "prefill", listened)
    monkeypatch.setattr(model, "logits", written)
    monkeypatch.setattr(chunks, "decode", decoded)
    yield counts
    handle.remove()


def num_chunks(pipeline, duration: float, context: float) -> int:
    positions = round(SECONDS * SAMPLE_RATE / 1280)
    return len(pipeline.settings.split(positions, duration, context))


@pytest.mark.parametrize("passes", [1, 2])
def test_every_second_is_encoded_once(pipeline, noise, counts, passes):
    """Whatever the number of passes; windows overlap by what both encoders need to hear."""
    pipeline.instantiate({"num_passes": passes})
    pipeline(noise)
    window_s = BLOCK_S + 2 * CONTEXT_S
    num_windows = -(-SECONDS // BLOCK_S)
    assert SECONDS <= counts.encoded_s <= num_windows * window_s


def test_every_chunk_is_written_once_a_pass(pipeline, noise, counts):
    settings = pipeline.settings
    first = num_chunks(pipeline, settings.duration, settings.context)
    pipeline.instantiate({"num_passes": 1})
    pipeline(noise)
    assert counts.chunks == first
    pipeline.instantiate({"num_passes": 2})
    pipeline(noise)
    again = settings.prompted_duration
    again = num_chunks(pipeline, again, min(settings.context, again / 4))
    assert counts.chunks == first + first + again


def test_a_batch_takes_as_many_steps_as_its_longest_chunk_has_tokens(pipeline, noise, counts):
    pipeline.instantiate({"num_passes": 1})
    pipeline(noise)
    assert counts.steps == counts.longest
    chunks_at_once = -(-counts.chunks // counts.batches)
    assert 1 < chunks_at_once <= pipeline.batch_size


def test_chunks_of_many_files_are_written_together(pipeline, noise, counts):
    pipeline.instantiate({"num_passes": 1})
    short = noise["waveform"][:, : 8 * SAMPLE_RATE]  # one chunk
    files = [{**noise, "waveform": short, "uri": str(k)} for k in range(16)]
    list(pipeline(files))
    assert counts.chunks == 16
    assert counts.batches == 16 // pipeline.batch_size


def test_a_stream_encodes_what_is_new_and_what_comes_before_it(pipeline, noise, counts):
    """What a chunk hears again is not encoded again."""
    step, lookahead = 5.0, 2.0
    pipeline.instantiate({"num_passes": 1})
    pipeline(noise, online=True, step=step, lookahead=lookahead)
    steps = -(-SECONDS // step)
    again = BEFORE * POSITION_S + 2 * CONTEXT_S
    assert counts.encoded_s <= steps * (step + again)
    assert counts.embedded_s <= steps * (step + again - (BEFORE - BEFORE_EMBEDDINGS) * POSITION_S)
    assert counts.chunks <= steps + 1
