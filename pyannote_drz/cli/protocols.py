"""What `registry=`, `protocol=` and `preprocessor=` name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from omegaconf import ListConfig
from pyannote.database import FileFinder, Protocol, registry


def load_database(path: Path) -> None:
    """Let pyannote.database know of a database.yml; it loads ./database.yml by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Replacing existing .* protocol")
        registry.load_database(path)


def load_registry(paths: str | ListConfig | None) -> None:
    """Let pyannote.database know of one or several database.yml.

    Raises
    ------
    FileNotFoundError
        One of them does not exist.
    """
    if paths is None:
        return
    for path in paths.split(",") if isinstance(paths, str) else paths:
        path = Path(path).expanduser().resolve()
        if not path.is_file():
            raise FileNotFoundError(f"registry={path}: there is no such file.")
        if path not in registry.configs:
            registry.load_database(path)


def load_protocol(name: str | None, preprocessor: Callable | None = None) -> Protocol:
    """Protocol of a registered database, its audio found.

    Parameters
    ----------
    name : str or None
    preprocessor : callable, optional
        Called with each file, returns what the file shall have under `preprocessed_key`, an
        attribute of the preprocessor.

    Raises
    ------
    ValueError
        The protocol has not been registered, or the preprocessor has no `preprocessed_key`.
    """
    known = sorted(registry)
    if name not in known:
        said = "protocol= is missing" if name is None else f"protocol {name} is unknown"
        among = f"choose one of {', '.join(known)}" if known else "registry= names none"
        raise ValueError(f"{said}: {among}.")
    preprocessors = {"audio": FileFinder()}
    if preprocessor is not None:
        if not hasattr(preprocessor, "preprocessed_key"):
            kind = type(preprocessor).__name__
            raise ValueError(f"preprocessor={kind} does not tell its `preprocessed_key`.")
        preprocessors[preprocessor.preprocessed_key] = preprocessor
    return registry.get_protocol(name, preprocessors=preprocessors)
