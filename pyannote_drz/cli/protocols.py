"""What `registry=`, `protocol=` and `preprocessor=` name, and what files of protocols may lack."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from omegaconf import ListConfig
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import FileFinder, Protocol, registry
from pydantic import BaseModel, ConfigDict, Field

from ..io.audio import Audio
from ..io.checked import checked
from ..io.errors import InputError, one_line

LONGEST_DATABASE = 2**22  # bytes; the longest that pyannote.database is used with has a few kB

# ---- database.yml -------------------------------------------------------------------------------

Values = dict[str, str | int | float | bool | None]


class OwnProtocol(BaseModel):
    """A protocol: lists of recordings, and where what is known of them is."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["file", "database", "global"] | None = None
    classes: list[str] | None = None
    train: Values | None = None
    development: Values | None = None
    test: Values | None = None
    train_trial: Values | None = None
    development_trial: Values | None = None
    test_trial: Values | None = None


Name = Annotated[str, Field(min_length=1)]
Tasks = dict[Name, dict[Name, object]]


class Database(BaseModel):
    """Content of database.yml."""

    model_config = ConfigDict(extra="forbid")

    Databases: dict[Name, str | list[str]] = {}
    Protocols: dict[Name, Tasks | None] = {}
    Requirements: object = None


def load_database(path: Path) -> None:
    """Let pyannote.database know of a database.yml; it loads ./database.yml by itself.

    Raises
    ------
    InputError
        The file is none.
    """
    check_database(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Replacing existing .* protocol")
        try:
            registry.load_database(path)
        except Exception as error:  # whatever it says of values that it does not know
            raise InputError(f"'{path}' is no database.yml: {one_line(error)}") from error


def check_database(path: Path) -> None:
    """Raise InputError if that is no database.yml."""
    if not Path(path).is_file():
        raise InputError(f"'{path}' is no file, so no database.yml.")
    with Path(path).open("rb") as file:
        text = file.read(LONGEST_DATABASE + 1)
    if len(text) > LONGEST_DATABASE:
        raise InputError(f"'{path}' is longer than {LONGEST_DATABASE} bytes.")
    try:
        content = yaml.safe_load(text)
        if not isinstance(content, dict):
            kind = "nothing" if content is None else f"a {type(content).__name__}"
            raise ValueError(f"it holds {kind}, not Databases and Protocols")
        database = checked(Database, content, f"'{path}'")
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is no database.yml: {one_line(error)}.") from error
    for name, tasks in database.Protocols.items():
        for task, protocols in (tasks or {}).items():
            if name == "X" or task == "Collection":  # made of others, or of files alone
                continue
            for protocol, own in protocols.items():
                checked(OwnProtocol, own, f"'{path}': {name}.{task}.{protocol}")


def load_registry(paths: str | ListConfig | None) -> None:
    """Let pyannote.database know of one or several database.yml.

    Raises
    ------
    FileNotFoundError
        One of them does not exist.
    InputError
        One of them is none.
    """
    if paths is None:
        return
    for path in paths.split(",") if isinstance(paths, str) else paths:
        path = Path(path).expanduser().resolve()
        if not path.is_file():
            raise FileNotFoundError(f"registry={path}: there is no such file.")
        if path not in registry.configs:
            load_database(path)


# ---- files of protocols -------------------------------------------------------------------------


def annotated_of(file: Mapping) -> Timeline:
    """What of a file is annotated: all of it, where the protocol has no UEM."""
    annotated = file.get("annotated")
    if annotated is None:
        return Timeline([Segment(0, Audio().get_duration(file["audio"]))], uri=file["uri"])
    return annotated


def annotation_of(file: Mapping) -> Annotation:
    """Who speaks when in a file.

    Raises
    ------
    InputError
        The protocol does not tell.
    """
    annotation = file.get("annotation")
    if annotation is None:
        raise InputError(
            f"nothing tells who speaks in '{file['uri']}': its protocol has no annotation."
        )
    return annotation


def scope_of(file: Mapping) -> str:
    """Where a label is one person: in the file alone, if the protocol does not tell."""
    return file.get("scope") or "file"


# What files of protocols may lack is filled in, or refused, when it is asked for.
COMPLETING = {"annotated": annotated_of, "annotation": annotation_of, "scope": scope_of}


def get_protocol(name: str, preprocessors: Mapping[str, Callable] | None = None) -> Protocol:
    """A registered protocol, its audio found, its files completed."""
    found = {"audio": FileFinder(), **COMPLETING, **(preprocessors or {})}
    return registry.get_protocol(name, preprocessors=found)


def load_protocol(name: str | None, preprocessor: Callable | None = None) -> Protocol:
    """Protocol of a registered database, see `get_protocol`.

    Parameters
    ----------
    name : str or None
    preprocessor : callable, optional
        Called with each file, returns what the file shall have under `preprocessed_key`, an
        attribute of the preprocessor.

    Raises
    ------
    InputError
        The protocol has not been registered, or the preprocessor has no `preprocessed_key`.
    """
    known = sorted(registry)
    if name not in known:
        said = "protocol= is missing" if name is None else f"protocol {name} is unknown"
        among = f"choose one of {', '.join(known)}" if known else "registry= names none"
        raise InputError(f"{said}: {among}.")
    own = {}
    if preprocessor is not None:
        if not hasattr(preprocessor, "preprocessed_key"):
            kind = type(preprocessor).__name__
            raise InputError(f"preprocessor={kind} does not tell its `preprocessed_key`.")
        own[preprocessor.preprocessed_key] = preprocessor
    return get_protocol(name, own)
