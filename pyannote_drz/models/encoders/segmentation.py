"""PyanNet of segmentation-3.0: who of up to three local speakers is active.

Sources: Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023; Plaquet &
Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023
(arXiv 2310.13025). Weights: pyannote's segmentation-3.0, MIT.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.segmentation import PyanNet
from pyannote.core import Annotation, Segment
from torch import Tensor

NUM_LOCAL = 3  # local speakers
# Powerset classes: nobody, each of the three, each pair.
CLASSES = ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
NUM_CLASSES = len(CLASSES)
FIRST_CENTRE, STEP = 495, 270  # samples; centre of frame f is 495 + 270 f


def segmentation_3() -> PyanNet:
    """pyannote.audio's own class, as segmentation-3.0 configures it; weights are random."""
    model = PyanNet(
        sincnet={"stride": 10},
        lstm={
            "hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True,
            "dropout": 0.0,
        },
        linear={"hidden_size": 128, "num_layers": 2},
    )  # fmt: skip
    model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=[f"speaker#{k + 1}" for k in range(NUM_LOCAL)],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    model.build()
    return model


def log_probabilities_of(model: PyanNet, waveforms: Tensor) -> Tensor:
    """The same as `model(waveforms[:, None])`, (batch, frames, 7), of (batch, samples), but faster.

    A CPU's caches hold one waveform of its SincNet: that hears one at a time (1190 x real time on a
    core, 690 x four at a time), and the LSTM all of them (1030 x four at a time, 650 x one).
    """
    parts = waveforms[:, None].split(1 if waveforms.device.type == "cpu" else len(waveforms))
    frames = torch.cat([model.sincnet(part) for part in parts]).transpose(1, 2)
    hidden, _ = model.lstm(frames)
    for linear in model.linear:
        hidden = F.leaky_relu(linear(hidden))
    return model.activation(model.classifier(hidden))


def at_bins(frames: Tensor, num_bins: int, bin_samples: int) -> Tensor:
    """Frames of PyanNet, (batch, frames, classes), interpolated to the middle of time bins.

    Returns
    -------
    bins : (batch, num_bins, classes) Tensor
    """
    middle = bin_samples * (torch.arange(num_bins, device=frames.device) + 0.5)
    at = ((middle - FIRST_CENTRE) / STEP).clamp(0, frames.shape[1] - 1)
    before = at.floor().long().clamp(max=max(frames.shape[1] - 2, 0))
    after = (before + 1).clamp(max=frames.shape[1] - 1)
    weight = (at - before)[:, None]
    return torch.lerp(frames[:, before], frames[:, after], weight)


def activities(probabilities: Tensor) -> Tensor:
    """Probability that each local speaker is active, (…, 7) -> (…, 3)."""
    member = probabilities.new_tensor(
        [[float(k in speakers) for k in range(NUM_LOCAL)] for speakers in CLASSES]
    )
    return probabilities @ member


def permuted(classes: Tensor, order: tuple[int, ...]) -> Tensor:
    """Powerset classes, (…, 7), after local speaker k has become `order[k]`."""
    renamed = [tuple(sorted(order[k] for k in speakers)) for speakers in CLASSES]
    source = [renamed.index(speakers) for speakers in CLASSES]
    return classes[..., source]


def runs(active: np.ndarray | Tensor, least: int = 1) -> list[tuple[int, int]]:
    """Where (bins,) of bool, on the CPU, are true for at least that long: (first, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active, [0]]).astype(np.int8)))
    return [(first, stop) for first, stop in edges.reshape(-1, 2).tolist() if stop - first >= least]


def local_speakers(probabilities: Tensor, bin_s: float, min_gap_s: float = 0.5) -> Annotation:
    """PyanNet alone: its most probable classes, read as speakers; a baseline.

    Parameters
    ----------
    probabilities : (positions, bins, 7) Tensor
    bin_s : float
        Duration of a bin, in seconds.
    min_gap_s : float, optional
        Shorter gaps of one speaker are closed.
    """
    best = probabilities.float().flatten(0, 1).argmax(-1).cpu().numpy()  # (bins,)
    annotation = Annotation()
    for local in range(NUM_LOCAL):
        active = np.isin(best, [c for c, members in enumerate(CLASSES) if local in members])
        for start, end in runs(active):
            annotation[Segment(start * bin_s, end * bin_s), local] = local
    return annotation.support(min_gap_s)
