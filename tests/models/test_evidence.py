"""Evidence of PyanNet's activities, against sums that are computed bin by bin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_drz.models.evidence import MOST_GONE_S, MOST_LEFT_S, Evidence

settings.register_profile("busy", deadline=None, max_examples=25)  # a busy machine is no failure
settings.load_profile("busy")

BIN_S = 0.02
EDGE, NEAR = 15, 12  # bins: 0.3 s and 0.25 s


def activities_of(num_bins: int, seed: int) -> torch.Tensor:
    """(2, bins, 3), in stretches of up to a second, as speech is."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(2):
        lengths = rng.integers(1, 50, num_bins)
        level = rng.choice([0.0, 0.03, 0.4, 0.97, 1.0], (num_bins, 3))
        rows.append(np.repeat(level, lengths, axis=0)[:num_bins])
    return torch.tensor(np.stack(rows), dtype=torch.float32)


stretches = st.builds(activities_of, st.integers(1, 200), st.integers(0, 1000))


def mean(x: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mean over bins start..stop of those there are; 0 where there are none."""
    part = x[max(start, 0) : max(stop, 0)]
    return part.mean(0) if len(part) else np.zeros(x.shape[1:])


def close(actual: torch.Tensor, expected) -> None:
    if not torch.is_tensor(expected):
        expected = torch.tensor(np.array(expected), dtype=torch.float32)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@given(stretches)
def test_rise(activities):
    evidence = Evidence(activities, BIN_S)
    for row, x in enumerate(activities.numpy()):
        expected = [
            np.maximum(mean(x, t, t + EDGE) - mean(x, t - EDGE, t), 0).sum()
            for t in range(len(x) + 1)
        ]
        close(evidence.rise[row], expected)


@given(stretches, st.data())
def test_who_starts(activities, data):
    num_bins = activities.shape[1]
    starts = data.draw(st.lists(st.integers(0, num_bins), min_size=1, max_size=4))
    who = Evidence(activities, BIN_S).who_starts(torch.tensor([starts, starts]))
    for row, x in enumerate(activities.numpy()):
        for k, t in enumerate(starts):
            now, before = mean(x, t, t + EDGE), mean(x, t - EDGE, t)
            weight = np.maximum(now - before, 0) + 0.1 * now + 1e-3
            close(who[row, k], min(now.sum(), 1) * weight / weight.sum())
    assert (who.sum(-1) <= 1 + 1e-5).all() and (who >= 0).all()


@given(stretches, st.data())
def test_unwritten_and_starts(activities, data):
    """What the first turns do not cover; edges of it; seconds that are left."""
    num_bins = activities.shape[1]
    turn = st.tuples(st.integers(0, num_bins), st.integers(0, num_bins)).map(sorted)
    turns = data.draw(st.lists(turn, max_size=4))
    counts = data.draw(st.lists(st.integers(0, len(turns)), min_size=1, max_size=3))
    evidence = Evidence(activities, BIN_S)
    starts, ends = (
        torch.tensor([[t[k] for t in turns]] * 2, dtype=torch.long).view(2, -1) for k in (0, 1)
    )
    unwritten = evidence.unwritten(starts, ends, torch.tensor(counts))
    rise, after = evidence.start_terms(unwritten)
    since = torch.tensor([[starts[0, c - 1].item() if c else 0 for c in counts]] * 2)
    left_s = evidence.left_s(unwritten, since)
    for row, x in enumerate(activities.numpy()):
        for k, count in enumerate(counts):
            left = x.sum(-1)
            for start, end in turns[:count]:
                left[start:end] -= 1
            left = np.maximum(left, 0)
            close(unwritten[row, k], left)
            edges = [
                (mean(left, t, t + EDGE), mean(left, t - EDGE, t)) for t in range(num_bins + 1)
            ]
            close(rise[row, k], [max(now - before, 0) for now, before in edges])
            close(after[row, k], [min(now, 1) for now, _ in edges])
            sure = np.clip(2 * left[since[row, k] :] - 1, 0, 1)
            close(left_s[row, k], min(BIN_S * sure.sum(), MOST_LEFT_S))


@given(stretches, st.data())
def test_ends(activities, data):
    num_bins = activities.shape[1]
    starts = data.draw(st.lists(st.integers(0, num_bins), min_size=1, max_size=3))
    evidence = Evidence(activities, BIN_S)
    starts = torch.tensor([starts, starts])
    who = evidence.who_starts(starts)
    fall, gone = evidence.end_terms(starts, who)
    for row, x in enumerate(activities.numpy()):
        for k, start in enumerate(starts[row].tolist()):
            u = x @ who[row, k].numpy()
            close(
                fall[row, k],
                [mean(u, t - EDGE, t) - mean(u, t, t + EDGE) for t in range(num_bins + 1)],
            )
            silent = [
                2 * max(0.5 - u[max(t - NEAR, 0) : t + NEAR + 1].max(), 0) for t in range(num_bins)
            ]
            expected = [BIN_S * sum(silent[start:t]) for t in range(num_bins + 1)]
            close(gone[row, k], np.minimum(expected, MOST_GONE_S))


@given(stretches, st.permutations(range(3)), st.integers(0, 200))
def test_numbers_of_local_speakers_mean_nothing(activities, order, start):
    one, other = Evidence(activities, BIN_S), Evidence(activities[..., order], BIN_S)
    starts = torch.full((2, 1), min(start, activities.shape[1]))
    ends = starts + 10
    rows = torch.tensor([0, 1])
    close(other.rise, one.rise)
    close(other.unwritten(starts, ends, rows), one.unwritten(starts, ends, rows))
    who = one.who_starts(starts)
    close(other.who_starts(starts), who[..., list(order)])
    for a, b in zip(
        other.end_terms(starts, who[..., list(order)]), one.end_terms(starts, who), strict=True
    ):
        close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_sums_are_not_noise(dtype):
    """After 25 s of speech an edge is as sharp as at once."""
    activities = torch.ones(1, 1500, 3, dtype=dtype)
    activities[:, 1300:] = 0.25
    with torch.autocast("cpu", torch.bfloat16):
        evidence = Evidence(activities, BIN_S)
    close(evidence.mean(torch.tensor([[1285]]), torch.tensor([[1315]]))[0, 0], [0.625] * 3)
    assert evidence.rise.max() == pytest.approx(3.0, abs=1e-3)  # at 0: from nothing to all three
    assert evidence.rise[0, 20:].max() < 1e-3


def test_nothing_is_heard_in_silence():
    evidence = Evidence(torch.zeros(1, 100, 3), BIN_S)
    starts = torch.tensor([[0, 50, 100]])
    who = evidence.who_starts(starts)
    assert not who.any() and not evidence.rise.any()
    fall, gone = evidence.end_terms(starts, who)
    assert not fall.any()
    assert gone[0, 1, -1] == pytest.approx(1.0, abs=1e-4)  # s since bin 50
