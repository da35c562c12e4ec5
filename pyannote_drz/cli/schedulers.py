"""Schedulers: how the learning rate moves, as Lightning wants it told.

All of them are called alike, `scheduler(optimizer, monitor=…, direction=…,
num_batches_per_epoch=…, num_steps=…, share_of_time=…)`, after their own parameters were set by the
configuration, as in pyannote.audio 3. So another package's scheduler is a function with these
arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LambdaLR,
    ReduceLROnPlateau,
)

MAX_WARMUP_SHARE = 0.1  # of a run: a short one must not end before it is warm


def warmup_cosine(
    optimizer: Optimizer,
    *,
    monitor: str | None,
    direction: str,
    num_batches_per_epoch: int,
    num_steps: float,
    share_of_time: Callable[[], float] | None,
    warmup_steps: int,
    final_ratio: float,
) -> dict:
    """Straight up, then half a cosine down to the end of training, by steps or by the clock.

    Parameters
    ----------
    optimizer : Optimizer
    monitor, direction : str
        Not used.
    num_batches_per_epoch : int
        Not used.
    num_steps : float
        Steps of the whole training, infinite where time ends it.
    share_of_time : callable or None
        Tells how much of the time that training may take has passed, 0 to 1. Where both are
        limited, what is nearer its end counts.
    warmup_steps : int
        At most `MAX_WARMUP_SHARE` of `num_steps`.
    final_ratio : float
        Of the learning rate, at the end.

    Raises
    ------
    ValueError
        If training has no end, or a parameter is out of its range.
    """
    if math.isinf(num_steps) and share_of_time is None:
        raise ValueError(
            "scheduler=WarmupCosine must know when training ends: "
            "set trainer.max_steps or trainer.max_epochs (both are -1), or trainer.max_time."
        )
    if warmup_steps < 0:
        raise ValueError(f"scheduler.warmup_steps must not be negative, got {warmup_steps}.")
    if not 0 <= final_ratio <= 1:
        raise ValueError(f"scheduler.final_ratio must be between 0 and 1, got {final_ratio}.")
    warmup_steps = math.floor(min(warmup_steps, MAX_WARMUP_SHARE * num_steps))

    def ratio(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
        if share_of_time is not None:
            progress = max(progress, share_of_time())
        progress = min(1.0, progress)
        return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

    return {"scheduler": LambdaLR(optimizer, ratio), "interval": "step"}


def constant(
    optimizer: Optimizer,
    *,
    monitor: str | None,
    direction: str,
    num_batches_per_epoch: int,
    num_steps: float,
    share_of_time: Callable[[], float] | None,
    warmup_steps: int,
) -> dict:
    """Straight up, then the same for ever. Arguments as `warmup_cosine`."""
    if warmup_steps < 0:
        raise ValueError(f"scheduler.warmup_steps must not be negative, got {warmup_steps}.")

    def ratio(step: int) -> float:
        return min(1.0, (step + 1) / (warmup_steps + 1))

    return {"scheduler": LambdaLR(optimizer, ratio), "interval": "step"}


def reduce_on_plateau(
    optimizer: Optimizer,
    *,
    monitor: str | None,
    direction: str,
    num_batches_per_epoch: int,
    num_steps: float,
    share_of_time: Callable[[], float] | None,
    factor: float,
    patience: int,
    min_lr: float,
) -> dict:
    """Down by a factor where the monitored metric has stopped to improve.

    Parameters
    ----------
    factor, patience, min_lr
        See `torch.optim.lr_scheduler.ReduceLROnPlateau`; patience counts epochs that validate.
    optimizer, monitor, direction, num_batches_per_epoch, num_steps, share_of_time
        As `warmup_cosine`.

    Raises
    ------
    ValueError
        If nothing is validated.
    """
    if monitor is None:
        raise ValueError(
            "scheduler=ReduceLROnPlateau looks at validation, "
            "but the protocol has no development subset."
        )
    scheduler = ReduceLROnPlateau(
        optimizer, mode=direction, factor=factor, patience=patience, min_lr=min_lr
    )
    return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor, "strict": False}


def cosine_annealing_warm_restarts(
    optimizer: Optimizer,
    *,
    monitor: str | None,
    direction: str,
    num_batches_per_epoch: int,
    num_steps: float,
    share_of_time: Callable[[], float] | None,
    min_lr: float,
    patience: int,
) -> dict:
    """Half cosines down from the learning rate, each twice as long as the one before.

    Parameters
    ----------
    min_lr : float
        Where they end.
    patience : int
        Epochs of the first.
    optimizer, monitor, direction, num_batches_per_epoch, num_steps, share_of_time
        As `warmup_cosine`.

    Raises
    ------
    ValueError
        If patience is not positive.
    """
    scheduler = CosineAnnealingWarmRestarts(
        optimizer, _steps(patience, num_batches_per_epoch), T_mult=2, eta_min=min_lr
    )
    return {"scheduler": scheduler, "interval": "step"}


def cyclic(
    optimizer: Optimizer,
    *,
    monitor: str | None,
    direction: str,
    num_batches_per_epoch: int,
    num_steps: float,
    share_of_time: Callable[[], float] | None,
    min_lr: float,
    patience: int,
    mode: str,
) -> dict:
    """Up to the learning rate and down again, in triangles.

    Parameters
    ----------
    min_lr : float
        Where they begin and end.
    patience : int
        Epochs of one.
    mode : {"triangular", "triangular2"}
        All of the same height, or each half as high as the one before.
    optimizer, monitor, direction, num_batches_per_epoch, num_steps, share_of_time
        As `warmup_cosine`.

    Raises
    ------
    ValueError
        If patience is not positive, or there is no such mode.
    """
    if mode not in ("triangular", "triangular2"):
        raise ValueError(f"scheduler.mode must be triangular or triangular2, got {mode!r}.")
    scheduler = CyclicLR(
        optimizer,
        base_lr=min_lr,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        step_size_up=max(1, _steps(patience, num_batches_per_epoch) // 2),
        mode=mode,
        cycle_momentum=False,
    )
    return {"scheduler": scheduler, "interval": "step"}


def _steps(epochs: int, num_batches_per_epoch: int) -> int:
    if epochs < 1:
        raise ValueError(f"scheduler.patience must be 1 epoch or more, got {epochs}.")
    return max(1, epochs * num_batches_per_epoch)
