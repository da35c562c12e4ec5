"""Packaging: a trained model and its pipeline as one folder.

    FOLDER/config.yaml                  which pipeline, which hyper-parameters
    FOLDER/diarizer/pytorch_model.bin   weights of the model, and all that it takes to build it

`Pipeline.from_pretrained(FOLDER)` loads it, offline.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import lightning
import torch
import yaml
from pyannote.audio import Model, Pipeline

from ..models.pix2seq import Pix2SeqDiarizer
from .pix2seq import DEFAULTS

CONFIG = "config.yaml"
WEIGHTS = "diarizer/pytorch_model.bin"
COUNTS = {name for name, value in DEFAULTS.items() if isinstance(value, int)}


def checkpoint_of(model: Model, dtype: torch.dtype = torch.float32) -> dict:
    """What `Model.from_pretrained` needs, without optimizer, loss and metrics.

    Parameters
    ----------
    model : Model
    dtype : torch.dtype, optional
        In which trained weights are stored. Filters and other constants are left as they are, and
        whatever is stored, the model that is loaded computes in single precision.

    Returns
    -------
    checkpoint : dict
    """
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    state = {
        name: value.detach().cpu().to(dtype if name in trained else value.dtype)
        for name, value in model.state_dict().items()
        if not name.startswith(("loss_func.", "validation_metric."))  # of the training task
    }
    checkpoint = {
        "state_dict": state,
        "pytorch-lightning_version": lightning.__version__,
        "hparams_name": "kwargs",
        "hyper_parameters": dict(model.hparams),
    }
    model.on_save_checkpoint(checkpoint)  # adds pyannote.audio's part
    return checkpoint


def save_pretrained(
    model: Pix2SeqDiarizer,
    folder: Path | str,
    params: dict[str, float],
    context: float = 4.0,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a folder that `Pipeline.from_pretrained` loads.

    It is loaded once before it takes its place, file by file, so that `folder` never holds a part
    of a file, nor anything that does not load.

    Parameters
    ----------
    model : Pix2SeqDiarizer
    folder : Path or str
        Made where missing; a pipeline that is there is replaced.
    params : dict
        Hyper-parameters of `Pix2SeqDiarization`; those that are not given have their defaults,
        which are written too.
    context : float, optional
        In seconds, see `Pix2SeqDiarization`.
    dtype : torch.dtype, optional
        See `checkpoint_of`; `torch.float16` halves the folder.

    Returns
    -------
    folder : Path

    Raises
    ------
    ValueError
        If `params` are not those of the pipeline, or `context` does not fit the model.
    """
    folder = Path(folder)
    params = {**DEFAULTS, **params}
    config = {
        "dependencies": {"pyannote.audio": version("pyannote.audio")},
        "pipeline": {
            "name": "pyannote_drz.pipelines.pix2seq.Pix2SeqDiarization",
            "params": {"model": f"$model/{Path(WEIGHTS).parent}", "context": context},
        },
        # Whole numbers stay whole numbers: passes are counted.
        "params": {name: int(v) if name in COUNTS else float(v) for name, v in params.items()},
    }
    (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    # Beside its destination: a rename is atomic only within one disk.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as draft:
        weights_draft, config_draft = Path(draft, WEIGHTS), Path(draft, CONFIG)
        weights_draft.parent.mkdir()
        torch.save(checkpoint_of(model, dtype), weights_draft)
        config_draft.write_text(yaml.safe_dump(config, sort_keys=False))
        if not Pipeline.from_pretrained(draft).instantiated:
            raise ValueError(f"params do not make a pipeline, got {sorted(params)}.")
        os.replace(weights_draft, folder / WEIGHTS)
        os.replace(config_draft, folder / CONFIG)
    return folder
