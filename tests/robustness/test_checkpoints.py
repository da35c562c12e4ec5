"""Checkpoints are whole or the ones before, wherever TMPDIR is, and whenever a run is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from pyannote_drz.cli.checkpoints import DurableCheckpoints
from pyannote_drz.io.atomic import atomic_write


def test_written_beside_its_place(tmp_path, monkeypatch):
    """Nothing goes by TMPDIR, and what was there stays until all of the new one is there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    path = tmp_path / "run" / "last.ckpt"
    DurableCheckpoints().save_checkpoint({"step": 1}, path)

    def torn(content, part):
        part.write_bytes(b"half")
        assert torch.load(path) == {"step": 1} and part.parent == path.parent
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        DurableCheckpoints().save_checkpoint({"step": 2}, path)
    assert torch.load(path) == {"step": 1} and os.listdir(path.parent) == ["last.ckpt"]


def test_killed_while_writing(tmp_path):
    """kill -9 at odd moments: the file is one that was written whole, and parts go away."""
    code = (
        "import sys, torch; from pyannote_drz.cli.checkpoints import DurableCheckpoints\n"
        "for step in range(10**6):\n"
        "    DurableCheckpoints().save_checkpoint({'w': torch.full((300_000,), step)}, sys.argv[1])\n"
        "    print(step, flush=True)\n"
    )
    path = tmp_path / "last.ckpt"
    for wait in (0.01, 0.07, 0.033):
        process = subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        weights = torch.load(path)["w"]
        assert (weights == weights[0]).all()
    DurableCheckpoints().save_checkpoint({"step": 1}, path)
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_full_disk_names_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(OSError, match="disk is full.*last.ckpt"):
        with atomic_write(tmp_path / "last.ckpt"):
            raise RuntimeError("PytorchStreamWriter failed writing file")


@pytest.mark.parametrize("name", [250 * "a" + ".wav", 83 * "王" + ".txt", "a\nb"])
def test_drafts_of_long_names(tmp_path, name):
    path = tmp_path / name
    with atomic_write(path) as part:
        part.write_text("x")
    assert os.listdir(tmp_path) == [name]
