"""Values of a training, each checked by its name before anything is read or built.

What a task, model, optimizer or scheduler of another package has under names of its own is checked
by that package.
"""

from __future__ import annotations

from typing import Annotated

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ..io.checked import Share, checked, number, whole
from ..io.errors import InputError

Rate = number(1e-12, 100)
Decay = number(0, 1 - 1e-9)  # of a moving average, which never forgets at 1
Batches = whole(0) | Share | None  # so many, or a share of them

VALUES = {
    "protocol": str | None,
    "registry": str | list[str] | None,
    "preprocessor.resolution": number(1e-3, 3600),
    "seed": whole(0, 2**32 - 1) | None,
    "ema": Decay | None,
    "patience": whole(1) | None,
    "last_every_minutes": number(1e-3, 1e6) | None,
    "lr_ratios": dict[str, number(0, 1e6)] | None,
    "task.batch_size": whole(1, 2**16),
    "task.num_workers": whole(0, 1024) | None,
    "task.pin_memory": bool,
    "task.duration": number(0.05, 3600),
    "model.num_layers": whole(1, 256),
    "model.num_heads": whole(1, 256),
    "model.dim": whole(2, 2**14),
    "model.dropout": Decay,
    "optimizer.lr": Rate,
    "optimizer.weight_decay": number(0, 100),
    "optimizer.momentum": Decay,
    "optimizer.betas": Annotated[tuple[Decay, Decay], Field(strict=False)],  # lists, too
    "optimizer.eps": number(0, 1),
    "scheduler.warmup_steps": whole(0),
    "scheduler.final_ratio": Share,
    "scheduler.min_lr": number(0, 100),
    "scheduler.factor": number(1e-6, 1 - 1e-6),
    "scheduler.patience": whole(1),
    "trainer.max_steps": whole(-1, 2**62) | None,
    "trainer.max_epochs": whole(-1, 2**62) | None,
    "trainer.min_steps": whole(0, 2**62) | None,
    "trainer.min_epochs": whole(0, 2**62) | None,
    "trainer.num_nodes": whole(1, 2**16),
    "trainer.devices": whole(-1, 2**16) | str | list[whole(0)],
    "trainer.val_check_interval": whole(1) | number(1e-6, 1) | None,
    "trainer.check_val_every_n_epoch": whole(1) | None,
    "trainer.limit_train_batches": Batches,
    "trainer.limit_val_batches": Batches,
    "trainer.overfit_batches": Batches,
    "trainer.num_sanity_val_steps": whole(-1),
    "trainer.log_every_n_steps": whole(0),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.gradient_clip_val": number(0, 1e9) | None,
    "trainer.reload_dataloaders_every_n_epochs": whole(0),
    "trainer.fast_dev_run": bool | whole(0),
    **{
        f"trainer.{name}": bool | None
        for name in ("enable_progress_bar", "enable_model_summary", "detect_anomaly")
    },
}


def check_settings(cfg: DictConfig) -> None:
    """Refuse values that no training can have.

    Raises
    ------
    InputError
        The first of them, by its name.
    """
    settings = OmegaConf.to_container(cfg, resolve=True)
    for name, kind in VALUES.items():
        *sections, last = name.split(".")
        at = settings
        for section in sections:
            at = at.get(section) or {}
            if not isinstance(at, dict):
                raise InputError(f"{section} must be names and their values, got {at!r}.")
        if last in at:
            checked(kind, at[last], name, exact=True)
