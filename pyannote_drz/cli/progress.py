"""Progress in lines: what a log file keeps, where a progress bar would only flicker."""

from __future__ import annotations

import time

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class ProgressLines(Callback):
    """Print one line after every validation (after every epoch, where nothing is validated).

    Attributes
    ----------
    monitor : str or None
        Metric to show, and its parts (`monitor/…`), in percent.
    set_up : bool
        Whether set-up is over: what goes wrong before is most likely wrong input.
    trained : bool
        Whether a first batch has been learnt from.
    """

    def __init__(self):
        self.monitor: str | None = None
        self.set_up = self.trained = False

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.set_up = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.set_up = True
        self.began = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs, batch, batch_idx: int
    ) -> None:
        self.trained = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._print(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor is None:
            self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        minutes = (time.monotonic() - self.began) / 60
        words = [
            f"step {trainer.global_step}",
            f"epoch {trainer.current_epoch}",
            f"{minutes:.1f} min",
        ]
        for name, value in sorted(trainer.callback_metrics.items()):
            if name in ("loss/train", "loss/val"):
                words.append(f"{name} {value:.3f}")
            elif self.monitor and f"{name}/".startswith(f"{self.monitor}/"):
                words.append(f"{name} {value:.1%}")
        print(" · ".join(words), flush=True)
