"""Shared by all tests: no telemetry, and the paths of data that may be absent."""

import os

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # before pyannote.audio is imported: nothing is sent

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's data folder, beside the repository; the test skips where it is absent."""
    folder = Path(os.environ.get("PYANNOTE_DRZ_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}")
    return folder


@pytest.fixture(autouse=True)
def no_seed_of_others(monkeypatch):
    """Lightning leaves the seed of a run in the environment, where the next test would find it."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
