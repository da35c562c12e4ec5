"""Packaging: a trained model and its pipeline as one folder, in which nothing can run.

    FOLDER/config.yaml                  which pipeline, which hyper-parameters
    FOLDER/diarizer/model.safetensors   weights of the model
    FOLDER/diarizer/model.json          all that it takes to build it, see weights.py

`Pipeline.from_pretrained(FOLDER)` loads it, offline; `load_pretrained(FOLDER)` does so too, and
refuses what is not such a folder, whoever made it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ..io.checked import checked
from ..io.errors import InputError, one_line
from ..models.pix2seq import Pix2SeqDiarizer
from ..storage.weights import DESCRIPTION, TENSORS, save_model
from .hyper_parameters import DEFAULTS
from .pix2seq import Pix2SeqDiarization

CONFIG = "config.yaml"
MODEL = "diarizer"  # subfolder
NAME = "pyannote_drz.pipelines.pix2seq.Pix2SeqDiarization"
COUNTS = {name for name, value in DEFAULTS.items() if isinstance(value, int)}
LONGEST_CONFIG = 2**16  # bytes; ours have 300


class PipelineParams(BaseModel):
    """What a pipeline is made with."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(pattern=r"^\$model/\w[\w-]*$")]
    context: Annotated[FiniteFloat, Field(ge=0)] = 4.0  # s
    batch_size: Annotated[int, Field(ge=1)] = 8


class PipelineSection(BaseModel):
    """Which pipeline."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["pyannote_drz.pipelines.pix2seq.Pix2SeqDiarization"]
    params: PipelineParams


class PipelineConfig(BaseModel):
    """Content of `config.yaml`.

    `preprocessors` of pyannote.audio are refused: they are any class of any module. `optimization`
    is what `pyannote-audio optimize` leaves.
    """

    model_config = ConfigDict(extra="forbid")

    dependencies: dict[str, str | int | float] = {}
    pipeline: PipelineSection
    params: dict[str, object] = {}
    freeze: dict[str, object] = {}
    optimization: dict = {}


def save_pretrained(
    model: Pix2SeqDiarizer,
    folder: Path | str,
    params: Mapping[str, float],
    context: float = 4.0,
    dtype: torch.dtype = torch.float32,
    keep: Sequence[str] = (),
) -> Path:
    """Write a folder that `Pipeline.from_pretrained` loads.

    It is loaded once before it takes its place, file by file, so that `folder` never holds a part
    of a file, nor anything that does not load.

    Parameters
    ----------
    model : Pix2SeqDiarizer
    folder : Path or str
        Made where missing; a pipeline that is there is replaced.
    params : mapping
        Hyper-parameters of `Pix2SeqDiarization`; those that are not given have their defaults,
        which are written too.
    context : float, optional
        In seconds, see `Pix2SeqDiarization`.
    dtype : torch.dtype, optional
        Of parameters as they are stored: `torch.float16` halves the folder.
    keep : sequence of str, optional
        Parameters whose names begin so stay as they are. Defaults to the filters of the spectrum.

    Returns
    -------
    folder : Path

    Raises
    ------
    ValueError
        If `params` are not those of the pipeline, or `context` does not fit the model; see also
        `save_model`.
    """
    folder = Path(folder)
    params = {**DEFAULTS, **params}
    config = {
        "dependencies": {"pyannote.audio": version("pyannote.audio")},
        "pipeline": {"name": NAME, "params": {"model": f"$model/{MODEL}", "context": context}},
        "params": {name: v if name in COUNTS else float(v) for name, v in params.items()},
    }
    (folder / MODEL).mkdir(parents=True, exist_ok=True)
    # Beside its destination: a rename is atomic only within one disk.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as draft:
        save_model(model, Path(draft, MODEL), dtype, keep)
        Path(draft, CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
        load_pretrained(draft)
        for name in (f"{MODEL}/{TENSORS}", f"{MODEL}/{DESCRIPTION}", CONFIG):
            os.replace(Path(draft, name), folder / name)
    return folder


def read_config(path: Path | str) -> PipelineConfig:
    """Content of `config.yaml`.

    Raises
    ------
    InputError
        There is none, it is no YAML, or not that of such a folder.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"'{path.parent}' is no folder of a pipeline: it has no {path.name}.")
    with path.open("rb") as file:
        text = file.read(LONGEST_CONFIG + 1)
    if len(text) > LONGEST_CONFIG:
        raise InputError(f"'{path}' is longer than {LONGEST_CONFIG} bytes.")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is no YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' must hold names and values, got {type(content).__name__}.")
    return checked(PipelineConfig, content, f"'{path}'")


def load_pretrained(path: Path | str) -> Pix2SeqDiarization:
    """Pipeline of a folder, or of another configuration in it; nothing that it holds is run.

    Parameters
    ----------
    path : Path or str
        A folder with `config.yaml`, or a file such as `FOLDER/config.tuned.yaml`.

    Raises
    ------
    InputError
        It is no such folder, or something in it is not as it should be: the file is named, and the
        value.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"'{path}' is no folder of a pipeline: it does not exist.")
    path = path if path.is_file() else path / CONFIG
    config = read_config(path)
    made_with = config.pipeline.params
    subfolder = made_with.model.removeprefix("$model/")
    try:
        pipeline = Pix2SeqDiarization(
            {"checkpoint": str(path.parent), "subfolder": subfolder},
            context=made_with.context,
            batch_size=made_with.batch_size,
        )
        if config.freeze:
            pipeline.freeze(config.freeze)
        return pipeline.instantiate(config.params)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"'{path}': {one_line(error)}") from error
