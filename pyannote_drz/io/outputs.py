"""Outputs: no command writes over its inputs, nor, unasked, over what it did not write itself.

What is written is remembered beside the caches, as the checksum of its content: a file that is
there already is replaced where it still is as we left it, or where the user says `--overwrite`.
"""

import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from .atomic import atomic_write
from .errors import InputError

CACHE = Path(os.environ.get("PYANNOTE_DRZ_CACHE", "~/.cache/pyannote_drz")).expanduser()
KEPT = 2  # checksums of a file: that of what is there, and of what takes its place


def check_outputs(
    outputs: Iterable[Path], inputs: Iterable[Path | None], overwrite: bool = False
) -> None:
    """Refuse to write over inputs, and over what somebody else wrote.

    Parameters
    ----------
    outputs : iterable of Path
    inputs : iterable of Path or None
        None stands for an input that is not given.
    overwrite : bool, optional
        Of files that are there already; never of inputs.

    Raises
    ------
    InputError
    """
    inputs = [path for path in inputs if path is not None]
    seen: dict[Path, Path] = {}
    for output in outputs:
        for path in inputs:
            if _same(output, path):
                raise InputError(f"'{output}' is an input, and would be written over.")
        if (place := output.resolve()) in seen:
            raise InputError(f"'{output}' would be written twice.")
        seen[place] = output
        if output.is_dir():
            raise InputError(f"'{output}' is a folder, and a file should be written there.")
        if os.path.lexists(output) and not (overwrite or _ours(output)):
            raise InputError(
                f"'{output}' is there already, and is not what was written there last: remove it, "
                f"or say --overwrite."
            )


def write_output(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing, and remember that it is ours.

    Raises
    ------
    OSError
        It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remember(path, content)
    with atomic_write(path) as part:
        part.write_bytes(content)


def remember(path: Path, content: bytes) -> None:
    """Note that `content` is what we write to `path`; without a cache, warn."""
    note = _note(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        known = note.read_text().split() if note.is_file() else []
        with atomic_write(note) as part:
            part.write_text("\n".join([*known[1 - KEPT :], _checksum(content)]))
    except (OSError, ValueError) as error:
        warnings.warn(
            f"what is written cannot be remembered, so that it is only replaced with "
            f"--overwrite: {error}",
            stacklevel=2,
        )


def _ours(path: Path) -> bool:
    try:
        return path.is_file() and _checksum(path.read_bytes()) in _note(path).read_text().split()
    except (OSError, ValueError):
        return False


def _note(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return CACHE / "written" / name[:32]


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same(one: Path, other: Path) -> bool:
    try:
        if one.exists() and other.exists():
            return one.samefile(other)
        return one.resolve() == other.resolve()
    except OSError:
        return False
