"""Several processes, one for each GPU: `trainer.devices`, `trainer.num_nodes`."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry


def allow_unused_weights() -> None:
    """Let `strategy=ddp`, and `auto` where it means ddp, bear weights without gradient.

    There are some in every step without prompts; DDP as Lightning registers it ends with an error
    there, and every user would have to know of `ddp_find_unused_parameters_true`.
    """
    StrategyRegistry.register(
        "ddp", DDPStrategy, description="DDP", override=True, find_unused_parameters=True
    )


def refuse_sweep(trainer: Trainer) -> None:
    """Refuse a sweep (`-m`) of runs that start other processes.

    Lightning starts them with the same command line: each would begin the sweep anew.

    Raises
    ------
    ValueError
        It is one.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN and trainer.world_size > 1:
        raise ValueError(
            f"-m trains each run in one process, and trainer.devices={trainer.num_devices}, "
            f"trainer.num_nodes={trainer.num_nodes} want {trainer.world_size}: "
            f"sweep with trainer.devices=1, or run one by one."
        )
