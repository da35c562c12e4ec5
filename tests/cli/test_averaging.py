"""The moving average of weights."""

from types import SimpleNamespace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from pyannote_drz.cli.averaging import ExponentialMovingAverage


def test_average_is_what_is_said():
    average, model = ExponentialMovingAverage(0.5), torch.nn.Linear(1, 1, bias=False)
    model.register_buffer("count", torch.zeros(()))
    average._average_model = AveragedModel(model)
    expected = model.weight.item()
    for step in range(1, 8):
        torch.nn.init.constant_(model.weight, float(step))
        model.count.fill_(step)
        for _ in range(2):  # batches whose gradients are summed: one step of the optimizer
            average.on_train_batch_end(SimpleNamespace(global_step=step), model, None, None, 0)
        survives = min(0.5, step / (9 + step))  # (1 + n) / (10 + n) after n steps
        expected = survives * expected + (1 - survives) * step
        averaged = average._average_model.module
        assert averaged.weight.item() == pytest.approx(expected)
        assert averaged.count == step, "buffers are copied"
        assert average._average_model.n_averaged == step


@pytest.mark.parametrize("decay", [0, 1, 1.5])
def test_decay_is_a_share(decay):
    with pytest.raises(ValueError, match=f"got {decay}"):
        ExponentialMovingAverage(decay)
