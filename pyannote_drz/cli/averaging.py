"""Moving average of weights: smoother than the weights it follows, and usually better."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import STEP_OUTPUT


class ExponentialMovingAverage(WeightAveraging):
    """Average weights, validate with the average, and keep it in checkpoints.

    The `state_dict` of a checkpoint is the average, so that is what `Model.from_pretrained` loads;
    the weights that training goes on with are beside it.

    Parameters
    ----------
    decay : float
        Share of the average that survives a step. It begins lower, (1 + n) / (10 + n) after n
        steps, so that the beginning is soon forgotten (as TensorFlow's ExponentialMovingAverage).

    Raises
    ------
    ValueError
        If decay is not between 0 and 1.
    """

    def __init__(self, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"ema must be between 0 and 1, or null, got {decay}.")

        super().__init__(use_buffers=False)  # buffers are no weights: they are copied
        self.decay = decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the model, once it has all its layers, but without its task and all of its data."""
        if stage != "fit":
            return
        pl_module.setup(stage)  # Lightning sets callbacks up before models, which build layers then
        task, pl_module.task = pl_module.task, None
        super().setup(trainer, pl_module, stage)
        pl_module.task = task

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin from the weights that training begins from, where they are."""
        # Lightning makes the average before the model comes to its device. Its counter stays on
        # the CPU: looking at one on a GPU means waiting for all that the GPU has still to do.
        self._average_model.module.to(pl_module.device)
        if self._latest_update_step == 0:
            self._copy_current_to_average(pl_module)

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Move the average after every step of the optimizer."""
        if trainer.global_step <= self._latest_update_step:
            return
        self._latest_update_step = trainer.global_step
        averages, n = self._average_model.module, int(self._average_model.n_averaged)
        weights = [weight.detach() for weight in pl_module.parameters()]
        ratio = 1 - min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_([weight.detach() for weight in averages.parameters()], weights, ratio)
        for buffer, current in zip(averages.buffers(), pl_module.buffers(), strict=True):
            buffer.copy_(current)
        self._average_model.n_averaged += 1

    def _copy_current_to_average(self, pl_module: LightningModule) -> None:
        self._average_model.module.load_state_dict(pl_module.state_dict())
