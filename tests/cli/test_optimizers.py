import copy

import pytest
import torch
from torch import nn

from pyannote_drz.cli.optimizers import MuonAdamW


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3))


def groups(model: nn.Module, lr: float = 1e-2) -> list[dict]:
    named = list(model.named_parameters())
    return [
        {"params": [(n, p) for n, p in named if p.ndim > 1], "lr": lr},
        {"params": [(n, p) for n, p in named if p.ndim == 1], "lr": lr, "weight_decay": 0.0},
    ]


def learn(model, optimizer, steps: int, scheduler=None) -> list[float]:
    generator, losses = torch.Generator().manual_seed(1), []
    target = torch.randn(8, 3, generator=generator)
    x = torch.randn(64, 8, generator=generator)
    for _ in range(steps):
        loss = (model(x) - x @ target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses


def test_it_learns_and_only_hidden_matrices_are_muons():
    model = network()
    optimizer = MuonAdamW(groups(model), lr=1e-2, hidden=["0."])
    muon, adam = optimizer.parts
    assert [p is model[0].weight for g in muon.param_groups for p in g["params"]] == [True]
    count = sum(len(g["params"]) for g in adam.param_groups)
    assert count == len(list(model.parameters())) - 1
    losses = learn(model, optimizer, 100)
    assert losses[-1] < 0.2 * losses[0]


def test_decay_and_schedule_reach_both():
    model = network()
    optimizer = MuonAdamW(groups(model), lr=1e-2, hidden=["0."], weight_decay=0.1)
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.1, 0.1]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    learn(model, optimizer, 3, scheduler)
    rates = {group["lr"] for part in optimizer.parts for group in part.param_groups}
    assert rates == {1e-2 / 8}


def test_resumed_training_is_the_same_training():
    whole = network()
    expected = learn(whole, MuonAdamW(groups(whole), lr=1e-2, hidden=["0."]), 10)
    first = network()
    optimizer = MuonAdamW(groups(first), lr=1e-2, hidden=["0."])
    losses = learn(first, optimizer, 5)
    second = network()
    second.load_state_dict(first.state_dict())
    resumed = MuonAdamW(groups(second), lr=1.0, hidden=["0."])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.param_groups[0] is resumed.parts[0].param_groups[0]  # schedulers reach it
    assert losses + learn(second, resumed, 5) == pytest.approx(expected)


def test_says_that_no_matrix_is_hidden():
    with pytest.raises(ValueError, match="begins with .'layers.'"):
        MuonAdamW(groups(network()), lr=1e-2, hidden=["layers."])
