"""Tensors on the disk are what they were, also after memory was given back."""

import pytest
import torch

from pyannote_drz.io import scratch
from pyannote_drz.io.scratch import EVERY, Scratch


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_is_written_stays(dtype):
    room = Scratch()
    one, other = room.empty(1000, 4, 7, dtype=dtype), room.empty(3, dtype=dtype)
    expected = torch.randn(1000, 4, 7).to(dtype)
    one[:500] = expected[:500]
    room.forget()
    one[500:], other[:] = expected[500:], 2.0
    room.forget()
    del room
    assert torch.equal(one, expected) and other.tolist() == [2.0, 2.0, 2.0]


def test_hooks_are_called_and_memory_is_given_back_now_and_then(monkeypatch):
    room, told, forgotten = Scratch(), [], []
    monkeypatch.setattr(room, "forget", lambda: forgotten.append(len(told)))
    hook = room.after(lambda step, artifact, total, completed: told.append((step, completed)))
    for step in range(EVERY):
        hook("chunks", None, completed=step)
    assert forgotten == []  # nothing is in there
    room.empty(3, dtype=torch.float32)
    for step in range(2 * EVERY):
        hook("chunks", None, completed=step)
    assert forgotten == [2 * EVERY, 3 * EVERY]
    hook("clustering", None)
    assert forgotten[-1] == 3 * EVERY + 1
    assert told[1] == ("chunks", 1)


def test_a_full_disk_is_told(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        Scratch().empty(10, dtype=torch.float32)
