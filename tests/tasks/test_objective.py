"""What is learnt: targets, corruption, losses."""

import pytest
import torch

from pyannote_drz.tasks.objective import (
    Objective,
    Targets,
    activity_loss,
    activity_of,
    corrupt,
    make_targets,
    token_loss,
)
from pyannote_drz.tokens import Vocabulary

V = Vocabulary(duration=6.0, resolution=0.02, max_speakers=4)


def tokens_of(*rows) -> torch.Tensor:
    rows = [torch.tensor(V.from_triplets(triplets)) for triplets in rows]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=V.pad)


TOKENS = tokens_of([(0, 100, 0), (50, 150, 1), (200, 300, 2)], [(10, 60, 0)], [])
NOTHING = torch.zeros_like(TOKENS, dtype=torch.bool)  # is given


def targets_of(tokens: torch.Tensor, given: torch.Tensor | None = None) -> Targets:
    """Nothing but tokens."""
    given = torch.zeros_like(tokens, dtype=torch.bool) if given is None else given
    return Targets(tokens, torch.zeros(len(tokens), 0, V.max_speakers), given)


TARGETS = targets_of(TOKENS)


@pytest.mark.parametrize(
    "bad", [{"time_noise": 1.5}, {"speaker_noise": -0.1}, {"eos_weight": -2.0}]
)
def test_bad_objective(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        Objective(**bad)


def test_corrupt_changes_times_and_speakers_only():
    torch.manual_seed(0)
    tokens = TOKENS.repeat(100, 1)
    noise = Objective(time_noise=1.0, time_noise_bins=5, speaker_noise=1.0)
    noisy = corrupt(V, tokens, NOTHING.repeat(100, 1), noise, V.num_bins)
    is_time = (tokens >= V.first_time) & (tokens < V.first_speaker)
    is_speaker = tokens >= V.first_speaker
    other = ~is_time & ~is_speaker
    assert torch.equal(noisy[other], tokens[other])  # pads and eos
    times = noisy[is_time]
    assert times.min() >= V.first_time and times.max() < V.first_speaker
    moves = times - tokens[is_time]
    assert moves.abs().max() == 5 and len(moves.unique()) == 11
    # Only letters of the row.
    used = tokens.amax(1, keepdim=True).expand_as(tokens)
    assert ((noisy >= V.first_speaker) & (noisy <= used))[is_speaker].all()
    assert (noisy != tokens)[is_speaker].any()


def test_corrupt_by_share():
    torch.manual_seed(0)
    tokens, nothing = TOKENS.repeat(300, 1), NOTHING.repeat(300, 1)
    none = Objective(time_noise=0.0, speaker_noise=0.0)
    assert torch.equal(corrupt(V, tokens, nothing, none, V.num_bins), tokens)
    some = Objective(time_noise=0.3, time_noise_bins=50, speaker_noise=0.0)
    noisy = corrupt(V, tokens, nothing, some, V.num_bins)
    is_time = (tokens >= V.first_time) & (tokens < V.first_speaker)
    assert torch.equal(noisy[~is_time], tokens[~is_time])
    # Clamping (0 and 300 are edges) and moves by 0 take a little off.
    assert (noisy != tokens)[is_time].float().mean() == pytest.approx(0.27, abs=0.05)


def test_corrupt_leaves_what_is_given():
    """The model never has to live with a wrong prompt: nobody writes them."""
    torch.manual_seed(0)
    tokens, given = TOKENS.repeat(100, 1), NOTHING.repeat(100, 1)
    given[0::3, :6] = True
    noise = Objective(time_noise=1.0, time_noise_bins=5, speaker_noise=1.0)
    noisy = corrupt(V, tokens, given, noise, V.num_bins)
    assert torch.equal(noisy[given], tokens[given])
    assert (noisy != tokens)[0::3, 6:9].any(0).all()  # start, end and speaker of the third turn


def logits_of(tokens: torch.Tensor, height: float = 30.0) -> torch.Tensor:
    return height * torch.nn.functional.one_hot(tokens, len(V)).float()


def test_token_loss_of_right_and_wrong_answers():
    exact = Objective(time_sigma=0.0)
    right = token_loss(V, logits_of(TOKENS), TARGETS, exact, V.num_bins)
    assert 0 <= right < 1e-6
    for column in range(3):  # start, end, speaker
        answer = TOKENS.clone()
        answer[0, column] += 20 if column < 2 else 1
        assert token_loss(V, logits_of(answer), TARGETS, exact, V.num_bins) > 1
        # With smoothed times, a little off costs less than far off.
        near = TOKENS.clone()
        if column < 2:
            near[0, column] += 1
            objective = Objective()
            costs = [
                token_loss(V, logits_of(said, 5.0), TARGETS, objective, V.num_bins).item()
                for said in (TOKENS, near, answer)
            ]
            assert costs == sorted(costs) and costs[0] < costs[2]


def test_token_loss_ignores_pads_and_weighs_eos():
    logits = torch.randn(*TOKENS.shape, len(V), generator=torch.manual_seed(0))
    loss = token_loss(V, logits, TARGETS, Objective(), V.num_bins)
    changed = logits.clone()
    changed[TOKENS == V.pad] = 7 * torch.randn(int((TOKENS == V.pad).sum()), len(V))
    assert torch.equal(loss, token_loss(V, changed, TARGETS, Objective(), V.num_bins))

    changed = logits.clone()
    changed[..., V.eos][TOKENS == V.eos] -= 10  # wrong about the end
    free = Objective(eos_weight=0.0)
    assert torch.equal(
        token_loss(V, logits, TARGETS, free, V.num_bins),
        token_loss(V, changed, TARGETS, free, V.num_bins),
    )
    assert token_loss(V, changed, TARGETS, Objective(), V.num_bins) > loss


def test_token_loss_ignores_what_is_given():
    """Whatever is said there, and as if it were not there at all."""
    logits = torch.randn(*TOKENS.shape, len(V), generator=torch.manual_seed(0))
    given = NOTHING.clone()
    given[0, :6] = True
    loss = token_loss(V, logits, targets_of(TOKENS, given), Objective(), V.num_bins)
    changed = logits.clone()
    changed[given] = 7 * torch.randn(6, len(V))
    again = token_loss(V, changed, targets_of(TOKENS, given), Objective(), V.num_bins)
    assert torch.equal(loss, again)
    padded = TOKENS.masked_fill(given, V.pad)
    torch.testing.assert_close(
        loss, token_loss(V, logits, targets_of(padded), Objective(), V.num_bins)
    )
    assert loss != token_loss(V, logits, TARGETS, Objective(), V.num_bins)
    assert token_loss(V, logits, targets_of(TOKENS, ~NOTHING), Objective(), V.num_bins) == 0


@pytest.mark.parametrize("num_bins", [151, 201, V.num_bins])
def test_smoothing_stays_within_the_chunk(num_bins):
    """What lies beyond the chunk's edges is impossible: one glance there would cost 10 000."""
    tokens = tokens_of([(0, num_bins - 1, 0), (num_bins - 2, num_bins - 1, 1)])
    logits = torch.zeros(*tokens.shape, len(V))
    is_time = (tokens >= V.first_time) & (tokens < V.first_speaker)
    possible = torch.zeros(len(V), dtype=torch.bool)
    possible[V.first_time : V.first_time + num_bins] = True
    logits[is_time] = torch.where(possible, 0.0, -1e4)
    loss = token_loss(V, logits, targets_of(tokens), Objective(time_sigma=3.0), num_bins)
    assert loss < 10
    # All of the weight is given out, at the edges too.
    only = torch.full_like(logits, -1e4)
    only[is_time] = torch.where(possible, 0.0, -1e4)
    only.scatter_(-1, tokens[..., None], 0.0)
    total = (is_time.sum() * torch.tensor(float(num_bins)).log()) / (is_time.sum() + 2 + 0.3)
    loss = token_loss(V, only, targets_of(tokens), Objective(time_sigma=3.0), num_bins)
    assert loss == pytest.approx(total.item(), rel=1e-4)


def test_activity_of():
    activity = activity_of([(0, 3, 0), (2, 5, 1), (8, 99, 1)], num_frames=10, num_speakers=3)
    assert activity.dtype == torch.bool and activity.shape == (10, 3)
    assert activity[:, 0].nonzero()[:, 0].tolist() == [0, 1, 2]
    assert activity[:, 1].nonzero()[:, 0].tolist() == [2, 3, 4, 8, 9]
    assert not activity[:, 2].any()
    assert not activity_of([], 4, 2).any()


def test_activity_loss_sums_over_speakers():
    target = torch.zeros(2, 10, 4, dtype=torch.bool)
    target[0, :5, 1] = True
    logits = torch.zeros(2, 10, 4)
    assert activity_loss(logits, target) == pytest.approx(4 * torch.tensor(2.0).log().item())
    right = torch.where(target, 20.0, -20.0)
    assert activity_loss(right, target) < 1e-6
    assert activity_loss(-right, target) > 50
    assert activity_loss(logits.bfloat16(), target).dtype == torch.float32


def test_make_targets():
    """Voices have letters by arrival."""
    turns = [[(2.0, 3.0, 1), (0.0, 1.0, 0)], []]
    targets = make_targets(V, turns, [[], []], num_frames=300)
    assert targets.tokens.tolist() == tokens_of([(0, 50, 0), (100, 150, 1)], []).tolist()
    assert targets.activity.shape == (2, 300, 4)
    assert targets.activity[0].sum(0).tolist() == [50, 50, 0, 0]
    assert not targets.given.any()


def test_targets_of_a_prompted_batch():
    """The prompted voice has the first letter, the one that arrives the next."""
    turns = [[(0.0, 0.8, 1), (1.0, 2.0, 0), (3.0, 4.0, 1)], [(0.5, 1.0, 0)]]
    targets = make_targets(V, turns, [[1], []], num_frames=300)
    expected = tokens_of([(0, 40, 0), (50, 100, 1), (150, 200, 0)], [(25, 50, 0)])
    assert targets.tokens.tolist() == expected.tolist()
    assert targets.activity[0].sum(0).tolist() == [90, 50, 0, 0]  # prompts included
    assert targets.given.tolist() == [[True] * 3 + [False] * 7, [False] * 10]


def test_letters_of_prompted_people_who_are_silent_stay_theirs():
    turns = [[(0.0, 0.8, 2), (1.0, 1.8, 0), (2.0, 3.0, 1), (4.0, 5.0, 0)]]
    targets = make_targets(V, turns, [[2, 0]], num_frames=300)
    spoken = [(0, 40, 0), (50, 90, 1), (100, 150, 2), (200, 250, 1)]
    assert targets.tokens.tolist() == tokens_of(spoken).tolist()


def test_a_turn_that_begins_the_chunk_does_not_go_on_with_its_prompt():
    """In a conversation 200 ms would be no pause."""
    turns = [[(0.0, 0.8, 0), (1.0, 2.0, 0), (2.2, 3.0, 0)]]
    targets = make_targets(V, turns, [[0]], num_frames=300)
    assert targets.tokens.tolist() == tokens_of([(0, 40, 0), (50, 150, 0)]).tolist()
    assert targets.given.sum() == 3
