"""Weights: a trained model as two files, in which nothing can run.

    FOLDER/model.safetensors   its tensors
    FOLDER/model.json          its class, hyper-parameters and specifications, and the checksum

Nothing here unpickles. Checkpoints of training are pickles, see pickled.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..io.atomic import atomic_write
from ..io.checked import checked
from ..io.errors import InputError, one_line
from .budget import Budget

TENSORS = "model.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1
LONGEST_DESCRIPTION = 2**20  # bytes; ours have about a thousand
VERSIONS = ("pyannote.audio", "torch", "pyannote-drz")
OF_TRAINING = ("loss_func.", "validation_metric.")  # layers that no pipeline needs


class Description(BaseModel):
    """Content of `model.json`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    format: Annotated[int, Field(ge=1)]
    kind: str = Field(alias="class", pattern=r"^\w+(\.\w+)+$")
    hyper_parameters: dict
    specifications: list[dict]
    versions: dict[str, str]
    num_bytes: Annotated[int, Field(ge=1)]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


# ---- writing ------------------------------------------------------------------------------------


def save_model(
    model: Model,
    folder: Path | str,
    dtype: torch.dtype = torch.float32,
    keep: Sequence[str] = (),
) -> Path:
    """Write a model as `model.safetensors` and `model.json`.

    Parameters
    ----------
    model : Model
        Any of pyannote.audio, built, with specifications and hyper-parameters that JSON has.
    folder : Path or str
        Made where missing; a model that is there is replaced.
    dtype : torch.dtype, optional
        In which parameters are stored, those of frozen layers too; `torch.float16` halves the
        file. Buffers (filters, running means) stay as they are, and whatever is stored, the model
        that is loaded computes in the precision it was made with.
    keep : sequence of str, optional
        Parameters whose names begin so stay as they are, too: fixed filters, for example.

    Returns
    -------
    folder : Path

    Raises
    ------
    InputError
        A weight is not finite, or not once it is stored; JSON has no such hyper-parameter; or the
        class could not be found again.
    """
    folder = Path(folder)
    narrowed = {name for name, _ in model.named_parameters() if not name.startswith(tuple(keep))}
    tensors = {}
    for name, value in model.state_dict().items():
        if name.startswith(OF_TRAINING):
            continue
        narrow = name in narrowed and value.is_floating_point()
        # A copy: tensors that share memory are two to safetensors.
        tensors[name] = value.detach().to("cpu", dtype if narrow else value.dtype, copy=True)
        tensors[name] = tensors[name].contiguous()
    check_finite(tensors, "model")
    content = safetensors.torch.save(tensors)
    description = {
        "format": FORMAT,
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "hyper_parameters": dict(model.hparams),
        "specifications": [_described(one) for one in model.specifications],
        "versions": {name: version(name) for name in VERSIONS},
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        text = json.dumps(description, indent=2, allow_nan=False) + "\n"
        find_class(description["class"])
    except (TypeError, ValueError) as error:
        raise InputError(f"the model cannot be described: {one_line(error)}") from error
    folder.mkdir(parents=True, exist_ok=True)
    # The checksum goes last: between the two a reader is told that they do not belong together.
    with (
        atomic_write(folder / TENSORS) as tensors_part,
        atomic_write(folder / DESCRIPTION) as text_part,
    ):
        tensors_part.write_bytes(content)
        text_part.write_text(text, encoding="utf-8")
    return folder


def _described(specifications: Specifications) -> dict:
    """Specifications as JSON has them, enumerations by name."""
    enumerations = {
        "problem": specifications.problem.name,
        "resolution": specifications.resolution.name,
    }
    return asdict(specifications) | enumerations


# ---- reading ------------------------------------------------------------------------------------


def holds_model(folder: Path | str) -> bool:
    """Whether that is a folder of `save_model`."""
    return Path(folder, TENSORS).exists() or Path(folder, DESCRIPTION).exists()


def load_model(folder: Path | str) -> Model:
    """Model of a folder of `save_model`, for use: in evaluation mode, on the CPU.

    Raises
    ------
    InputError
        A file is absent, cut, altered, or not of a model; the weights have another checksum, are
        not finite, or do not fit the model by name or shape.
    """
    description = read_description(folder)
    tensors = read_tensors(folder, description)
    model = build_model(description, Path(folder, DESCRIPTION))
    fit_tensors(model, tensors, Path(folder, TENSORS))
    return model.eval()


def read_description(folder: Path | str) -> Description:
    """Content of `model.json`.

    Raises
    ------
    InputError
        There is none, or it is not what `save_model` writes.
    """
    path = Path(folder, DESCRIPTION)
    if not path.is_file():
        raise InputError(f"'{path}' does not exist, so '{folder}' is no folder of a model.")
    with path.open("rb") as file:
        text = file.read(LONGEST_DESCRIPTION + 1)
    try:
        if len(text) > LONGEST_DESCRIPTION:
            raise ValueError(f"it is longer than {LONGEST_DESCRIPTION} bytes")
        content = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is no description of a model: {one_line(error)}.") from error
    description = checked(Description, content, f"'{path}'")
    if description.format > FORMAT:
        raise InputError(
            f"'{path}' has format {description.format}, and this version reads up to {FORMAT}: "
            f"a newer pyannote_drz wrote it."
        )
    return description


def read_tensors(folder: Path | str, description: Description) -> dict[str, Tensor]:
    """Tensors of `model.safetensors`, the very ones that were described.

    Raises
    ------
    InputError
        There is no such file, it is another than described, or a weight is not finite.
    """
    path = Path(folder, TENSORS)
    if not path.is_file():
        raise InputError(f"'{path}' does not exist, where '{DESCRIPTION}' describes it.")
    if (num_bytes := path.stat().st_size) != description.num_bytes:
        raise InputError(
            f"'{path}' has {num_bytes} bytes instead of {description.num_bytes}: it was cut, or "
            f"is another file."
        )
    content = path.read_bytes()
    if (sha256 := hashlib.sha256(content).hexdigest()) != description.sha256:
        raise InputError(
            f"'{path}' was altered: its SHA-256 is {sha256[:12]}… instead of "
            f"{description.sha256[:12]}…."
        )
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # of the library, which has several kinds
        raise InputError(f"'{path}' holds no tensors: {one_line(error)}.") from error
    check_finite(tensors, f"'{path}'")
    return tensors


def build_model(description: Description, where: Path | str) -> Model:
    """Model as described, with weights at random.

    Raises
    ------
    InputError
        There is no such class, or it cannot be built so.
    """
    specifications = [_specifications(one, where) for one in description.specifications]
    if not specifications:
        raise InputError(f"'{where}': specifications: there are none.")
    several = len(specifications) > 1
    try:
        with Budget(description.num_bytes):
            model = find_class(description.kind)(**description.hyper_parameters)
            model.specifications = tuple(specifications) if several else specifications[0]
            model.setup()  # adds the layers that depend on specifications
            getattr(model, "vocabulary", None)  # ours refuses chunks that it cannot read
    except Exception as error:  # whatever a constructor says of values that it does not know
        raise InputError(
            f"'{where}': no {description.kind} can be built so: {one_line(error)}."
        ) from error
    return model


def _specifications(described: Mapping, where: Path | str) -> Specifications:
    values = dict(described)
    for name, kind in (("problem", Problem), ("resolution", Resolution)):
        if values.get(name) not in kind.__members__:
            known = ", ".join(kind.__members__)
            raise InputError(
                f"'{where}': specifications.{name}: must be one of {known}, "
                f"got {values.get(name)!r}."
            )
        values[name] = kind[values[name]]
    if unknown := sorted(set(values) - set(Specifications.__dataclass_fields__)):
        raise InputError(f"'{where}': specifications.{unknown[0]} is unknown.")
    return checked(Specifications, values, f"'{where}': specifications")


def find_class(name: str) -> type[Model]:
    """Class of a model: one of ours, or one that the program has imported already.

    Other modules are not imported: that would run them.

    Raises
    ------
    InputError
        There is no such class, or it is no model.
    """
    module, _, kind = name.rpartition(".")
    if module.startswith("pyannote_drz.models."):
        try:
            import_module(module)
        except ImportError as error:
            raise InputError(f"there is no class {name!r}.") from error
    elif module not in sys.modules:
        raise InputError(f"class {name!r} is not ours: import {module!r} first, if you trust it.")
    found = getattr(sys.modules[module], kind, None)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise InputError(f"there is no model of class {name!r}.")
    return found


def fit_tensors(model: Model, tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Give a model its weights: all of them, and no others.

    Raises
    ------
    InputError
        A name or a shape differs.
    """
    ours = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith(OF_TRAINING)
    }
    for name in sorted(set(ours) | set(tensors)):
        here = tuple(ours[name].shape) if name in ours else "absent"
        there = tuple(tensors[name].shape) if name in tensors else "absent"
        if here != there:
            raise InputError(
                f"'{where}' does not fit the model: {name} is {there} there and {here} here."
            )
        if ours[name].is_floating_point() != tensors[name].is_floating_point():
            raise InputError(
                f"'{where}' does not fit the model: {name} is {tensors[name].dtype} there and "
                f"{ours[name].dtype} here."
            )
    model.load_state_dict(tensors, strict=False)  # but for what is of training, all is there


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise InputError at the first weight that is NaN or infinite."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"{where}: weights of {name} are not all finite.")


def _no_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")
