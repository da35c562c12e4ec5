"""`Pix2SeqDiarizer`: what it hears, in what order it writes, and what pyannote.audio asks of it."""

import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from pyannote.audio import Inference, Model

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.pix2seq import EVIDENCE, IMPOSSIBLE, WORDS_AT_S, Pix2SeqDiarizer
from pyannote_drz.models.written import WrittenTurns
from pyannote_drz.tokens import Vocabulary

SAMPLE_RATE = 16000
POSITION = 1280  # samples, 80 ms
NUM_SPEAKERS = 8
TINY = {"dim": 32, "num_layers": 3, "num_heads": 4}


@pytest.fixture(scope="module")
def model(make_model) -> Pix2SeqDiarizer:
    return make_model()


@pytest.fixture(scope="module")
def features(make_features) -> Features:
    """Three chunks of 2 s."""
    return make_features(3, 25)


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


def rows_of(features: Features, *rows: int) -> Features:
    return Features(*(tensor[list(rows)] for tensor in features))


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
def test_durations_that_are_not_whole_positions(make_model, duration, num_speakers):
    """The last position reaches beyond the last bin, and not into other tokens."""
    model = make_model(duration=duration, num_speakers=num_speakers)
    tokens = random_tokens(model.vocabulary, 1, 2, duration)
    _, logits = model(noise(1, round(duration * SAMPLE_RATE)), tokens)
    assert logits.shape == (1, 7, len(model.vocabulary))
    assert (logits[..., model.vocabulary.times] > IMPOSSIBLE).all()
    assert (logits[..., model.vocabulary.speakers] > IMPOSSIBLE).all()


def test_chunks_that_are_too_long_to_write(make_model):
    """There are no tokens for what happens after `duration`; activities need none."""
    model = make_model(duration=1.0)
    assert model(noise(1, CHUNK)).shape == (1, 100, NUM_SPEAKERS)
    with pytest.raises(ValueError, match=r"1\.0"):
        model(noise(1, CHUNK), torch.zeros(1, 0, dtype=torch.long))


def test_durations_beyond_the_positions_of_words(make_model):
    model = make_model(duration=WORDS_AT_S)
    assert model.vocabulary.duration == WORDS_AT_S
    with pytest.raises(ValueError, match="60.08"):
        len(make_model(duration=60.08).vocabulary)


def test_weights_go_on_with_longer_chunks(make_model):
    """The duration of the task changes the vocabulary, and nothing else."""
    short, long = make_model(duration=8.0), make_model(duration=30.0)
    tokens = torch.tensor([[2, 27, short.vocabulary.first_speaker, 52, 77]])
    longer = torch.tensor([[2, 27, long.vocabulary.first_speaker, 52, 77]])
    with torch.no_grad():
        expected, actual = short(noise(1, CHUNK), tokens), long(noise(1, CHUNK), longer)
    same(actual[0], expected[0], atol=0)
    same(actual[1][..., :103], expected[1][..., :103], atol=0)
    same(actual[1][..., -8:], expected[1][..., -8:], atol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 8000},
        {"dim": 33},
        {"dim": 36},
        {"num_heads": 3},
        {"num_heads": 0},
        {"num_layers": 0},
    ],
)
def test_bad_parameters(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Pix2SeqDiarizer(**{**TINY, **wrong})


# ---- who sees what ------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", range(9))
def test_writing_is_causal(model, features, changed):
    """Token j matters from logits j + 1 on, and there it does."""
    v = model.vocabulary
    tokens = random_tokens(v, 1, 3, CHUNK_S)
    other = tokens.clone()
    other[0, changed] += 1 if other[0, changed] not in (v.first_speaker - 1, len(v) - 1) else -1
    with torch.no_grad():
        memory = model.prefill(rows_of(features, 0))
        before, after = (model.logits(t, memory) for t in (tokens, other))
    difference = changes(before, after)[0]
    assert (difference[: changed + 1] < 1e-5).all()
    assert (difference[changed + 1 :] > 1e-4).all()


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("where", [slice(0, 3), slice(-3, None)])
def test_audio_is_seen_both_ways(model, features, make_features, where, kind):
    """A change at either end of the chunk, of any feature, reaches all frames and all logits."""
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    one = rows_of(features, 0)
    other = Features(*(tensor.clone() for tensor in one))
    other[kind][:, where] = make_features(1, 3, seed=3)[kind]
    with torch.no_grad():
        before, after = (model.prefill(heard) for heard in (one, other))
        assert (changes(before.activity, after.activity) > 1e-6).all()
        logits = changes(model.logits(tokens, before), model.logits(tokens, after))
        assert (logits > 1e-5).all()


def test_tokens_do_not_change_what_is_heard(model):
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    same(model(noise(1, CHUNK), tokens)[0], model(noise(1, CHUNK)), atol=0)


def speaker_logits(model, tokens, memory, turn):
    written = WrittenTurns(tokens, model.vocabulary, memory.embeddings, memory.evidence)
    return written.speaker_logits(turn, model.voice_score)


def test_speakers_point_at_voices(model, features):
    """Whether a turn sounds like A depends on where A's turn was, not only on its text."""
    v = model.vocabulary
    turn = torch.tensor([0, 1])
    with torch.no_grad():
        memory = model.prefill(rows_of(features, 0))
        tokens = torch.tensor([[2, 27, v.first_speaker, 52, 77]])
        before = speaker_logits(model, tokens, memory, turn)[0]
        same(before[0], before[0, :1].expand(8))  # nobody is known yet: all letters alike
        same(before[1, 1:], before[1, 1:2].expand(7))  # B to H are not known yet
        assert (before[1, 0] - before[1, 1]).abs() > 1e-3
        again = torch.tensor([[2, 27, v.first_speaker, 2, 27]])
        alike = speaker_logits(model, again, memory, turn)[0, 1, 0]
        assert (alike - before[1, 0]).abs() > 1e-3


def test_untrained_it_names_speakers_by_their_voices(make_features):
    """A, B, and one who is A again, another B again: before anything is learnt."""
    torch.manual_seed(0)
    model = untrained()
    v, features = model.vocabulary, make_features(1, 25)
    voices = 14 * torch.nn.functional.normalize(torch.randn(2, 192), dim=-1)
    who = torch.tensor([0] * 6 + [1] * 6 + [0] * 6 + [1] * 7)
    features.short[0] = voices[who]
    features.probabilities[0] = 0.02
    features.probabilities[0, ..., 1] = 0.88  # one speaks, alone
    a, b = v.first_speaker, v.first_speaker + 1
    tokens = torch.tensor([[2, 26, a, 26, 50, b, 50, 74, a, 74, 102]])
    with torch.no_grad():
        logits = model.logits(tokens, model.prefill(features))[0, :, v.speakers]
    assert logits[8].argmax() == 0 and logits[11].argmax() == 1
    assert logits[5, 0] < logits[5, 1]  # B is not A: somebody new


def untrained() -> Pix2SeqDiarizer:
    """As it is before training."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    model = Pix2SeqDiarizer(**TINY)
    model.specifications = Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION, resolution=Resolution.FRAME, duration=30.0,
        classes=list("ABCDEFGH"), permutation_invariant=True,
    )  # fmt: skip
    model.build()
    return model.eval()


# ---- PyanNet's opinion --------------------------------------------------------------------------


def told(model, features, tokens, prompts=None, factors=EVIDENCE):
    """Logits with some factors of the evidence."""
    before = model.evidence_factors.data.clone()
    model.evidence_factors.data = torch.tensor(factors)
    try:
        with torch.no_grad():
            return model.logits(tokens, model.prefill(features, prompts))
    finally:
        model.evidence_factors.data = before


def test_starts_are_where_activity_rises(make_features, model):
    """Each factor acts on the logits that it is for, by its own term."""
    v, features = model.vocabulary, Features.stack([Features.silence(25)] * 1)
    features.probabilities[0, 10:20] = torch.tensor([0.0, 1, 0, 0, 0, 0, 0])  # from bin 40 to 80
    tokens = torch.tensor([[2 + 40, 2 + 60]])
    silent = [0.0] * 6
    nothing = told(model, features, tokens, factors=silent)
    for k, (row, peak) in enumerate([(0, 40), (0, 40), (0, 40), (1, 80)]):
        factors = [*silent]
        factors[k] = 1.0
        gain = (told(model, features, tokens, factors=factors) - nothing)[0]
        times = gain[:, v.first_time : v.first_time + 101]
        assert times[row].argmax() == peak or times[row].max() == times[row, peak]
        others = torch.ones(3, dtype=torch.bool)
        others[row] = False
        assert not times[others].any()
        assert not gain[:, v.eos].any()
    gone = told(model, features, tokens, factors=[0, 0, 0, 0, 1.0, 0]) - nothing
    assert gone[0, 1, v.first_time + 40] == 0
    assert gone[0, 1, v.first_time + 100] == pytest.approx(0.4 - 0.25, abs=0.05)  # s of silence
    left = told(model, features, tokens, factors=[0, 0, 0, 0, 0, -1.0]) - nothing
    assert left[0, 0, v.eos] == pytest.approx(-0.8, abs=0.01)  # s that nobody has written
    assert not left[0, 1:, v.eos].any()


def test_activities_of_prompts_are_no_evidence(make_model, features):
    """Nor are their local speakers those of the chunk."""
    model = make_model()
    prompts = torch.tensor([8, 0, 5])
    with torch.no_grad():
        memory = model.prefill(features, prompts)
    for row, positions in enumerate(prompts.tolist()):
        assert not memory.evidence.activities[row, : 4 * positions].any()
        assert not memory.embeddings.local[row, :positions].any()
        assert memory.evidence.activities[row, 4 * positions :].any()
        similarities = memory.embeddings.similarities()[:, row]
        assert not similarities[3, :positions].any()
        assert (
            not positions or similarities[0, :positions].any()
        )  # voices are compared all the same
    # Which local speakers were heard in a prompt changes neither evidence nor similarities.
    other = Features(*(tensor.clone() for tensor in features))
    part = rows_of(features, 0).part(0, 8)
    other.probabilities[0, :8] = part.permuted((2, 0, 1)).probabilities[0]
    with torch.no_grad():
        again = model.prefill(other, prompts)
    same(again.embeddings.similarities(), memory.embeddings.similarities())
    same(again.evidence.rise, memory.evidence.rise)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_numbers_of_local_speakers_matter_only_in_what_is_read(make_model, features, order):
    """Cosines and sums know nothing of them; the linear layer of the classes may."""
    model = make_model()
    tokens = random_tokens(model.vocabulary, 3, 2, CHUNK_S)
    with torch.no_grad():
        model.probabilities.weight.zero_()
        one, other = model.prefill(features), model.prefill(features.permuted(order))
        same(other.activity, one.activity)
        same(model.logits(tokens, other), model.logits(tokens, one), atol=1e-3)


# ---- what does not matter -----------------------------------------------------------------------


def test_batch_equals_its_rows(model, features):
    tokens = random_tokens(model.vocabulary, 3, 2, CHUNK_S)
    prompts = torch.tensor([5, 0, 3])
    with torch.no_grad():
        memory = model.prefill(features, prompts)
        logits = model.logits(tokens, memory)
        for row in range(3):
            alone = model.prefill(rows_of(features, row), prompts[row : row + 1])
            same(alone.activity[0], memory.activity[row])
            same(model.logits(tokens[row : row + 1], alone)[0], logits[row], atol=1e-3)


def test_silence(model):
    activities, logits = model(
        torch.zeros(1, CHUNK), random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    )
    assert activities.isfinite().all() and logits.isfinite().all()


# ---- learning -----------------------------------------------------------------------------------


def test_gradients_reach_everything(make_model, features):
    model = make_model().train()
    v = model.vocabulary
    tokens = random_tokens(v, 3, 3, CHUNK_S)
    tokens[0, 2] = tokens[0, 5] = v.first_speaker + 2  # the same voice twice
    end = torch.full((3, 1), v.eos)
    memory = model.prefill(features)
    loss = torch.nn.functional.cross_entropy(
        model.logits(tokens, memory).transpose(1, 2), torch.cat([tokens, end], dim=1)
    )
    (loss + (memory.activity.sigmoid() - 0.3).square().mean()).backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not silent
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert model.evidence_factors.grad.all() and model.audio_factors.grad.all()
    assert model.token_factors.grad.all()


def test_gradients_are_finite_where_there_is_nothing_to_hear(make_model):
    """Silent chunks, turns without voice: 0 / 0 is easily made there."""
    model = make_model().train()
    tokens = torch.tensor([[2, 3, 1503, 2, 3, 1504], [1, 0, 0, 0, 0, 0]])
    for features in (
        Features.stack([Features.silence(25)] * 2),
        model.encoder(torch.zeros(2, CHUNK)),
    ):
        model.zero_grad()
        memory = model.prefill(features)
        logits = model.logits(tokens, memory)
        (logits.log_softmax(-1)[..., :100].mean() + memory.activity.mean()).backward()
        bad = [
            name for name, p in model.named_parameters()
            if p.grad is not None and not p.grad.isfinite().all()
        ]  # fmt: skip
        assert not bad


def test_learns_one_sentence(make_model, features):
    """A few steps make one sentence likelier."""
    model = make_model()
    tokens = random_tokens(model.vocabulary, 1, 2, CHUNK_S)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad], lr=3e-3
    )
    losses = []
    for _ in range(20):
        logits = model.logits(tokens, model.prefill(rows_of(features, 0)))[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_half_precision(model, features):
    """bfloat16, as in training, says about the same."""
    tokens = random_tokens(model.vocabulary, 3, 2, CHUNK_S)

    def run():
        with torch.no_grad():
            memory = model.prefill(features)
            return memory.activity.float().sigmoid(), model.logits(tokens, memory)

    expected = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = run()
    assert actual[1].dtype == torch.float32
    assert actual[1].isfinite().all()
    assert (actual[0] - expected[0]).abs().mean() < 0.05
    possible = expected[1] > IMPOSSIBLE
    error = (actual[1] - expected[1])[possible].std()
    assert error < 0.2 * expected[1][possible].std()


def test_encoders_are_not_trained(make_model):
    model = make_model().train()
    assert model.training and model.blocks[0].training
    assert not any(module.training for module in model.encoder.modules())
    assert not any(name.startswith("encoder") for name in model.state_dict())
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("encoder") for name in learns) and len(learns) > 20


def test_encoders_are_those_of_the_package(encoder):
    """However a model is initialised."""
    ours = untrained().encoder
    for weights, expected in (
        (ours.parameters(), encoder.parameters()),
        (ours.buffers(), encoder.buffers()),
    ):
        assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


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


def test_dimension_and_vocabulary(model, make_model):
    assert model.dimension == 8
    assert model.vocabulary == Vocabulary(duration=30.0, resolution=0.02, max_speakers=8)
    assert make_model(duration=8.0, num_speakers=3).vocabulary == Vocabulary(8.0, 0.02, 3)


def test_hyperparameters(model):
    assert dict(model.hparams) == {
        **TINY, "sample_rate": SAMPLE_RATE, "num_channels": 1, "dropout": 0.1,
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


def test_checkpoints_of_the_stem_are_refused(model, checkpoint):
    """In one sentence, whichever way they are loaded."""
    content = torch.load(checkpoint, weights_only=False)
    content["state_dict"]["stem.convolutions.0.weight"] = torch.zeros(1)
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match="log-mel energies") as error:
        Model.from_pretrained(checkpoint)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["evidence_factors", "audio_type", "blocks.1.out.weight"])
def test_checkpoints_that_are_not_whole_are_refused(model, name):
    state = model.state_dict()
    del state[name]
    with pytest.raises(RuntimeError, match=name):
        model.load_state_dict(state)


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
