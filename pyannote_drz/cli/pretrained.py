"""`model=Pretrained`: begin with a model that has been trained, as pyannote.audio 3 did.

model=Pretrained model.checkpoint=runs/mine/best.ckpt      a checkpoint
model=Pretrained model.checkpoint=runs/mine/pipeline       the model of a pipeline folder
model=Pretrained model.checkpoint=pyannote/segmentation-3.0   from huggingface.co
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from pyannote.audio import Model
from pyannote.audio.core.task import Task
from pyannote.audio.utils.hf_hub import AssetFileName, download_from_hf_hub

WEIGHTS = AssetFileName.Model.value  # pytorch_model.bin
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/model


def find_weights(checkpoint: str | Path) -> Path:
    """File with the weights that `checkpoint` names.

    Parameters
    ----------
    checkpoint : str or Path
        A file; a folder with `pytorch_model.bin`, or with one subfolder that has it, as pipeline
        folders have; or the name of a model on huggingface.co.

    Raises
    ------
    FileNotFoundError
        There is no such file, folder or model.
    ValueError
        The folder holds several models.
    """
    path = Path(checkpoint).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = sorted(path.glob(WEIGHTS)) or sorted(path.glob(f"*/{WEIGHTS}"))
        if not found:
            raise FileNotFoundError(f"model.checkpoint={checkpoint}: the folder has no {WEIGHTS}.")
        if len(found) > 1:
            folders = ", ".join(str(file.parent) for file in found)
            raise ValueError(f"model.checkpoint={checkpoint} has several models: {folders}.")
        return found[0]
    if HUB_NAME.fullmatch(str(checkpoint)) and path.suffix not in (".ckpt", ".bin"):
        try:
            return Path(download_from_hf_hub(str(checkpoint), AssetFileName.Model))
        except Exception as error:  # no network, no such model, no permission: many types
            raise FileNotFoundError(
                f"model.checkpoint={checkpoint}: there is no such file, and huggingface.co gave "
                f"none ({type(error).__name__})."
            ) from error
    raise FileNotFoundError(f"model.checkpoint={checkpoint}: there is no such checkpoint.")


def load(path: Path) -> dict:
    """Content of a checkpoint. It holds objects of pyannote.audio: only load what you trust.

    Raises
    ------
    ValueError
        The file is no checkpoint of pyannote.audio.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f"model.checkpoint={path} is no checkpoint: {error}") from error
    for key in ("state_dict", "pyannote.audio", "hyper_parameters"):
        if not isinstance(content, dict) or key not in content:
            raise ValueError(f"model.checkpoint={path} is no checkpoint: it has no {key!r}.")
    return content


def pretrained(
    checkpoint: str | Path, hyper_parameters: Mapping | None = None, task: Task | None = None
) -> Model:
    """Model of a checkpoint, still without its weights: `InitialWeights` brings them.

    Weights come that late because some of them (the classifier of training voices, say) belong to
    layers that the task adds when training begins.

    Parameters
    ----------
    checkpoint : str or Path
        See `find_weights`.
    hyper_parameters : mapping, optional
        Those of the model to change: dropout, for example.
    task : Task, optional

    Returns
    -------
    model : Model

    Raises
    ------
    FileNotFoundError
        There is no such checkpoint.
    ValueError
        It is no checkpoint of pyannote.audio, or its model has no such hyper-parameters.
    """
    content = load(find_weights(checkpoint))
    architecture = content["pyannote.audio"]["architecture"]
    kind = getattr(import_module(architecture["module"]), architecture["class"])
    known, changes = dict(content["hyper_parameters"]), dict(hyper_parameters or {})
    if unknown := sorted(set(changes) - set(known)):
        raise ValueError(
            f"model.hyper_parameters: {kind.__name__} has no {', '.join(unknown)}, "
            f"but {', '.join(sorted(known))}."
        )
    try:
        return kind(**{**known, **changes}, task=task)
    except TypeError as error:  # learnt by an earlier version of that class
        raise ValueError(
            f"model.checkpoint={checkpoint} is of another {kind.__name__}: {error}."
        ) from None


class InitialWeights(Callback):
    """Begin with the weights of a checkpoint.

    Only layers that depend on the task may differ: they begin at random where the checkpoint has
    none of their size.

    Parameters
    ----------
    checkpoint : str or Path
        See `find_weights`.
    """

    def __init__(self, checkpoint: str | Path):
        self.path = find_weights(checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace weights.

        Raises
        ------
        ValueError
            They do not fit: a hyper-parameter has changed that layers depend on.
        """
        theirs, ours = load(self.path)["state_dict"], pl_module.state_dict()
        same = {
            name: weights
            for name, weights in theirs.items()
            if name in ours and ours[name].shape == weights.shape
        }
        # What build() and setup_loss_func() make depends on the task.
        depends = tuple(f"{name}." for name in pl_module.task_dependent) + ("loss_func.",)
        for name in sorted((set(theirs) | set(ours)) - set(same)):
            if not name.startswith(depends):
                raise ValueError(
                    f"model.checkpoint={self.path} does not fit the model: {name} is "
                    f"{_shape(theirs, name)} there and {_shape(ours, name)} here."
                )
        pl_module.load_state_dict(same, strict=False)
        if trainer.is_global_zero:
            print(f"{len(same)} of {len(ours)} tensors of weights come from {self.path}.")


def _shape(weights: dict, name: str) -> str:
    return str(tuple(weights[name].shape)) if name in weights else "absent"
