"""Checkpoints of a run: `last.ckpt`, where it can go on."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ..io.atomic import atomic_write

LAST = "last.ckpt"
BEST = "best.ckpt"


def checkpoint_to_resume(resume: str | None, folder: Path) -> Path | None:
    """Checkpoint to continue from.

    Parameters
    ----------
    resume : str or None
        Path, "auto" or nothing.
    folder : Path
        Run folder: "auto" stands for its `last.ckpt`, if there is one.

    Raises
    ------
    FileNotFoundError
        There is no such checkpoint.
    FileExistsError
        The folder holds a training already, and should not be resumed.
    """
    last = folder / LAST
    if resume is None:
        if last.exists() or (folder / BEST).exists():
            raise FileExistsError(
                f"{folder} holds a training already: choose another hydra.run.dir, "
                f"or go on with resume=auto."
            )
        return None
    if str(resume) == "auto":
        return last if last.is_file() else None
    if not Path(resume).is_file():
        raise FileNotFoundError(f"resume={resume}: there is no such checkpoint.")
    return Path(resume)


class DurableCheckpoints(TorchCheckpointIO):
    """Checkpoints that are on the disk, all of them, before they take their place.

    Lightning writes to TMPDIR and moves: where that is another disk, to move is to copy, and who is
    killed then leaves half a checkpoint in the place of the one before.
    """

    def save_checkpoint(self, checkpoint: dict, path: Path | str, storage_options=None) -> None:
        """Write a checkpoint of the trainer."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, durable=True) as part:
            torch.save(checkpoint, part)


class LastCheckpoint(Checkpoint):
    """Write `last.ckpt` after every validation and epoch, every few minutes and when interrupted.

    Parameters
    ----------
    folder : Path
        Run folder.
    minutes : float or None
        Between two of them, at most. None: only after validations and epochs.

    Raises
    ------
    ValueError
        If minutes is not positive.
    """

    def __init__(self, folder: Path, minutes: float | None):
        if minutes is not None and not minutes > 0:
            raise ValueError(f"last_every_minutes must be positive, or null, got {minutes}.")
        self.path = folder / LAST
        self.every_s = float("inf") if minutes is None else 60 * minutes

    def _save(self, trainer: Trainer) -> None:
        if trainer.sanity_checking or trainer.fast_dev_run:
            return
        self.saved_at = time.monotonic()
        trainer.save_checkpoint(self.path, weights_only=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs, batch, batch_idx: int
    ) -> None:
        late = time.monotonic() - self.saved_at >= self.every_s
        if trainer.strategy.broadcast(late):  # all ranks save, or none
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save on Ctrl-C and SIGTERM, in training: in validation, weights are averages."""
        interrupted = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
        if interrupted and trainer.training and trainer.world_size == 1:
            self._save(trainer)
