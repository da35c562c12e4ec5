"""Recordings of an archive: where they are, and what they are called in its tables.

A folder or bucket is looked through; a table, CSV or Parquet, names paths in a column `path`.
Paths are those of fsspec: /data/a.wav, s3://bucket/a.wav, https://host/a.wav, …; what a place asks
for beyond its address (keys, an endpoint) is told to fsspec by its configuration or environment.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pandas as pd
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pyannote_drz.io.errors import InputError

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
TABLES = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
COLUMN = "path"


def find_recordings(source: str) -> dict[str, str]:
    """Path of each recording by its name, in the order of names.

    Parameters
    ----------
    source : str
        A folder, a bucket, or a table whose relative paths begin where the table is.

    Returns
    -------
    recordings : dict
        Names are paths from the source on; those of a table's recordings elsewhere, whole paths.

    Raises
    ------
    InputError
        There is no such source, it is no table of paths, or it names no recording.
    """
    fs, place = url_to_fs(source)
    suffix = Path(place).suffix.lower()
    if suffix in TABLES and fs.isfile(place):
        top, paths = posixpath.dirname(place), paths_of(source)
        beside = fs.unstrip_protocol(top)
        paths = [path if _is_whole(path) else f"{beside}/{path}" for path in paths]
    elif fs.isdir(place):
        top = place.rstrip("/")
        paths = [fs.unstrip_protocol(path) for path in fs.find(place)]
        paths = [path for path in paths if path.lower().endswith(SOUNDS)]
    else:
        raise InputError(f"'{source}' is neither a folder nor a table (.csv, .parquet).")
    if not paths:
        raise InputError(f"'{source}' has no recording ({', '.join(SOUNDS)}).")
    return dict(sorted((name_in(top, path), path) for path in paths))


def paths_of(table: str) -> list[str]:
    """Column `path` of a table."""
    read = TABLES[Path(table).suffix.lower()]
    try:
        rows = read(table)
    except (ValueError, OSError) as error:  # pyarrow's and pandas' own errors are ValueErrors
        raise InputError(f"'{table}' is no table: {error}") from error
    if COLUMN not in rows:
        raise InputError(f"'{table}' has no column '{COLUMN}', but {', '.join(map(str, rows))}.")
    empty = rows[COLUMN].isna()
    if empty.any():
        raise InputError(f"'{table}' has no {COLUMN} in row {int(empty.argmax()) + 1}.")
    return rows[COLUMN].astype(str).tolist()


def name_in(top: str, path: str) -> str:
    """What a recording is called: its path from `top` on, else all of it, without protocol."""
    place = posixpath.normpath(url_to_fs(path)[1])
    if place.startswith(f"{top}/"):
        return place[len(top) + 1 :]
    return re.sub(r"^\w+:/+", "", place).lstrip("/")


def fetch(path: str, folder: Path) -> Path:
    """A recording as a file of this machine: where it is, or a copy in `folder`."""
    fs, place = url_to_fs(path)
    if isinstance(fs, LocalFileSystem):
        return Path(place)
    folder.mkdir()
    copy = folder / posixpath.basename(place)
    fs.get_file(place, str(copy))
    return copy


def _is_whole(path: str) -> bool:
    return path.startswith("/") or "://" in path
