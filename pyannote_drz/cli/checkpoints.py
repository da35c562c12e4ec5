"""Checkpoints: weights to begin with, and `last.ckpt`, where a run can go on."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

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


class InitialWeights(Callback):
    """Begin with the weights of a checkpoint.

    Only layers that depend on the task may differ: they begin at random where the checkpoint has
    none of their size.

    Parameters
    ----------
    path : str or Path
        Checkpoint of pyannote.audio: .ckpt, or pytorch_model.bin.

    Raises
    ------
    FileNotFoundError
        There is no such checkpoint.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"init={path}: there is no such checkpoint.")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace weights.

        Raises
        ------
        ValueError
            The file is no checkpoint, or one of another model.
        """
        # Specifications and the like are objects of pyannote.audio: only load what you trust.
        content = torch.load(self.path, map_location="cpu", weights_only=False)
        if not isinstance(content, dict) or "state_dict" not in content:
            raise ValueError(f"init={self.path} is no checkpoint: it has no 'state_dict'.")
        theirs, ours = content["state_dict"], pl_module.state_dict()
        same = {
            name: weights
            for name, weights in theirs.items()
            if name in ours and ours[name].shape == weights.shape
        }
        # What build() and setup_loss_func() make depends on the task.
        depends = tuple(f"{name}." for name in pl_module.task_dependent) + ("loss_func.",)
        different = sorted((set(theirs) | set(ours)) - set(same))
        for name in different:
            if not name.startswith(depends):
                raise ValueError(
                    f"init={self.path} does not fit the model: {name} is "
                    f"{_shape(theirs, name)} there and {_shape(ours, name)} here."
                )
        pl_module.load_state_dict(same, strict=False)
        if trainer.is_global_zero:
            print(f"{len(same)} of {len(ours)} tensors of weights come from {self.path}.")


def _shape(weights: dict, name: str) -> str:
    return str(tuple(weights[name].shape)) if name in weights else "absent"


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
        # Lightning writes to a temporary file and renames it.
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
