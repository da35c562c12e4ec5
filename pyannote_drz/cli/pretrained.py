"""`model=Pretrained`: begin with a model that has been trained, as pyannote.audio 3 did.

model=Pretrained model.checkpoint=runs/mine/best.ckpt      a checkpoint
model=Pretrained model.checkpoint=runs/mine/pipeline       the model of a pipeline folder
model=Pretrained model.checkpoint=pyannote/segmentation-3.0   from huggingface.co
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from pyannote.audio import Model
from pyannote.audio.core.task import Task
from torch import Tensor

from ..io.errors import InputError
from ..storage.pickled import class_of, read_checkpoint
from ..storage.sources import find_model
from ..storage.weights import check_finite, find_class, read_description, read_tensors


class Trained(NamedTuple):
    """What a trained model is made of.

    kind : type of Model
    hyper_parameters : dict
    tensors : dict of str to Tensor; of a checkpoint, with those of its loss
    """

    kind: type[Model]
    hyper_parameters: dict
    tensors: dict[str, Tensor]


def load(path: Path) -> Trained:
    """Read what `find_model` found; nothing that it holds is run.

    Raises
    ------
    InputError
        It is no model, it was altered, or its weights are not finite.
    """
    if path.is_dir():
        description = read_description(path)
        tensors = read_tensors(path, description)
        return Trained(find_class(description.kind), description.hyper_parameters, tensors)
    content = read_checkpoint(path)
    check_finite(content["state_dict"], f"'{path}'")
    return Trained(class_of(content), content["hyper_parameters"], content["state_dict"])


def pretrained(
    checkpoint: str | Path, hyper_parameters: Mapping | None = None, task: Task | None = None
) -> Model:
    """Model of a checkpoint, still without its weights: `InitialWeights` brings them.

    Weights come that late because some of them (the classifier of training voices, say) belong to
    layers that the task adds when training begins.

    Parameters
    ----------
    checkpoint : str or Path
        See `sources.find_model`.
    hyper_parameters : mapping, optional
        Those of the model to change: dropout, for example.
    task : Task, optional

    Returns
    -------
    model : Model

    Raises
    ------
    InputError
        There is no such checkpoint, it is none, or its model has no such hyper-parameters.
    """
    trained = load(find_model(checkpoint))
    known, changes = trained.hyper_parameters, dict(hyper_parameters or {})
    if unknown := sorted(set(changes) - set(known)):
        raise InputError(
            f"model.hyper_parameters: {trained.kind.__name__} has no {', '.join(unknown)}, "
            f"but {', '.join(sorted(known))}."
        )
    try:
        return trained.kind(**{**known, **changes}, task=task)
    except TypeError as error:  # learnt by an earlier version of that class
        raise InputError(
            f"model.checkpoint={checkpoint} is of another {trained.kind.__name__}: {error}."
        ) from None


class InitialWeights(Callback):
    """Begin with the weights of a checkpoint.

    Only layers that depend on the task may differ: they begin at random where the checkpoint has
    none of their size.

    Parameters
    ----------
    checkpoint : str or Path
        See `sources.find_model`.
    """

    def __init__(self, checkpoint: str | Path):
        self.path = find_model(checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace weights.

        Raises
        ------
        InputError
            They do not fit: a hyper-parameter has changed that layers depend on.
        """
        theirs, ours = load(self.path).tensors, pl_module.state_dict()
        same = {
            name: weights
            for name, weights in theirs.items()
            if name in ours and ours[name].shape == weights.shape
        }
        # What build() and setup_loss_func() make depends on the task.
        depends = tuple(f"{name}." for name in pl_module.task_dependent) + ("loss_func.",)
        for name in sorted((set(theirs) | set(ours)) - set(same)):
            if not name.startswith(depends):
                raise InputError(
                    f"model.checkpoint={self.path} does not fit the model: {name} is "
                    f"{_shape(theirs, name)} there and {_shape(ours, name)} here."
                )
        pl_module.load_state_dict(same, strict=False)
        if trainer.is_global_zero:
            print(f"{len(same)} of {len(ours)} tensors of weights come from {self.path}.")


def _shape(weights: dict, name: str) -> str:
    return str(tuple(weights[name].shape)) if name in weights else "absent"
