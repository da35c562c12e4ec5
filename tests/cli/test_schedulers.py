"""How the learning rate moves."""

import math

import pytest
import torch

from pyannote_drz.cli.schedulers import cosine_annealing_warm_restarts, cyclic, warmup_cosine


def ratios(num_steps: float, times: list[float] | None, warmup_steps: int = 2) -> list[float]:
    """Learning rate, in a run of the optimizer, as a ratio of the highest one."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    clock = None if times is None else iter(times).__next__
    scheduler = warmup_cosine(
        optimizer, monitor=None, direction="min", num_batches_per_epoch=1, num_steps=num_steps,
        share_of_time=clock, warmup_steps=warmup_steps, final_ratio=0.1,
    )["scheduler"]  # fmt: skip
    found = []
    for _ in range(int(min(num_steps, 8))):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return [*found, scheduler.get_last_lr()[0]]


def test_cosine_over_steps():
    found = ratios(20, None)
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert found[3] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 18)))


def test_cosine_over_time():
    found = ratios(math.inf, [0.0, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0])
    assert found[:2] == pytest.approx([1 / 3, 2 / 3])  # the clock is not asked yet
    quarter = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4))
    assert found[2:8] == pytest.approx([1, quarter, 0.55, 0.55, 1.1 - quarter, 0.1])


def test_the_nearer_end_counts():
    assert ratios(20, [0.9] * 7)[2] < 0.15
    assert ratios(20, [0.0] * 7) == ratios(20, None)


def test_some_end_is_needed():
    with pytest.raises(ValueError, match=r"max_steps .*max_time"):
        ratios(math.inf, None)


def test_those_of_pyannote_3():
    """Cosines and triangles between min_lr and the learning rate, by epochs of ten steps."""
    common = {
        "monitor": None, "direction": "min", "num_batches_per_epoch": 10, "num_steps": 100,
        "share_of_time": None, "min_lr": 0.0,
    }  # fmt: skip

    def rates(scheduler, **parameters) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        step = scheduler(optimizer, **common, **parameters)["scheduler"].step
        found = []
        for _ in range(31):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            step()
        return found

    cosines = rates(cosine_annealing_warm_restarts, patience=1)
    assert cosines[0] == cosines[10] == cosines[30] == 1  # one epoch, then two
    assert cosines[5] == cosines[20] == pytest.approx(0.5)
    triangles = rates(cyclic, patience=2, mode="triangular2")
    assert triangles[0] == triangles[20] == 0
    assert triangles[10] == pytest.approx(1) and triangles[30] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="1 epoch or more, got 0"):
        rates(cosine_annealing_warm_restarts, patience=0)
    with pytest.raises(ValueError, match="got 'square'"):
        rates(cyclic, patience=1, mode="square")
