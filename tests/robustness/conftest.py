"""What bad input is tried on: a tiny untrained model."""

import string

import pytest
import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications

from pyannote_drz.models.pix2seq import Pix2SeqDiarizer


def make_model() -> Pix2SeqDiarizer:
    """Windows of 10 s and four letters."""
    torch.manual_seed(4)
    model = Pix2SeqDiarizer(dim=32, num_layers=2, num_heads=2)
    model.specifications = Specifications(
        problem=Problem.MULTI_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=list(string.ascii_uppercase[:4]),
    )
    model.build()
    return model.eval()


@pytest.fixture(scope="session")
def model() -> Pix2SeqDiarizer:
    return make_model()
