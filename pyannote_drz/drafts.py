"""Drafts: files that appear when they are complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(path: str | Path) -> Iterator[Path]:
    """Where to write what shall become `path`; it does when the block ends, errors leave nothing.

    A rename is atomic only within one disk, so the draft lies beside its destination. Its name
    holds the process: several may write the same file.
    """
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
