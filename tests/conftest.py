"""Shared by all tests: no telemetry, and the paths of data that may be absent."""

import os

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # before pyannote.audio is imported: nothing is sent
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Files of tests that train, diarize whole recordings or start processes: `make check` is without.
SLOW = [
    "cli/test_averaging.py",
    "cli/test_demo.py",
    "cli/test_diarize.py",
    "cli/test_own_data.py",
    "cli/test_report.py",
    "cli/test_simulate.py",
    "cli/test_train.py",
    "cli/test_train_processes.py",
    "cli/test_train_pyannote.py",
    "docs",
    "evaluation",
    "io/test_audio.py",
    "models/encoders",
    "models/test_pix2seq.py",
    "pipelines",
    "plugin",
    "recipes",
    "robustness",
    "simulation/turn_taking/test_fitted.py",
    "tasks",
]


def pytest_collection_modifyitems(items):
    tests = REPOSITORY / "tests"
    slow = {tests / name for name in SLOW}
    for item in items:
        if slow & {item.path, *item.path.parents}:
            item.add_marker("slow")


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


@pytest.fixture(scope="session")
def encoder():
    """Both frozen encoders: built once, as they never change."""
    from pyannote_drz.models.encoders import FeatureEncoder

    return FeatureEncoder()


@pytest.fixture(scope="session")
def sample():
    """pyannote.audio's own recording, 30 s of a telephone call, (samples,) Tensor."""
    import pyannote.audio
    import soundfile
    import torch

    path = Path(pyannote.audio.__file__).parent / "sample" / "sample.wav"
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


@pytest.fixture(scope="session")
def make_features():
    """`make_features(batch, positions, seed)`: as if somebody were heard, without encoders.

    PyanNet's classes change every 0.4 s, and so does the voice.
    """
    import torch
    import torch.nn.functional as F

    from pyannote_drz.models.encoders import Features

    def make(batch: int, positions: int, seed: int = 0) -> Features:
        generator = torch.Generator().manual_seed(seed)
        piece = torch.arange(positions) // 5
        num_pieces = int(piece[-1]) + 1

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(batch, *shape, generator=generator)

        logits = 3 * noise(num_pieces, 7)[:, piece, None] + noise(positions, 4, 7)
        short, long = (
            F.normalize(noise(num_pieces, 192)[:, piece] + 0.5 * noise(positions, 192), dim=-1)
            for _ in range(2)
        )
        return Features(logits.softmax(-1), 14 * short, 14 * long)

    return make


@pytest.fixture(scope="session")
def make_model(encoder):
    """`make_model()`: a small model whose weights are large enough for everything to matter."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    from pyannote_drz.models.pix2seq import Pix2SeqDiarizer

    def make(duration: float = 30.0, num_speakers: int = 8, seed: int = 0, **arguments):
        torch.manual_seed(seed)
        arguments = {"dim": 32, "num_layers": 3, "num_heads": 4, **arguments}
        model = Pix2SeqDiarizer(**arguments)
        model.encoder = encoder
        model.specifications = Specifications(
            problem=Problem.MULTI_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=duration,
            classes=list("ABCDEFGH"[:num_speakers]),
            permutation_invariant=True,
        )
        model.build()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad and parameter.ndim >= 2:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
                elif parameter.requires_grad:
                    parameter += 0.3 * torch.randn(parameter.shape)
        return model.eval()

    return make


@pytest.fixture(autouse=True)
def no_seed_of_others(monkeypatch):
    """Lightning leaves the seed of a run in the environment, where the next test would find it."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
