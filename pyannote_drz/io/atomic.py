"""Atomic writes: files and folders that appear when they are complete, or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL = 2**16  # bytes; a disk with less is full


@contextmanager
def atomic_write(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Where to write what shall become `path`; it does when the block ends, errors leave nothing.

    A rename is atomic only within one disk, so the draft lies beside its destination. Its name
    holds the process, as several may write the same file, and is short whatever the name of the
    destination; drafts that killed processes left are removed.

    Parameters
    ----------
    path : str or Path
    durable : bool, optional
        Be on the disk before the rename: what was there is lost to no power cut. Takes
        milliseconds, so that it is for what took hours.

    Yields
    ------
    part : Path
        Where a file is written, or a folder made.

    Raises
    ------
    OSError
        It cannot be written; names `path`, also where the disk is full.
    """
    path = Path(path)
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    for left in path.parent.glob(f".{name}.*.part"):
        if not _lives(left.suffixes[-2][1:]):
            _remove(left)
    part = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            _to_disk(part)
        part.replace(path)
        if durable and os.name == "posix":
            _to_disk(path.parent)
    except Exception as error:
        if _is_full(path.parent) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            raise OSError(errno.ENOSPC, "the disk is full, and was asked for", str(path)) from error
        if isinstance(error, OSError) and (error.filename or part) in (part, str(part)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def _lives(process: str) -> bool:
    if not process.isdigit():
        return True  # not ours to judge
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < SMALL
    except OSError:
        return False
