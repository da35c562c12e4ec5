"""Speaker embeddings: cosines, sums over turns, and the score of a speaker."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.encoders.segmentation import activities
from pyannote_drz.models.speaker_embeddings import TYPICAL_NORM, SpeakerScore, speaker_embeddings_of

settings.register_profile("busy", deadline=None, max_examples=25)  # a busy machine is no failure
settings.load_profile("busy")


@pytest.fixture(scope="module")
def features(make_features) -> Features:
    return make_features(2, 40)


def listen(features: Features):
    return speaker_embeddings_of(features, activities(features.probabilities).mean(2))


def test_similarities_are_cosines(features):
    similarities = listen(features).similarities()
    assert similarities.shape == (4, 2, 40, 40)
    for row in range(2):
        for kind, x in enumerate((features.short[row], features.long[row])):
            expected = F.cosine_similarity(x[:, None], x[None], dim=-1)
            torch.testing.assert_close(similarities[kind, row], expected, atol=1e-5, rtol=1e-5)
        local = activities(features.probabilities[row]).mean(1)
        torch.testing.assert_close(similarities[3, row], local @ local.T)


def test_centred_embeddings_have_no_mean_over_speech(features):
    speech = 1 - features.probabilities[..., 0].mean(2)
    voices = listen(features)
    for row in range(2):
        mean = (speech[row, :, None] * features.long[row]).sum(0) / speech[row].sum()
        centred = F.normalize(features.long[row] - mean, dim=-1)
        torch.testing.assert_close(voices.unit[2, row], centred, atol=1e-5, rtol=1e-5)


@given(st.integers(0, 40), st.integers(0, 40), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_sums_over_turns(make_features, start, stop, who):
    """Of whom PyanNet hears alone, by shares of its local speakers; the rest is of anybody."""
    features = make_features(2, 40)
    start, stop = sorted((start, stop))
    who = torch.tensor(who) / max(1.0, sum(who))
    sums, alone = listen(features).between(
        *(torch.tensor([[x], [x]]) for x in (start, stop)), who.expand(2, 1, 3)
    )
    each = features.probabilities[..., 1:4].mean(2)[:, start:stop]  # one speaks alone
    weight = each @ who + (1 - who.sum()) * each.sum(-1)
    torch.testing.assert_close(alone[:, 0], weight.sum(1), atol=1e-4, rtol=1e-4)
    for kind, x in enumerate((features.short, features.long)):
        expected = (weight[..., None] * x[:, start:stop] / TYPICAL_NORM).sum(1)
        torch.testing.assert_close(sums[:, 0, kind], expected, atol=1e-3, rtol=1e-3)


def test_who_talks_over_a_turn_is_left_out(make_features):
    """A speaks all the time, B for half of it, first after A, then over A."""
    features = make_features(1, 20)
    a, b = torch.randn(2, 192)
    features.short[0, :10], features.short[0, 10:] = 14 * a, 14 * b
    features.probabilities.zero_()
    features.probabilities[0, :10, :, 1] = features.probabilities[0, 10:15, :, 2] = 1.0
    features.probabilities[0, 15:, :, 4] = 1.0  # both
    turn, nobody = (torch.tensor([[0]]), torch.tensor([[20]])), torch.zeros(1, 1, 3)
    by_a = nobody.clone()
    by_a[..., 0] = 1.0
    voices = listen(features)
    sums, alone = voices.between(*turn, by_a)
    assert alone.item() == pytest.approx(10.0)
    torch.testing.assert_close(sums[0, 0, 0], 10 * a, atol=1e-4, rtol=1e-4)
    sums, alone = voices.between(*turn, nobody)  # nobody knows who: all who speak alone
    assert alone.item() == pytest.approx(15.0)
    torch.testing.assert_close(sums[0, 0, 0], 10 * a + 5 * b, atol=1e-4, rtol=1e-4)


def test_turns_beyond_the_end_end_there(features):
    voices = listen(features)
    who = torch.rand(2, 1, 3) / 3
    begin, end, beyond = (torch.tensor([[at]] * 2) for at in (30, 40, 99))
    for a, b in zip(
        voices.between(begin, beyond, who), voices.between(begin, end, who), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_similarities_to_tokens(features):
    """A token about one position is as similar to others as that position is."""
    voices = listen(features)
    embeddings = voices.unit[:, :, 5:8].permute(1, 2, 0, 3)
    found = voices.similarities_to(embeddings, voices.local[:, 5:8])
    torch.testing.assert_close(found, voices.similarities()[:, :, 5:8])


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_numbers_of_local_speakers_mean_nothing(features, order):
    one, other = listen(features), listen(features.permuted(order))
    torch.testing.assert_close(other.similarities(), one.similarities())
    torch.testing.assert_close(other.local[..., list(order)], one.local)
    start, stop, who = torch.tensor([[3]] * 2), torch.tensor([[17]] * 2), torch.rand(2, 1, 3) / 3
    renamed = torch.empty_like(who)
    renamed[..., list(order)] = who
    for a, b in zip(
        other.between(start, stop, renamed), one.between(start, stop, who), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_silence_is_like_nobody():
    voices = listen(Features.stack([Features.silence(6)]))
    assert all(tensor.isfinite().all() for tensor in voices)
    assert not voices.similarities().any() and not voices.alone.any()


def test_half_precision_is_summed_in_single(features):
    half, single = listen(features.to(torch.float16)), listen(features)
    assert all(tensor.dtype == torch.float32 for tensor in half[:3])
    torch.testing.assert_close(half.sums, single.sums, atol=1e-2, rtol=1e-2)


# ---- who is it ----------------------------------------------------------------------------------


@pytest.fixture
def score() -> SpeakerScore:
    torch.manual_seed(0)
    return SpeakerScore()


def ask(score: SpeakerScore, turns, people, known, same=None, seconds=2.0):
    """(turns, 3, 192) and (speakers, 3, 192) -> (turns, speakers) logits."""
    shape = (1, len(turns), len(people))
    return score(
        turns[None],
        torch.full(shape[:2], seconds),
        people[None, None].expand(1, len(turns), -1, -1, -1),
        torch.full(shape, seconds),
        torch.zeros(shape) if same is None else same[None],
        known.expand(shape),
    )[0]


def test_at_first_cosines_decide(score):
    score.start_from_cosines()
    people = torch.randn(4, 3, 192)
    known = torch.tensor([True, True, True, False])
    turns = torch.stack([5 * people[1], people[2] + 0.1 * torch.randn(3, 192)])
    logits = ask(score, turns, people, known)
    assert logits.argmax(-1).tolist() == [1, 2]
    cosines = F.cosine_similarity(turns[:, None, 0], people[None, :3, 0], dim=-1)
    torch.testing.assert_close(
        logits[:, :3] - logits[:, 3:], 20 * cosines - 8, atol=1e-4, rtol=1e-4
    )
    stranger = ask(score, torch.randn(1, 3, 192), people, known)
    assert stranger.argmax(-1).tolist() == [3]


def test_who_is_unknown_is_as_likely_as_any_unknown(score):
    """Whatever is summed for those who have not spoken."""
    turns, people = torch.randn(2, 3, 192), torch.randn(4, 3, 192)
    known = torch.tensor([True, False, False, True])
    logits = ask(score, turns, people, known)
    torch.testing.assert_close(logits[:, 1], logits[:, 2])
    people[1:3] = torch.randn(2, 3, 192)
    torch.testing.assert_close(ask(score, turns, people, known), logits)


def test_loudness_does_not_matter(score):
    turns, people = torch.randn(2, 3, 192), torch.randn(4, 3, 192)
    known = torch.ones(4, dtype=torch.bool)
    torch.testing.assert_close(
        ask(score, 7 * turns, 0.1 * people, known),
        ask(score, turns, people, known),
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


def test_learnt_correction_hears_all_its_inputs(score):
    turns, people = torch.randn(2, 3, 192), torch.randn(4, 3, 192)
    known = torch.ones(4, dtype=torch.bool)
    logits = ask(score, turns, people, known)
    assert (ask(score, turns, people, known, same=torch.ones(2, 4)) - logits).abs().min() > 1e-4
    assert (ask(score, turns, people, known, seconds=0.2) - logits).abs().min() > 1e-4
    for kind in range(3):
        changed = people.clone()
        changed[:, kind] = torch.randn(4, 192)
        assert (ask(score, turns, changed, known) - logits).abs().min() > 1e-6


def test_nothing_heard_is_finite_in_bf16(score):
    known = torch.tensor([True, False])
    with torch.autocast("cpu", torch.bfloat16):
        turns = torch.zeros(1, 3, 192, requires_grad=True)
        logits = ask(score, turns, torch.zeros(2, 3, 192), known, seconds=0.0)
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    logits.sum().backward()
    assert turns.grad.isfinite().all()
