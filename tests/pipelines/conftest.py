"""A tiny untrained model, and the pipeline around it: what holds, holds whatever the weights."""

import string

import pytest
import torch
from pyannote.audio import Pipeline
from pyannote.audio.core.task import Problem, Resolution, Specifications

from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.pipelines.offline import Settings
from pyannote_drz.pipelines.packaging import save_pretrained

SAMPLE_RATE = 16000
PARAMS = {
    "threshold": 0.0,
    "min_duration_off": 0.5,
    "linking_threshold": 0.4,
    "num_passes": 2,
}


@pytest.fixture(scope="session")
def model() -> Pix2SeqDiarizer:
    """Windows of 10 s and four letters. Large weights make it hear more than one voice."""
    torch.manual_seed(4)
    model = Pix2SeqDiarizer(num_mels=20, dim=32, num_layers=2, num_heads=2, voice_dim=16)
    model.specifications = Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=list(string.ascii_uppercase[:4]),
    )
    model.build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.ndim == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
            elif parameter.requires_grad and parameter.ndim < 2:
                parameter += 0.3 * torch.randn(parameter.shape)
    return model.eval()


@pytest.fixture(scope="session")
def folder(model, tmp_path_factory):
    return save_pretrained(model, tmp_path_factory.mktemp("pretrained"), PARAMS, context=2.0)


@pytest.fixture
def pipeline(folder):
    return Pipeline.from_pretrained(folder)


@pytest.fixture(scope="session")
def noise():
    """90 s of noise, as a file."""
    generator = torch.Generator().manual_seed(1)
    waveform = 0.1 * torch.randn(1, 90 * SAMPLE_RATE, generator=generator)
    return {"waveform": waveform, "sample_rate": SAMPLE_RATE, "uri": "noise"}


@pytest.fixture
def settings() -> Settings:
    """Windows of 10 s, of which prompts may take 4 s; four letters."""
    return Settings(
        sample_rate=100, duration=10.0, context=1.0, position_s=0.08, bin_s=0.02, num_letters=4,
        threshold=0.0, activity_threshold=0.0, min_duration_off=0.5, linking_threshold=0.5,
        num_passes=2,
    )  # fmt: skip
