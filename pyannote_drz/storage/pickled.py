"""Checkpoints of training and models of pyannote.audio, which are pickles: read, not run.

A pickle can run anything when it is loaded. Torch's reader of weights is given pyannote.audio's
specifications to know, and refuses all other objects.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from pyannote.audio import Model
from pyannote.audio.core.model import Introspection
from pyannote.audio.core.task import Problem, Resolution, Specifications
from torch.torch_version import TorchVersion

from ..io.errors import InputError, one_line
from .weights import OF_TRAINING, check_finite, find_class, fit_tensors

KNOWN = [Specifications, Problem, Resolution, Introspection, TorchVersion]


def read_checkpoint(path: Path | str) -> dict:
    """Content of a checkpoint of Lightning, read without running what it may hold.

    Torch's reader of weights is given pyannote.audio's specifications to know, and nothing else.

    Raises
    ------
    InputError
        The file is no checkpoint, or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint '{path}' does not exist.")
    try:
        with torch.serialization.safe_globals(KNOWN):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise InputError(
                f"'{path}' holds objects that are neither weights nor settings, and to load them "
                f"may run anything. If you trust it, `pyannote.audio.Model.from_pretrained` does."
            ) from error
        raise InputError(f"'{path}' is no checkpoint: {_first(error)}") from error
    except Exception as error:  # what torch says of random bytes has many types
        raise InputError(f"'{path}' is no checkpoint: {_first(error)}") from error
    for key in ("state_dict", "pyannote.audio", "hyper_parameters"):
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            raise InputError(f"'{path}' is no checkpoint: it has no {key!r}.")
    return content


def _first(error: Exception) -> str:
    """The first sentence of torch's, which go on with advice to trust the file."""
    return one_line(error).split(". ")[0].rstrip(".") + "."


def class_of(content: Mapping) -> type[Model]:
    """Class of the model of a checkpoint.

    Raises
    ------
    InputError
        See `find_class`.
    """
    try:
        architecture = content["pyannote.audio"]["architecture"]
        module, kind = architecture["module"], architecture["class"]
        if module.startswith("pyannote.audio.models."):
            import_module(module)
        return find_class(f"{module}.{kind}")
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        raise InputError("the checkpoint does not tell the class of its model.") from error


def load_checkpoint(path: Path | str) -> Model:
    """Model of a checkpoint, without what only its training needed; in evaluation mode.

    Raises
    ------
    InputError
        See `read_checkpoint`; or its weights are not finite, or do not fit.
    """
    content = read_checkpoint(path)
    described = content["pyannote.audio"].get("specifications")
    several = isinstance(described, tuple)
    if not all(isinstance(one, Specifications) for one in (described if several else [described])):
        raise InputError(f"'{path}' is no checkpoint: it has no specifications.")
    tensors = {
        name: value
        for name, value in content["state_dict"].items()
        if not name.startswith(OF_TRAINING)
    }
    check_finite(tensors, f"'{path}'")
    try:
        model = class_of(content)(**content["hyper_parameters"])
        model.specifications = described
        model.setup()
    except InputError:
        raise
    except Exception as error:  # whatever a constructor says of values that it does not know
        raise InputError(f"'{path}': no model can be built so: {one_line(error)}.") from error
    fit_tensors(model, tensors, path)
    return model.eval()
