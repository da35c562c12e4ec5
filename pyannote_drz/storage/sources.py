"""Where a model comes from: a folder of ours, a checkpoint that is named, or huggingface.co."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pyannote.audio import Model
from pyannote.audio.utils.hf_hub import AssetFileName, download_from_hf_hub

from ..io.errors import InputError
from .pickled import load_checkpoint
from .weights import holds_model, load_model

PICKLED = AssetFileName.Model.value  # pytorch_model.bin
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/model

ModelSource = Model | str | Path | Mapping


def model_of(
    source: ModelSource, token: str | bool | None = None, cache_dir: Path | str | None = None
) -> Model:
    """Model, for use, from whatever names it; nothing that a file holds is run.

    Parameters
    ----------
    source : Model, str, Path or mapping
        A model; what `find_model` takes; or, as pyannote.audio's pipelines have it, a mapping of
        that ("checkpoint") and of "subfolder", "revision", "token" and "cache_dir".
    token : str or bool, optional
    cache_dir : Path or str, optional
        Where the model comes from huggingface.co.

    Raises
    ------
    InputError
        There is no such model, or it cannot be loaded.
    """
    if isinstance(source, Model):
        return source.eval()
    hub = {"token": token, "cache_dir": cache_dir}
    if isinstance(source, Mapping):
        asked = dict(source)
        checkpoint = asked.pop("checkpoint", None)
        if checkpoint is None or (unknown := set(asked) - {"subfolder", "revision", *hub}):
            said = "no 'checkpoint'" if checkpoint is None else f"an unknown {sorted(unknown)[0]!r}"
            raise InputError(f"model has {said}, got {sorted(source)}.")
        hub |= {name: value for name, value in asked.items() if value is not None}
    elif isinstance(source, (str, Path)):
        checkpoint = source
    else:
        raise InputError(
            f"model must be a Model, a path, or a mapping, got {type(source).__name__}."
        )
    path = find_model(checkpoint, **hub)
    return load_model(path) if path.is_dir() else load_checkpoint(path)


def find_model(
    checkpoint: str | Path,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: Path | str | None = None,
) -> Path:
    """Folder with weights of ours, or the file of a checkpoint, that `checkpoint` names.

    Parameters
    ----------
    checkpoint : str or Path
        A folder with `model.safetensors`, or with one subfolder that has it, as pipeline folders
        have; a file; or the name of a model on huggingface.co.
    subfolder : str, optional
        Of the folder, or of the model on huggingface.co.
    revision, token, cache_dir : optional
        For huggingface.co.

    Raises
    ------
    InputError
        There is no such file, folder or model; the folder holds several models, or a pickle, which
        must be named itself.
    """
    path = Path(checkpoint).expanduser()
    if path.is_file() and subfolder is None:
        return path
    if path.is_dir():
        folder = path if subfolder is None else path / subfolder
        found = [folder] if holds_model(folder) else sorted(filter(holds_model, folder.glob("*/")))
        if len(found) > 1:
            raise InputError(f"'{folder}' has several models: {', '.join(map(str, found))}.")
        if found:
            return found[0]
        if pickles := sorted(folder.glob(PICKLED)) or sorted(folder.glob(f"*/{PICKLED}")):
            raise InputError(
                f"'{folder}' has no model.safetensors. It has '{pickles[0]}', an older pickle, "
                f"which is only read where it is named itself."
            )
        raise InputError(f"'{folder}' has no model.safetensors.")
    if HUB_NAME.fullmatch(str(checkpoint)) and path.suffix not in (".ckpt", ".bin"):
        asset = AssetFileName.Model
        hub = {"subfolder": subfolder, "revision": revision, "cache_dir": cache_dir}
        try:
            found = download_from_hf_hub(str(checkpoint), asset, token=token, **hub)
        except Exception as error:  # no network, no such model, no permission: many types
            raise InputError(
                f"there is no '{checkpoint}', and huggingface.co gave none "
                f"({type(error).__name__})."
            ) from error
        if found is None:
            raise InputError(f"there is no '{checkpoint}', and huggingface.co gave none.")
        return Path(found)
    raise InputError(f"there is no such checkpoint: '{checkpoint}'.")
