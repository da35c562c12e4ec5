"""PyanNet of segmentation-3.0: who of up to three local speakers is active.

Sources: Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023; Plaquet &
Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023
(arXiv 2310.13025). Weights: pyannote's segmentation-3.0, MIT.
"""

from __future__ import annotations

import math
from itertools import permutations

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
# Frames of the windows that its LSTM hears: 10 s, as in its training, a second of them shared by
# neighbours. Wrong number of speakers (0, 1, more) on development files, hearing all of 30 s and
# then so: AMI excerpts 10.6 and 9.3 % of bins, SimDev chunks3 13.3 and 10.5, meetings 10.0 and 7.4;
# windows that share 5 s are no better (recipes/synthetic/RUNS.md).
WINDOW, HOP = round(10.0 * 16000 / STEP), round(9.0 * 16000 / STEP)


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


def hear(model: PyanNet, waveforms: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Probabilities of classes, heard in windows of 10 s and named as by all of the waveform.

    Parameters
    ----------
    model : PyanNet
    waveforms : (batch, samples) Tensor
    precision : torch.dtype, optional
        Of what is heard of the waveform as a whole, where only names are taken from it.

    Returns
    -------
    probabilities : (batch, frames, 7) Tensor
    """
    # One at a time on a CPU, whose caches hold no more: twice as fast as eight.
    parts = waveforms[:, None].split(1 if waveforms.device.type == "cpu" else len(waveforms))
    frames = torch.cat([model.sincnet(part) for part in parts]).transpose(1, 2)
    batch, num_frames, _ = frames.shape
    surplus = num_frames - WINDOW
    if surplus <= 0:
        return _classes(model, frames)
    with torch.autocast(frames.device.type, precision, enabled=precision != torch.float32):
        whole = _classes(model, frames).float()
    number = math.ceil(surplus / HOP)  # of windows after the first
    starts = [round(i * surplus / number) for i in range(number + 1)]
    windows = _classes(model, torch.cat([frames[:, start : start + WINDOW] for start in starts]))
    # A window's edges are where it hears least.
    weight = 1.0 - torch.linspace(-0.95, 0.95, WINDOW, device=frames.device).abs()[:, None]
    total, weights = torch.zeros_like(whole), whole.new_zeros(num_frames, 1)
    for i, start in enumerate(starts):
        inside = slice(start, start + WINDOW)
        weights[inside] += weight
        for row in range(batch):
            window = windows[i * batch + row]
            order = best_order(window, whole[row, inside])
            total[row, inside] += weight * permuted(window, order)
    return total / weights


def _classes(model: PyanNet, frames: Tensor) -> Tensor:
    """What follows PyanNet's SincNet, as in its `forward`: (batch, frames, 60) to (…, 7)."""
    hidden, _ = model.lstm(frames)
    for linear in model.linear:
        hidden = F.leaky_relu(linear(hidden))
    return model.activation(model.classifier(hidden)).exp()


def best_order(classes: Tensor, reference: Tensor) -> tuple[int, ...]:
    """How local speakers of `classes` are called in `reference`, both (frames, 7)."""
    together = (activities(classes).T @ activities(reference)).tolist()  # (3, 3)
    orders = permutations(range(NUM_LOCAL))
    return max(orders, key=lambda order: sum(together[k][to] for k, to in enumerate(order)))


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
