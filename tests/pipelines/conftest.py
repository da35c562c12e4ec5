"""A tiny untrained model, and the pipeline around it: what holds, holds whatever the weights."""

import string

import pytest
import torch
from pyannote.audio import Pipeline
from pyannote.audio.core.task import Problem, Resolution, Specifications

from pyannote_drz.models.encoders import FeatureEncoder, Features
from pyannote_drz.models.encoders.features import POSITION_SAMPLES
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.pipelines.offline import Settings
from pyannote_drz.pipelines.packaging import save_pretrained

SAMPLE_RATE = 16000
PARAMS = {
    "threshold": 0.0,
    "min_duration_off": 0.5,
    "clustering_threshold": 0.4,
    "num_passes": 2,
}


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch):
    """Features that depend on every sample of their position, and cost nothing."""
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(POSITION_SAMPLES, 28 + 192, generator=generator)

    def encode(self, waveforms, skip=0):
        missing = -waveforms.shape[1] % POSITION_SAMPLES
        x = torch.nn.functional.pad(waveforms, (0, missing)).unflatten(1, (-1, POSITION_SAMPLES))
        x = torch.nn.functional.layer_norm(x, x.shape[-1:]) @ projection / 8
        return Features(x[..., :28].unflatten(2, (4, 7)).softmax(-1), x[..., 28:], x[..., 28:])

    monkeypatch.setattr(FeatureEncoder, "_encode", encode)


@pytest.fixture(scope="session")
def model() -> Pix2SeqDiarizer:
    """Windows of 10 s and four local speakers. Large weights make it write more than one."""
    torch.manual_seed(4)
    model = Pix2SeqDiarizer(dim=32, num_layers=2, num_heads=4)
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
    """Windows of 10 s, of which prompts may take 4 s; four local speakers."""
    return Settings(
        duration=10.0, context=1.0, max_local_speakers=4, threshold=0.0, min_duration_off=0.5,
        clustering_threshold=0.5, num_passes=2,
    )  # fmt: skip
