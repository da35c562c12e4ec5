"""Scratch: tensors of a long recording lie in temporary files, and memory holds what is in use."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import tempfile
from collections.abc import Callable

import torch
from torch import Tensor

EVERY = 16  # steps of progress: each leaves some hundred kB to 2 MB behind


class Scratch:
    """Room for tensors, which ends with the last of them.

    A day's features are 0.9 GB, and read from their beginning to their end.
    """

    def __init__(self):
        self.maps: list[mmap.mmap] = []
        self.num_steps = 0

    def empty(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor, as of `torch.empty`, but on the disk.

        Raises
        ------
        OSError
            The disk of temporary files is full.
        """
        num_bytes = math.prod(shape) * dtype.itemsize
        with tempfile.TemporaryFile(prefix="pyannote_drz.") as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk ends the process later
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            else:
                file.truncate(num_bytes)
            self.maps.append(mmap.mmap(file.fileno(), num_bytes))
        return torch.frombuffer(self.maps[-1], dtype=dtype).view(shape)

    def forget(self) -> None:
        """Give memory back; what was written is read from the disk again."""
        for one in self.maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                one.madvise(mmap.MADV_DONTNEED)
        libc = ctypes.CDLL(None) if os.name == "posix" else None
        if hasattr(libc, "malloc_trim"):  # glibc keeps holes
            libc.malloc_trim(0)

    def after(self, hook: Callable) -> Callable:
        """The same hook, after which memory is given back if anything is in here.

        Of steps that tell how far they are, now and then.
        """

        def hook_and_forget(step, artifact, total=None, completed=None) -> None:
            hook(step, artifact, total=total, completed=completed)
            self.num_steps += 1
            if self.maps and (completed is None or self.num_steps % EVERY == 0):
                self.forget()

        return hook_and_forget
