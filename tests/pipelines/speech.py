"""Features of speech that nobody spoke: everybody has an embedding of their own."""

import torch

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.speaker_embeddings import TYPICAL_NORM

DIM = 192


def features_of(speakers: list[tuple[int, ...]]) -> Features:
    """Features of positions, given who speaks in each."""
    probabilities = torch.zeros(len(speakers), 4, 7)
    short = torch.zeros(len(speakers), DIM)
    for position, active in enumerate(speakers):
        # PyanNet's classes: nobody, one of three, two of them.
        probabilities[position, :, min(len(active), 1) + 3 * (len(active) > 1)] = 1.0
        for speaker in active:
            short[position, speaker] = TYPICAL_NORM
    return Features(probabilities, short, short)


def speaker_of(features: Features) -> int | None:
    """Who is heard alone in the middle of some features."""
    middle = features.short[features.num_positions // 2].float()
    return int(middle.argmax()) if middle.max() > 0 else None
