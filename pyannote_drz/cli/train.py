"""`pyannote-audio-train`: the training command that pyannote.audio had until version 3.

The configuration says what to build, in `train_config/`; here it is built, and trained.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MethodType

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object, instantiate
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
)
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from omegaconf import DictConfig, OmegaConf
from pyannote.audio import Model
from pyannote.audio.core.task import Task, UnknownSpecificationsError
from torch_audiomentations.utils.config import from_dict

from ..io.audio import Audio
from ..models.pix2seq import Pix2SeqDiarizer
from ..pipelines.packaging import save_pretrained
from ..plugin.telemetry import send_nothing
from ..storage.pickled import load_checkpoint
from .averaging import ExponentialMovingAverage
from .checkpoints import BEST, LAST, DurableCheckpoints, LastCheckpoint, checkpoint_to_resume
from .pretrained import InitialWeights, pretrained
from .processes import allow_unused_weights, refuse_sweep
from .progress import ProgressLines
from .protocols import load_protocol, load_registry
from .settings import check_settings

CONFIG = Path(__file__).resolve().parent / "train_config"

# What Lightning warns of on every run, though it is meant: endless data sets have a length (that of
# an epoch), and a run goes on in its own folder.
MEANT = (
    "Your `IterableDataset` has `__len__` defined",
    "Checkpoint directory .* exists and is not empty",
    "Found keys that are not in the model state dict",  # of the task, which no pipeline has
    "`isinstance.treespec, LeafSpec.` is deprecated",  # Lightning's own
)

TERMINATED = 128 + signal.SIGTERM  # exit code, as shells have it; Lightning says 0

MAX_STEPS = 100_000  # where nothing else ends training
PIPELINE = "pipeline"  # folder of a run
CONTEXT_SHARE = 4 / 30  # of a chunk, heard at its seams: 4 s of 30 (DESIGN.md, section 4: 3 to 5)

# Arguments of tasks that are protocols too, hence told by name.
PROTOCOLS = ("real",)


def make(cfg: DictConfig) -> partial:
    """`_target_` with its arguments, still to be called with what only this program knows."""
    return instantiate(cfg, _partial_=True, _convert_="all")


def make_task(cfg: DictConfig) -> Task:
    """Task of the configuration, on its protocol."""
    preprocessor = None if cfg.preprocessor is None else make(cfg.preprocessor)()
    more = {
        name: load_protocol(cfg.task[name], preprocessor)
        for name in PROTOCOLS
        if cfg.task.get(name)
    }
    if cfg.augmentation is not None:
        more["augmentation"] = make_augmentation(OmegaConf.to_container(cfg.augmentation))
    return make(cfg.task)(load_protocol(cfg.protocol, preprocessor), **more)


def make_augmentation(config: dict) -> torch.nn.Module:
    """Transform of torch-audiomentations, from its own {transform: NAME, params: {…}}.

    Raises
    ------
    ValueError
        There is no such transform, or it has no such parameter.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "`output_type` will default to …": it is set below
            augmentation = from_dict(config)
    except (TypeError, AssertionError) as error:  # AssertionError: a value out of its range
        said = str(error) or f"its params cannot be {config.get('params')}"
        raise ValueError(f"augmentation={config.get('transform')}: {said}") from error
    augmentation.output_type = "dict"  # which tasks read samples and targets from
    return augmentation


def monitored(task: Task) -> tuple[str | None, str]:
    """Validation metric, None where nothing is validated, and whether "min" or "max" is best."""
    if not task.has_validation:
        return None, "min"
    try:
        return task.val_monitor
    except UnknownSpecificationsError:  # its classes are those of the training files
        task.prepare_data()
        task.setup()
        return task.val_monitor


def parameter_groups(model: Model, lr: float, lr_ratios: Mapping[str, float]) -> list[dict]:
    """Named parameters to train: matrices, which decay, and biases and norms, which do not.

    Parameters
    ----------
    model : Model
    lr : float
        Learning rate.
    lr_ratios : mapping
        Learning rate of the parameters whose name begins so ("blocks.0."), as a ratio of `lr`.
        The first that fits counts.

    Raises
    ------
    ValueError
        No parameter's name begins like that, or the ratio is negative.
    """
    for prefix, ratio in lr_ratios.items():
        if ratio < 0:
            raise ValueError(f"lr_ratios: {prefix} must not be negative, got {ratio}.")
        if not any(name.startswith(prefix) for name, _ in model.named_parameters()):
            raise ValueError(f"lr_ratios: no parameter of the model begins with {prefix!r}.")
    groups: dict[tuple[float, bool], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fitting = (ratio for prefix, ratio in lr_ratios.items() if name.startswith(prefix))
            key = (next(fitting, 1.0), parameter.ndim > 1)
            groups.setdefault(key, []).append((name, parameter))
    return [
        {"params": parameters, "lr": ratio * lr, **({} if decays else {"weight_decay": 0.0})}
        for (ratio, decays), parameters in groups.items()
    ]


def clock(trainer: Trainer) -> Callable[[], float] | None:
    """How much of trainer.max_time has passed, 0 to 1, earlier runs included; None: no such limit.

    All processes are told what the first one reads, or else their learning rates would differ.
    """
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    if not timers:
        return None

    def share_of_time() -> float:
        elapsed_s, left_s = timers[0].time_elapsed(), timers[0].time_remaining()
        return trainer.strategy.broadcast(min(1.0, elapsed_s / max(elapsed_s + left_s, 1e-9)))

    return share_of_time


def make_model(cfg: DictConfig, task: Task, monitor: str | None, direction: str) -> Model:
    """Model of the configuration, with its optimizer and scheduler."""

    def configure_optimizers(self: Model) -> dict:
        optimizer = make(cfg.optimizer)(
            parameter_groups(self, cfg.optimizer.lr, cfg.lr_ratios or {})
        )
        scheduler = make(cfg.scheduler)(
            optimizer,
            monitor=monitor,
            direction=direction,
            num_batches_per_epoch=task.train__len__() // task.batch_size,
            num_steps=self.trainer.estimated_stepping_batches,
            share_of_time=clock(self.trainer),
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    model = make(cfg.model)(task=task)
    # Tasks read audio as their model does: all of them without FFmpeg.
    model.audio = Audio(sample_rate=model.hparams.sample_rate, mono="downmix")
    model.configure_optimizers = MethodType(configure_optimizers, model)
    return model


def max_steps(cfg: DictConfig) -> int:
    """Steps after which training ends, -1 where only epochs or time end it.

    It is only set where it must be: where steps end training, Lightning takes a run that goes on at
    the end of an epoch for one that is in the midst of the next, and skips that.
    """
    if cfg.max_steps is not None:
        return cfg.max_steps
    return MAX_STEPS if cfg.max_epochs == -1 and cfg.max_time is None else -1


def make_callbacks(
    cfg: DictConfig, folder: Path, resume: Path | None, monitor: str | None, direction: str
) -> list[Callback]:
    """What happens beside training; last, because of what they keep, the checkpoints."""
    callbacks = []
    if get_object(cfg.model._target_) is pretrained and resume is None:
        callbacks.append(InitialWeights(cfg.model.checkpoint))
    if cfg.ema is not None:
        callbacks.append(ExponentialMovingAverage(cfg.ema))
    if cfg.logger is not None:
        callbacks.append(LearningRateMonitor())
    if monitor is not None:
        if cfg.patience is not None:
            stop = EarlyStopping(
                monitor, mode=direction, patience=cfg.patience, check_on_train_epoch_end=False
            )
            callbacks.append(stop)
        best = ModelCheckpoint(
            folder,
            filename=Path(BEST).stem,
            monitor=monitor,
            mode=direction,
            save_on_train_epoch_end=False,  # but after every validation
            enable_version_counter=False,
        )
        callbacks.append(best)
    callbacks.append(LastCheckpoint(folder, cfg.last_every_minutes))
    return callbacks


def train(cfg: DictConfig, folder: Path, lines: ProgressLines) -> float | None:
    """Build what the configuration names, train, and tell the best.

    Parameters
    ----------
    cfg : DictConfig
    folder : Path
        Run folder.
    lines : ProgressLines
        Will know how far training has come.

    Returns
    -------
    score : float or None
        Best validation metric, negative where more is better; None where nothing is validated.
    """
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{', '.join(missing)} must be given.")
    check_settings(cfg)
    for message in MEANT:
        warnings.filterwarnings("ignore", message)
    seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")  # TensorFloat32, on GPUs that have it
    resume = checkpoint_to_resume(cfg.resume, folder)
    load_registry(cfg.registry)
    allow_unused_weights()
    task = make_task(cfg)
    monitor, direction = monitored(task)
    lines.monitor = monitor
    model = make_model(cfg, task, monitor, direction)
    show_bar = cfg.trainer.enable_progress_bar
    trainer = make(cfg.trainer)(
        callbacks=[lines, *make_callbacks(cfg, folder, resume, monitor, direction)],
        logger=False if cfg.logger is None else make(cfg.logger)(),
        enable_progress_bar=sys.stdout.isatty() if show_bar is None else show_bar,
        max_steps=max_steps(cfg.trainer),
        plugins=DurableCheckpoints(),
    )
    refuse_sweep(trainer)
    if trainer.is_global_zero:
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        if resume is not None:
            print(f"Continuing from {resume}.")
    # Where nothing is validated pyannote.audio has None, which Lightning refuses.
    validation = [] if monitor is None else None  # None: the model's
    # Checkpoints of pyannote.audio hold objects of its own.
    trainer.fit(model, val_dataloaders=validation, ckpt_path=resume, weights_only=False)

    if trainer.fast_dev_run:
        return None
    callback = trainer.checkpoint_callback  # the first: ours, if anything is validated
    best, score = None, None
    if monitor is not None and callback.best_model_path:
        best, score = Path(callback.best_model_path), float(callback.best_model_score)
    if trainer.is_global_zero:
        if best is None:
            print("No best checkpoint was kept: nothing was validated.")
        else:
            print(f"Best checkpoint: {best} ({monitor} {score:.1%})")
        if isinstance(model, Pix2SeqDiarizer):
            print(f"Pipeline: {write_pipeline(best or folder / LAST, folder / PIPELINE)}")
    return score if score is None or direction == "min" else -score


def write_pipeline(checkpoint: Path, folder: Path) -> Path:
    """Make a folder for `Pipeline.from_pretrained` of a checkpoint of ours."""
    # Without the classifier of training voices, which no pipeline needs.
    model = load_checkpoint(checkpoint)
    context_s = CONTEXT_SHARE * model.specifications.duration
    return save_pretrained(model, folder, params={}, context=context_s)


def forget(folder: Path) -> None:
    """Empty a run folder; if it is below where we stand, remove it and empty folders above it."""
    here = Path.cwd()
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    while here in folder.parents and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def one_sentence(error: Exception) -> str:
    """What went wrong, in one line."""
    words = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError, MisconfigurationException)):
        return words
    return f"{type(error).__name__}: {words}"


send_nothing()


@hydra.main(version_base="1.3", config_path=str(CONFIG), config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Train as the command line says; what goes wrong before is told in one sentence."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    is_new = not any(folder.iterdir())
    lines = ProgressLines()
    try:
        return train(cfg, folder, lines)
    except BaseException as error:
        if is_new and not lines.trained and rank_zero_only.rank == 0:
            forget(folder)
        if isinstance(error, SIGTERMException):
            sys.exit(TERMINATED)
        if lines.set_up or not isinstance(error, Exception) or "HYDRA_FULL_ERROR" in os.environ:
            raise
        sys.exit(f"pyannote-audio-train: {one_sentence(error)}")


if __name__ == "__main__":
    main()
