"""Decoding: the cache, the batch and the grammar change nothing but speed and sense."""

import pytest
import torch

from pyannote_drz.decoding import (
    NEAR_BINS,
    decode,
    most_probable,
    transcribe,
    with_neighbours,
)
from pyannote_drz.models.encoders import Features
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer

SAMPLE_RATE = 16000
POSITIONS = 25  # 2 s


@pytest.fixture(scope="module")
def make_writer(make_model):
    """Writes a few turns: large weights make it have opinions, a bias on <eos> makes it end."""

    def make(seed: int = 0, eos_bias: float = 2.0) -> Pix2SeqDiarizer:
        model = make_model(seed=seed)
        with torch.no_grad():
            model.end_or_pad.bias[1] = eos_bias
        return model

    return make


@pytest.fixture(scope="module")
def model(make_writer) -> Pix2SeqDiarizer:
    return make_writer()


@pytest.fixture(scope="module")
def chatterbox(make_writer) -> Pix2SeqDiarizer:
    """Never ends by itself."""
    return make_writer(eos_bias=-1000.0)


@pytest.fixture(scope="module")
def features(make_features) -> Features:
    """Four chunks of 2 s."""
    return make_features(4, POSITIONS)


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# Turns of prompts, (start bin, end bin, speaker): two, one, none, three.
PROMPTS = [
    [(0, 15, 0), (20, 32, 1)],
    [(0, 25, 0)],
    [],
    [(0, 5, 0), (8, 16, 1), (20, 40, 2)],
]


def given_of(model, prompts) -> list[list[int]]:
    """Tokens of prompts, without <eos>."""
    return [model.vocabulary.from_triplets(triplets)[:-1] for triplets in prompts]


@pytest.fixture(scope="module", params=["nothing given", "prompts given"])
def prompts(request) -> list[list[tuple[int, int, int]]]:
    return PROMPTS if request.param == "prompts given" else [[]] * 4


@pytest.fixture(scope="module")
def given(model, prompts) -> list[list[int]] | None:
    return given_of(model, prompts) if any(prompts) else None


@pytest.fixture(scope="module")
def positions(prompts) -> torch.Tensor:
    """How much of each window is prompts."""
    return torch.tensor([-(-max([0, *(end for _, end, _ in row)]) // 4) for row in prompts])


@pytest.fixture(scope="module")
def memory(model, features, positions):
    with torch.inference_mode():
        return model.prefill(features, positions)


def full_log_probabilities(model, memory, tokens):
    """Of written tokens, by one forward without a cache, among what the grammar allows.

    Of times, that it is within 0.2 s.
    """
    batch, length = tokens.shape
    v = model.vocabulary
    grammar = v.grammar(batch, num_bins=memory.bin_keys.shape[1])
    found = torch.zeros(batch, length)
    with torch.inference_mode():
        logits = model.logits(tokens, memory)[:, :-1]
        for step in range(length):
            allowed = logits[:, step].masked_fill(~grammar.mask(), -torch.inf).softmax(-1)
            for row, token in enumerate(tokens[:, step].tolist()):
                near = slice(token, token + 1)
                if v.first_time <= token < v.first_speaker:
                    low, high = token - NEAR_BINS, token + NEAR_BINS + 1
                    near = slice(max(low, v.first_time), min(high, v.first_speaker))
                found[row, step] = allowed[row, near].sum()
            grammar.advance(tokens[:, step])
    assert grammar.over
    return found.log()


def rows(model, decoded) -> list[list[tuple[int, int, int]]]:
    return [model.vocabulary.to_triplets(tokens.tolist()) for tokens in decoded.tokens]


# ---- what is written ----------------------------------------------------------------------------


def test_writes_something(model, memory, prompts, given):
    """Other tests would hold for a model that has nothing to say."""
    triplets = rows(model, decode(model, memory, given=given))
    lengths = [len(row) - len(first) for row, first in zip(triplets, prompts, strict=True)]
    assert max(lengths) >= 3
    assert len(set(lengths)) > 1


def test_greedy_takes_the_best(model, memory):
    """With the first token as an example: no other 0.4 s are more probable, nor a bin in them."""
    decoded = decode(model, memory)
    v = model.vocabulary
    with torch.inference_mode():
        logits = model.logits(decoded.tokens[:, :0], memory)[:, 0]
    allowed = v.grammar(4, num_bins=101).mask()
    probability = logits.masked_fill(~allowed, -torch.inf).softmax(-1)
    for row, token in enumerate(decoded.tokens[:, 0].tolist()):
        times = probability[row, v.times]
        if token == v.eos:
            assert probability[row, v.eos] >= times.sum()
            continue
        about = [times[max(k - NEAR_BINS, 0) : k + NEAR_BINS + 1] for k in range(len(times))]
        best = int(torch.stack([part.sum() for part in about]).argmax())
        first = max(best - NEAR_BINS, 0)
        assert token - v.first_time == first + int(about[best].argmax())


@pytest.mark.parametrize("temperature", [0.0, 3.0])
def test_what_is_given_stays(model, memory, temperature):
    generator = torch.Generator().manual_seed(0)
    given = given_of(model, PROMPTS)
    decoded = decode(model, memory, temperature=temperature, generator=generator, given=given)
    for triplets, first in zip(rows(model, decoded), PROMPTS, strict=True):
        assert triplets[: len(first)] == first
    assert decoded.tokens.tolist() != decode(model, memory).tokens.tolist()


def test_nothing_given_is_as_without(model, memory):
    without, nothing = decode(model, memory), decode(model, memory, given=[[], [], [], []])
    assert nothing.tokens.equal(without.tokens)
    assert nothing.probabilities.equal(without.probabilities)


def test_what_was_written_can_be_given(model, memory):
    """Greedy writing goes on from there just as it did."""
    written = rows(model, decode(model, memory))
    first = [triplets[:2] for triplets in written]
    assert rows(model, decode(model, memory, given=given_of(model, first))) == written


def test_a_time_and_its_neighbours_are_one_choice(make_writer):
    """Ten bins of 0.06 beside each other beat one of 0.15; all times together beat <eos> of 0.2."""
    v = make_writer().vocabulary
    probability = torch.zeros(3, len(v))
    probability[0, v.first_time + 80] = 0.15
    probability[0, v.first_time + 20 : v.first_time + 30] = 0.06
    probability[0, v.first_time + 24] = 0.08
    probability[0, v.eos] = 0.2
    probability[1, v.eos], probability[1, v.first_time + 3] = 0.6, 0.4
    probability[2, v.first_speaker], probability[2, v.first_speaker + 1] = 0.45, 0.55
    expected = [v.first_time + 24, v.eos, v.first_speaker + 1]
    near = with_neighbours(probability, v)
    found = most_probable(probability, near, v)
    assert found.tolist() == expected
    told = near.gather(1, found[:, None])[:, 0]
    torch.testing.assert_close(told, torch.tensor([0.62, 0.6, 0.55]))


def test_what_is_given_is_as_probable_as_the_model_says(model, memory):
    """Not certain: the probability of a prompt tells how well it is understood."""
    decoded = decode(model, memory, given=given_of(model, PROMPTS))
    for row, first in enumerate(PROMPTS):
        assert (decoded.probabilities[row, : 3 * len(first)] < 1 - 1e-6).any() or not first


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_equals_full_forward(model, memory, given, temperature):
    generator = torch.Generator().manual_seed(0)
    decoded = decode(model, memory, temperature=temperature, generator=generator, given=given)
    torch.testing.assert_close(
        decoded.probabilities.log(),
        full_log_probabilities(model, memory, decoded.tokens),
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


def test_cached_equals_full_forward_to_the_very_end(chatterbox, make_features):
    """Up to 64 triplets, the first 60 of which are given."""
    with torch.inference_mode():
        memory = chatterbox.prefill(make_features(1, 375))
    many = [(10 * k, 10 * k + 25, k % 3) for k in range(60)]
    decoded = decode(chatterbox, memory, given=given_of(chatterbox, [many]))
    assert 181 < decoded.tokens.shape[1] <= 193
    torch.testing.assert_close(
        decoded.probabilities.log(),
        full_log_probabilities(chatterbox, memory, decoded.tokens),
        atol=1e-3, rtol=1e-3,
    )  # fmt: skip


def test_sequences_end(model, chatterbox, memory, given):
    v = model.vocabulary
    for writer in (model, chatterbox):
        decoded = decode(writer, memory, given=given)
        assert decoded.tokens.dtype == torch.long
        assert decoded.tokens.shape == decoded.probabilities.shape
        assert decoded.tokens.shape[1] <= v.max_tokens
        assert ((decoded.tokens == v.eos).sum(1) == 1).all()
        after = (decoded.tokens == v.eos).cumsum(1).cumsum(1) > 1
        assert (decoded.tokens[after] == v.pad).all()
        assert (decoded.tokens[~after] != v.pad).all()
        assert (decoded.probabilities[after] == 1).all()
        assert (decoded.tokens[:, -1] == v.eos).any()  # not longer than the longest


def test_probabilities(model, memory, given):
    probabilities = decode(model, memory, given=given).probabilities
    assert (probabilities > 0).all() and (probabilities <= 1 + 1e-6).all()
    assert probabilities.min() < 0.9


def test_what_is_written_can_be_read(chatterbox, memory, given):
    v = chatterbox.vocabulary
    for tokens in decode(chatterbox, memory, given=given).tokens.tolist():
        triplets = v.to_triplets(tokens)
        assert triplets == sorted(set(triplets))
        assert set(v.decode(tokens).labels()) <= set(v.labels)


# ---- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(4))
def test_batch_equals_its_rows(model, features, memory, positions, given, row):
    """Also where rows have different numbers of prompts."""
    together = decode(model, memory, given=given)
    with torch.inference_mode():
        alone = model.prefill(
            Features(*(x[row : row + 1] for x in features)), positions[row : row + 1]
        )
    expected = decode(model, alone, given=given and given[row : row + 1])
    length = expected.tokens.shape[1]
    assert together.tokens[row, :length].tolist() == expected.tokens[0].tolist()
    torch.testing.assert_close(
        together.probabilities[row, :length], expected.probabilities[0], atol=1e-4, rtol=1e-3
    )
    assert (together.tokens[row, length:] == model.vocabulary.pad).all()


def test_decoding_leaves_the_memory_alone(model, memory):
    keys = [k.clone() for k in memory.keys]
    first, second = decode(model, memory), decode(model, memory)
    assert first.tokens.equal(second.tokens)
    assert all(a.equal(b) for a, b in zip(keys, memory.keys, strict=True))


def test_transcribe_is_encode_listen_and_decode(model):
    waveforms = noise(2, 2 * SAMPLE_RATE)
    with torch.inference_mode():
        memory = model.prefill(model.encoder(waveforms))
    expected = decode(model, memory, max_speakers=3)
    actual = transcribe(model, waveforms, max_speakers=3)
    assert actual.tokens.equal(expected.tokens)


# ---- sampling -----------------------------------------------------------------------------------


def sample(model, memory, seed, temperature=1.0):
    generator = torch.Generator().manual_seed(seed)
    return decode(model, memory, temperature=temperature, generator=generator).tokens.tolist()


def test_same_seed_same_sample(model, memory):
    assert sample(model, memory, seed=1) == sample(model, memory, seed=1)


def test_other_seed_other_sample(model, memory):
    assert sample(model, memory, seed=1) != sample(model, memory, seed=2)


def test_cold_samples_are_the_most_probable_tokens(model, memory):
    tokens = torch.tensor(sample(model, memory, seed=1, temperature=1e-4))
    with torch.inference_mode():
        logits = model.logits(tokens[:, :0], memory)[:, 0]
    allowed = model.vocabulary.grammar(4, num_bins=101).mask()
    assert (logits.masked_fill(~allowed, -1e9).argmax(1) == tokens[:, 0]).all()
    assert tokens.tolist() == sample(model, memory, seed=2, temperature=1e-4)


def test_samples_are_grammatical(model, memory):
    for tokens in sample(model, memory, seed=3, temperature=5.0):
        triplets = model.vocabulary.to_triplets(tokens)
        assert triplets == sorted(set(triplets))


def test_hot_samples_keep_the_models_probabilities(model, memory):
    """Probabilities are those of the model, whatever the temperature of the dice."""
    generator = torch.Generator().manual_seed(0)
    decoded = decode(model, memory, temperature=3.0, generator=generator)
    torch.testing.assert_close(
        decoded.probabilities.log(),
        full_log_probabilities(model, memory, decoded.tokens),
        atol=1e-3, rtol=1e-3,
    )  # fmt: skip


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_speakers", [1, 2, 8])
def test_max_speakers(chatterbox, features, max_speakers):
    with torch.inference_mode():
        memory = chatterbox.prefill(features)
    for triplets in rows(chatterbox, decode(chatterbox, memory, max_speakers=max_speakers)):
        assert {speaker for _, _, speaker in triplets} <= set(range(max_speakers))


def test_newcomers(model, memory, prompts, given):
    """Welcome, everybody is new as long as letters last."""
    welcome = rows(model, decode(model, memory, newcomer_bias=100.0, given=given))
    for triplets, first in zip(welcome, prompts, strict=True):
        letters = [k for *_, k in triplets][: model.vocabulary.max_speakers]
        assert letters == list(range(len(letters)))
        assert triplets[: len(first)] == first
    if given:  # else this model does so by itself
        assert welcome != rows(model, decode(model, memory, given=given))


def test_max_speakers_of_each_chunk(chatterbox, features):
    with torch.inference_mode():
        memory = chatterbox.prefill(features)
    limits = [1, 2, 3, 8]
    decoded = decode(chatterbox, memory, max_speakers=torch.tensor(limits))
    for limit, triplets in zip(limits, rows(chatterbox, decoded), strict=True):
        assert {speaker for _, _, speaker in triplets} <= set(range(limit))


def test_letters_come_in_order_after_those_of_prompts(chatterbox, memory):
    decoded = decode(chatterbox, memory, given=given_of(chatterbox, PROMPTS))
    for first, triplets in zip(PROMPTS, rows(chatterbox, decoded), strict=True):
        used = len(first)
        for _, _, speaker in triplets[len(first) :]:
            assert speaker <= used
            used = max(used, speaker + 1)


def test_where_prompts_take_all_letters_only_they_speak(chatterbox, memory):
    given = given_of(chatterbox, PROMPTS)
    decoded = decode(chatterbox, memory, max_speakers=3, given=given)
    assert {s for triplets in rows(chatterbox, decoded) for _, _, s in triplets} == {0, 1, 2}


@pytest.mark.parametrize("num_samples", [1, 1280, 8000, 20001])
def test_short_chunks_stay_within_their_bins(chatterbox, num_samples):
    """Up to the end of the last audio position, less than 80 ms behind the end of the audio."""
    decoded = transcribe(chatterbox, noise(2, num_samples))
    last = 4 * -(-num_samples // 1280)
    for triplets in rows(chatterbox, decoded):
        assert triplets
        assert max(end for _, end, _ in triplets) <= last


def test_whole_chunk(model, make_features):
    """30 s, to the last bin."""
    with torch.inference_mode():
        decoded = decode(model, model.prefill(make_features(1, 375)))
    for triplets in rows(model, decoded):
        assert all(0 <= start < end <= 1500 for start, end, _ in triplets)


def test_silence(model):
    decoded = transcribe(model, torch.zeros(2, 2 * SAMPLE_RATE))
    assert decoded.probabilities.isfinite().all()
    assert decoded.tokens[0].tolist() == decoded.tokens[1].tolist()


@pytest.mark.parametrize("first", [[], [(0, 15, 0), (20, 32, 1)]], ids=["alone", "prompted"])
def test_empty_only_if_more_probable_than_not(make_writer, make_features, first):
    """<eos> is the most probable single token both times: starts are spread over many bins."""
    model, features = make_writer(), make_features(1, POSITIONS)
    with torch.inference_mode():
        model.evidence_factors.zero_()  # PyanNet is too sure of one of them
        memory = model.prefill(features)
    v = model.vocabulary
    (tokens,) = given = given_of(model, [first])
    grammar = v.grammar(1, num_bins=101)
    for token in tokens:
        grammar.advance(torch.tensor([token]))
    starts = grammar.mask()[0]
    starts[v.eos] = False
    with torch.inference_mode():
        logits = model.logits(torch.tensor([tokens], dtype=torch.long), memory)[0, -1]
        speech = logits[starts].logsumexp(0)
        assert logits[starts].max() < speech - 1  # starts are spread over bins
        for share, is_empty in ((0.4, False), (0.6, True)):
            quiet = make_writer()
            quiet.evidence_factors.zero_()
            wanted = speech + torch.tensor(share / (1 - share)).log()
            quiet.end_or_pad.bias[1] += wanted - logits[v.eos]
            decoded = decode(quiet, quiet.prefill(features), given=given)
            assert (decoded.tokens[0, len(tokens)] == v.eos) == is_empty


def test_bad_temperature(model, memory):
    with pytest.raises(ValueError, match="-0.5"):
        decode(model, memory, temperature=-0.5)


@pytest.mark.parametrize("max_speakers", [0, -1])
def test_bad_max_speakers(model, memory, max_speakers):
    with pytest.raises(ValueError, match=str(max_speakers)):
        decode(model, memory, max_speakers=max_speakers)


def test_fewer_speakers_than_prompts(model, memory):
    given = given_of(model, PROMPTS)
    decode(model, memory, max_speakers=3, given=given)
    with pytest.raises(ValueError, match="breaks the grammar at token 8"):  # C, of the last row
        decode(model, memory, max_speakers=2, given=given)


@pytest.mark.parametrize(
    "first, token",
    [
        ([(0, 10, 1)], 2),  # B before A
        ([(0, 10, 0), (20, 30, 2)], 5),  # C before B
        ([(20, 30, 0), (0, 10, 1)], 3),  # back in time
        ([(0, 10, 0), (0, 10, 0)], 5),  # twice the same
        ([(10, 10, 0)], 1),  # ends when it starts
        ([(0, 101, 0)], 1),  # beyond the end of the chunk
    ],
)
def test_what_breaks_the_grammar_cannot_be_given(model, memory, first, token):
    """In whatever row it is."""
    rows = [[], [(0, 10, 0)], first, []]
    with pytest.raises(ValueError, match=f"breaks the grammar at token {token}"):
        decode(model, memory, given=given_of(model, rows))


def test_more_speakers_than_letters(chatterbox, features):
    """Whoever expects 20 speakers gets the 8 that this model can name."""
    with torch.inference_mode():
        memory = chatterbox.prefill(features)
    expected = decode(chatterbox, memory)
    actual = decode(chatterbox, memory, max_speakers=20)
    assert actual.tokens.equal(expected.tokens)


# ---- what has to be said ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_turns_start_in_time(make_writer, features, seed):
    """Whoever has to be told is told, by a model that would rather say nothing."""
    model = make_writer(seed, eos_bias=1000.0)
    v, num_bins = model.vocabulary, 4 * POSITIONS
    latest = torch.full((4, num_bins), num_bins)
    latest[1, :60] = torch.arange(60).clamp(min=10) + 5  # somebody speaks from bin 10 to the end
    latest[2, :1] = 0
    latest[3] = torch.arange(num_bins) + 5  # to the very end, where no turn has room
    memory = model.prefill(features, torch.zeros(4, dtype=torch.long))
    alone = decode(model, memory)
    assert (alone.tokens[:, 0] == v.eos).all()
    decoded = decode(model, memory, latest=latest)
    rows = [v.to_triplets(tokens.tolist()) for tokens in decoded.tokens]
    assert rows[0] == [] and rows[1] and rows[2] and rows[3]
    for row, triplets in enumerate(rows):
        reached = 0
        for start, end, _ in triplets:
            assert start <= latest[row, reached]
            reached = min(max(reached, end), num_bins - 1)
        if row < 3:
            assert latest[row, reached] == num_bins
    assert torch.isfinite(decoded.probabilities).all()


def test_what_is_given_is_not_judged(model, features):
    """Prompts begin when they begin; only what comes after them has to come in time."""
    given = given_of(model, [[(8, 20, 0)]] * 4)
    memory = model.prefill(features, torch.full((4,), 5))
    latest = torch.full((4, 4 * POSITIONS), 4 * POSITIONS)
    latest[:, :30] = 4
    latest[:, 20] = 30
    decoded = decode(model, memory, given=given, latest=latest)
    for tokens in decoded.tokens:
        triplets = model.vocabulary.to_triplets(tokens.tolist())
        assert triplets[0] == (8, 20, 0) and len(triplets) > 1 and 8 <= triplets[1][0] <= 30
