"""`Pix2SeqDiarizer`: what it hears, in what order it writes, and what pyannote.audio asks of it."""

import warnings

import numpy as np
import pytest
import torch
from pyannote.audio import Inference, Model
from pyannote.audio.core.task import Problem, Resolution, Specifications

from pyannote_drz.models.pix2seq import IMPOSSIBLE, WORDS_AT_S, Pix2SeqDiarizer
from pyannote_drz.tokens import Vocabulary

SAMPLE_RATE = 16000
POSITION = 1280  # samples, 80 ms
NUM_SPEAKERS = 8
TINY = {"num_mels": 20, "dim": 32, "num_layers": 3, "num_heads": 2, "voice_dim": 16}


def tiny_model(duration: float = 30.0, num_speakers: int = NUM_SPEAKERS, **kwargs):
    """A small model whose weights are large enough for everything in it to matter."""
    torch.manual_seed(0)
    model = Pix2SeqDiarizer(**{**TINY, **kwargs})
    model.specifications = Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=duration,
        classes=list("ABCDEFGH"[:num_speakers]),
        permutation_invariant=True,
    )
    model.build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.ndim == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
            elif parameter.requires_grad and parameter.ndim < 2:
                parameter += 0.3 * torch.randn(parameter.shape)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Pix2SeqDiarizer:
    return tiny_model()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """White noise whose colour and level change every 0.4 s, so that instants differ."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(*shape, generator=generator)
    segment = torch.arange(shape[-1]) // 6400
    gains = torch.rand(*shape[:-1], int(segment[-1]) + 1, generator=generator) + 0.1
    tilt = torch.rand(*shape[:-1], int(segment[-1]) + 1, generator=generator) * 1.8 - 0.9
    return gains[..., segment] * (x + tilt[..., segment] * x.roll(1, -1))


def random_tokens(vocabulary: Vocabulary, batch: int, num_turns: int, seconds: float, seed=0):
    """(batch, 3 * num_turns) triplets: not sorted, which the model need not know."""
    generator = torch.Generator().manual_seed(seed)
    last = round(seconds / vocabulary.resolution)

    def integers(high):
        return torch.randint(high, (batch, num_turns), generator=generator)

    start = integers(last - 20)
    end = start + 10 + integers(last) % (last - start - 10)
    speaker = integers(vocabulary.max_speakers)
    triplets = torch.stack(
        [vocabulary.first_time + start, vocabulary.first_time + end,
         vocabulary.first_speaker + speaker], dim=-1,
    )  # fmt: skip
    return triplets.flatten(1)


def same(actual, expected, atol=1e-4):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=1e-4)


def changes(actual: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Largest difference in each row of logits, (batch, written)."""
    return (actual - expected).abs().amax(-1)


CHUNK_S = 2.0
CHUNK = round(CHUNK_S * SAMPLE_RATE)  # 25 positions, 100 frames


# ---- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, CHUNK), (3, CHUNK), (3, 1, CHUNK)])
def test_activities(model, shape):
    activities = model(noise(*shape))
    assert activities.shape == (shape[0], 100, NUM_SPEAKERS)
    assert activities.dtype == torch.float32
    assert (0 <= activities).all() and (activities <= 1).all()
    assert activities.std() > 0.01


def test_channels_change_nothing(model):
    same(model(noise(2, 1, CHUNK)), model(noise(2, CHUNK)))


@pytest.mark.parametrize("shape", [(CHUNK,), (1, 1, 1, CHUNK)])
def test_other_shapes_are_refused(model, shape):
    with pytest.raises(ValueError, match=f"{CHUNK}"):
        model(noise(*shape))


def test_stereo_is_refused(model):
    with pytest.raises(ValueError, match="2 channels"):
        model(noise(3, 2, CHUNK))


@pytest.mark.parametrize("num_samples", [1, 100, 1279, 1280, 1281, 31999, 32001, 480000])
def test_any_number_of_samples(model, num_samples):
    with torch.no_grad():
        activities, logits = model(noise(1, num_samples), torch.zeros(1, 0, dtype=torch.long))
    num_frames = model.num_frames(num_samples)
    assert activities.shape == (1, num_frames, NUM_SPEAKERS)
    assert num_frames * 320 >= num_samples > (num_frames - 4) * 320
    assert activities.isfinite().all()
    # Time tokens of this chunk, and those only, can be written.
    times = logits[0, 0, model.vocabulary.times]
    assert (times[: num_frames + 1] > IMPOSSIBLE).all()
    assert (times[num_frames + 1 :] == IMPOSSIBLE).all()


@pytest.mark.parametrize("num_tokens", [0, 1, 2, 3, 4, 5, 9])
def test_logits(model, num_tokens):
    tokens = random_tokens(model.vocabulary, 2, 3, CHUNK_S)[:, :num_tokens]
    activities, logits = model(noise(2, CHUNK), tokens)
    assert activities.shape == (2, 100, NUM_SPEAKERS)
    assert logits.shape == (2, 1 + num_tokens, len(model.vocabulary))
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    same(activities, model(noise(2, CHUNK)))


def test_padded_tokens(model):
    """What stands behind <eos> changes nothing before."""
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    padded = torch.cat([tokens, torch.tensor([[1, 0, 0, 0, 0]])], dim=1)
    _, logits = model(noise(1, CHUNK), padded)
    assert logits.isfinite().all()
    same(logits[:, :7], model(noise(1, CHUNK), tokens)[1])


@pytest.mark.parametrize("duration, num_speakers", [(1.0, 1), (1.0, 8), (0.5, 2)])
def test_durations_that_are_not_whole_positions(duration, num_speakers):
    """The last position reaches beyond the last bin, and not into other tokens."""
    model = tiny_model(duration=duration, num_speakers=num_speakers)
    tokens = random_tokens(model.vocabulary, 1, 2, duration)
    _, logits = model(noise(1, round(duration * SAMPLE_RATE)), tokens)
    assert logits.shape == (1, 7, len(model.vocabulary))
    assert (logits[..., model.vocabulary.times] > IMPOSSIBLE).all()
    assert (logits[..., model.vocabulary.speakers] > IMPOSSIBLE).all()


def test_chunks_that_are_too_long_to_write():
    """There are no tokens for what happens after `duration`; activities need none."""
    model = tiny_model(duration=1.0)
    assert model(noise(1, CHUNK)).shape == (1, 100, NUM_SPEAKERS)
    with pytest.raises(ValueError, match=r"1\.0"):
        model(noise(1, CHUNK), torch.zeros(1, 0, dtype=torch.long))


def test_durations_beyond_the_positions_of_words():
    model = tiny_model(duration=WORDS_AT_S)
    assert model.vocabulary.duration == WORDS_AT_S
    with pytest.raises(ValueError, match="60.08"):
        len(tiny_model(duration=60.08).vocabulary)


def test_weights_go_on_with_longer_chunks():
    """The duration of the task changes the vocabulary, and nothing else."""
    short, long = tiny_model(duration=8.0), tiny_model(duration=30.0)
    tokens = torch.tensor([[2, 27, short.vocabulary.first_speaker, 52, 77]])
    longer = torch.tensor([[2, 27, long.vocabulary.first_speaker, 52, 77]])
    with torch.no_grad():
        expected, actual = short(noise(1, CHUNK), tokens), long(noise(1, CHUNK), longer)
    same(actual[0], expected[0], atol=0)
    same(actual[1][..., :103], expected[1][..., :103], atol=0)
    same(actual[1][..., -8:], expected[1][..., -8:], atol=0)


@pytest.mark.parametrize("num_halvings, num_frames", [(1, 100), (2, 100), (3, 100)])
def test_compression(num_halvings, num_frames):
    model = tiny_model(num_halvings=num_halvings)
    assert model(noise(1, CHUNK)).shape == (1, num_frames, NUM_SPEAKERS)
    assert model.num_frames(CHUNK) == num_frames


@pytest.mark.parametrize("resolution, num_frames", [(0.01, 200), (0.04, 52), (0.08, 25)])
def test_resolution(resolution, num_frames):
    model = tiny_model(resolution=resolution, duration=28.8)
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S) if resolution < 0.05 else None
    output = model(noise(1, CHUNK), tokens)
    activities = output if tokens is None else output[0]
    expected = model.num_frames(CHUNK)
    assert activities.shape[1] == expected
    assert abs(expected - CHUNK_S / resolution) * resolution < 0.08 + 1e-9


@pytest.mark.parametrize("wrong", [{"resolution": 0.03}, {"resolution": 0.16}, {"dim": 33}])
def test_bad_parameters(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Pix2SeqDiarizer(**{**TINY, **wrong})


# ---- who sees what ------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", range(9))
def test_writing_is_causal(model, changed):
    """Token j matters from logits j + 1 on, and there it does."""
    v = model.vocabulary
    tokens = random_tokens(v, 1, 3, CHUNK_S)
    other = tokens.clone()
    other[0, changed] += 1 if other[0, changed] not in (v.first_speaker - 1, len(v) - 1) else -1
    with torch.no_grad():
        before, after = (model(noise(1, CHUNK), t)[1] for t in (tokens, other))
    difference = changes(before, after)[0]
    assert (difference[: changed + 1] < 1e-5).all()
    assert (difference[changed + 1 :] > 1e-4).all()


@pytest.mark.parametrize("where", [slice(0, 3200), slice(-3200, None)])
def test_audio_is_seen_both_ways(model, where):
    """A change at either end of the chunk reaches all frames and all logits."""
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    waveforms = noise(1, CHUNK)
    other = waveforms.clone()
    other[:, where] = noise(1, 3200, seed=3)
    with torch.no_grad():
        before, after = (model(w, tokens) for w in (waveforms, other))
    assert (changes(before[0], after[0]) > 1e-5).all()
    assert (changes(before[1], after[1]) > 1e-4).all()


def test_tokens_do_not_change_what_is_heard(model):
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    same(model(noise(1, CHUNK), tokens)[0], model(noise(1, CHUNK)), atol=0)


def test_speakers_point_at_voices(model):
    """Whether a turn sounds like A depends on where A's turn was, not only on its text."""
    v = model.vocabulary
    with torch.no_grad():
        memory = model.listen(noise(1, CHUNK))
        tokens = torch.tensor([[2, 27, v.first_speaker, 52, 77]])
        before = model._voice_logits(tokens, memory)[0]
        assert (before[0] == before[0, 0]).all()  # nobody is known yet: all letters alike
        assert (before[1, 1:] == before[1, 1]).all()  # B to H are not known yet
        cosine = (before[1, 0] - model.voice_bias[0]) / model.voice_scale
        assert -1 <= cosine <= 1
        same_span = torch.tensor([[2, 27, v.first_speaker, 2, 27]])
        again = model._voice_logits(same_span, memory)[0, 1, 0]
        same(again, model.voice_scale + model.voice_bias[0])  # sounds just like itself


# ---- what does not matter -----------------------------------------------------------------------


def test_batch_equals_its_rows(model):
    tokens = random_tokens(model.vocabulary, 3, 2, CHUNK_S)
    with torch.no_grad():
        activities, logits = model(noise(3, CHUNK), tokens)
        for row in range(3):
            alone = model(noise(3, CHUNK)[row : row + 1], tokens[row : row + 1])
            same(alone[0][0], activities[row])
            same(alone[1][0], logits[row])


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_level_does_not_matter(model, gain):
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    with torch.no_grad():
        expected = model(noise(1, CHUNK), tokens)
        actual = model(gain * noise(1, CHUNK), tokens)
    same(actual[0], expected[0], atol=1e-3)
    same(actual[1], expected[1], atol=2e-3)


def test_silence(model):
    activities, logits = model(
        torch.zeros(1, CHUNK), random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    )
    assert activities.isfinite().all() and logits.isfinite().all()


# ---- learning -----------------------------------------------------------------------------------


def test_gradients_reach_everything():
    model = tiny_model().train()
    v = model.vocabulary
    tokens = random_tokens(v, 2, 3, CHUNK_S)
    tokens[0, 2] = tokens[0, 5] = v.first_speaker + 2  # the same voice twice
    end = torch.full((2, 1), v.eos)
    activities, logits = model(noise(2, CHUNK), tokens)
    loss = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), torch.cat([tokens, end], dim=1)
    )
    (loss + (activities - 0.3).square().mean()).backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not silent
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_gradients_are_finite_where_there_is_nothing_to_hear():
    """Silent chunks, turns without voice: 0 / 0 is easily made there."""
    model = tiny_model().train()
    tokens = torch.tensor([[2, 3, 1503, 2, 3, 1504], [1, 0, 0, 0, 0, 0]])
    activities, logits = model(torch.zeros(2, CHUNK), tokens)
    (logits.log_softmax(-1)[..., :100].mean() + activities.mean()).backward()
    bad = [n for n, p in model.named_parameters() if p.grad is not None and p.grad.isnan().any()]
    assert not bad


def test_learns_one_sentence():
    """A few steps make one sentence likelier."""
    model = tiny_model()
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        logits = model(noise(1, CHUNK), tokens)[1][:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_half_precision(model):
    """bfloat16, as in training, says about the same."""
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    with torch.no_grad():
        expected = model(noise(1, CHUNK), tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = model(noise(1, CHUNK), tokens)
    assert actual[0].dtype == actual[1].dtype == torch.float32
    assert actual[1].isfinite().all()
    assert (actual[0] - expected[0]).abs().mean() < 0.05
    possible = expected[1] > IMPOSSIBLE
    error = (actual[1] - expected[1])[possible].std()
    assert error < 0.2 * expected[1][possible].std()


# ---- what pyannote.audio asks -------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 1279, 1280, 1281, 16000, 32000, 40001])
def test_num_frames(model, num_samples):
    with torch.no_grad():
        assert model.num_frames(num_samples) == model(noise(1, 1, num_samples)).shape[1]


def test_receptive_field(model):
    """Frames are 20 ms long and lie side by side from the very beginning."""
    frames = model.receptive_field
    assert frames.start == pytest.approx(0.0, abs=1e-9)
    assert frames.duration == pytest.approx(0.02)
    assert frames.step == pytest.approx(0.02)
    assert model.receptive_field_size(num_frames=5) == 5 * 320
    assert model.receptive_field_center(frame=2) == pytest.approx(2 * 320 + 159.5)


def test_dimension_and_vocabulary(model):
    assert model.dimension == 8
    assert model.vocabulary == Vocabulary(duration=30.0, resolution=0.02, max_speakers=8)
    assert tiny_model(duration=8.0, num_speakers=3).vocabulary == Vocabulary(8.0, 0.02, 3)


def test_hyperparameters(model):
    assert dict(model.hparams) == {
        **TINY, "sample_rate": SAMPLE_RATE, "num_channels": 1, "num_halvings": 3,
        "resolution": 0.02, "dropout": 0.1,
    }  # fmt: skip


@pytest.fixture
def checkpoint(model, tmp_path):
    """What Lightning's `trainer.save_checkpoint` would write, as far as weights go."""
    content = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": "2.6.0",
        "epoch": 0,
        "global_step": 0,
    }
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "pytorch_model.bin")
    return tmp_path / "pytorch_model.bin"


@pytest.mark.parametrize("from_folder", [False, True])
def test_from_pretrained(model, checkpoint, from_folder):
    loaded = Model.from_pretrained(checkpoint.parent if from_folder else checkpoint).eval()
    assert type(loaded) is Pix2SeqDiarizer
    assert dict(loaded.hparams) == dict(model.hparams)
    assert loaded.specifications == model.specifications
    assert loaded.vocabulary == model.vocabulary
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    with torch.no_grad():
        actual = loaded(noise(1, CHUNK), tokens)
        expected = model(noise(1, CHUNK), tokens)
    same(actual[0], expected[0], atol=0)
    same(actual[1], expected[1], atol=0)


def test_setup_keeps_weights(model, checkpoint):
    """`fit` sets up a loaded model again; nothing is lost then."""
    loaded = Model.from_pretrained(checkpoint).eval()
    loaded.setup()
    loaded.eval()
    with torch.no_grad():
        same(loaded(noise(1, CHUNK)), model(noise(1, CHUNK)), atol=0)


def test_inference(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # chunks are shorter than the 30 s of training
        inference = Inference(model, duration=CHUNK_S, step=1.0, batch_size=2)
    waveform = noise(1, 5 * SAMPLE_RATE + 4000)
    output = inference({"waveform": waveform, "sample_rate": SAMPLE_RATE})
    assert output.data.shape == (5, 100, NUM_SPEAKERS)  # 0, 1, 2, 3 and 4 s
    with torch.no_grad():
        expected = model(waveform[:, SAMPLE_RATE : SAMPLE_RATE + CHUNK])[0].numpy()
    np.testing.assert_allclose(output.data[1], expected, atol=1e-4)


def test_inference_aggregates(model):
    """Where overlapping chunks are averaged, frames lie where they were heard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inference = Inference(
            model, duration=CHUNK_S, step=1.0, pre_aggregation_hook=lambda chunks: chunks[..., :1]
        )
    output = inference({"waveform": noise(1, 5 * SAMPLE_RATE), "sample_rate": SAMPLE_RATE})
    assert output.data.shape[0] in (250, 251)  # pyannote.audio adds a frame at the end
    assert output.sliding_window.step == pytest.approx(0.02)
    with torch.no_grad():
        first = model(noise(1, 5 * SAMPLE_RATE)[:, :CHUNK])[0, :50, :1].numpy()
    np.testing.assert_allclose(output.data[:50], first, atol=1e-4)  # only chunk 0 reaches there
