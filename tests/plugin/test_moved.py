"""Modules are still found by the names they had before."""

import pickle
import subprocess
import sys
from importlib import import_module

import pytest

from pyannote_drz.plugin.moved import MOVED
from pyannote_drz.simulation.turn_taking.turns import Turn


@pytest.mark.parametrize("before", sorted(MOVED))
def test_is_the_same_module(before):
    module = import_module(before)
    assert module is import_module(MOVED[before])
    assert module.__name__ == module.__spec__.name == MOVED[before]


def test_unpickles_by_the_old_name():
    turn = Turn(0.0, 1.0, 0)
    stored = pickle.dumps(turn, protocol=0).replace(b"simulation.turn_taking.", b"simulation.")
    assert b"pyannote_drz.simulation.turns" in stored
    assert type(pickle.loads(stored)) is Turn


def test_what_was_never_there_is_missing():
    with pytest.raises(ModuleNotFoundError):
        import_module("pyannote_drz.never")


def test_runs_by_the_documented_name(repository):
    done = subprocess.run(
        [sys.executable, "-m", "pyannote_drz.evaluate", "--help"],
        cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--registry" in done.stdout
