"""PyanNet as a witness: what it is sure of, the model may not overlook.

Half a second in which it is sure that nobody speaks ends every turn, two turns are one too many
where it is sure that one person speaks, and speech of which it is sure has to be somebody's. In
between, the model decides.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..models.encoders import Features
from ..models.encoders.segmentation import NUM_LOCAL, activities, runs
from ..prompting import POSITION_S
from .stitching import Turn

# A turn holds no pause of half a second (DESIGN.md, section 2). RealDev 17.2 to 16.6 % DER, AMI
# excerpts the same, SimDev meetings 12.8 to 13.0, whose references count pauses of read speech.
PAUSE_S, PAUSE_PROBABILITY = 0.5, 0.9
# Where one person speaks for that long, there is no overlap. RealDev 16.0 to 15.8, AMI excerpts
# 15.4 to 14.9, SimDev meetings 11.9 to 11.8 % DER; 0.2 and 0.5 s, 0.8 and 0.95 are within 0.1.
ONE_S, ONE_PROBABILITY = 0.3, 0.9
# Speech of 1.5 s that is somebody's at 0.9, and that a turn begins in by then. Simulated
# conversations of nobody, with crosstalk, teach the model silence where speech has no beginning:
# SimDev chunks2 12.7 to 7.8 % with weights that have learnt so; others lose nothing. At 0.7, AMI
# excerpts get 2 points worse (recipes/synthetic/RUNS.md).
SPEECH_S, SPEECH_PROBABILITY, LATE_S = 1.5, 0.9, 0.5


def _bins(features: Features) -> tuple[Tensor, float]:
    """Probabilities of PyanNet's classes, (bins, 7) on the CPU, and seconds of a bin."""
    bins_per_position = features.probabilities.shape[-2]
    return features.probabilities.float().flatten(0, -2).cpu(), POSITION_S / bins_per_position


def _cut(turn: Turn, gaps: list[tuple[int, int]], bin_s: float) -> list[Turn]:
    """What is left of a turn without these bins."""
    left, start = [], turn.start
    for first, stop in gaps:
        first_s, stop_s = first * bin_s, stop * bin_s
        if start < stop_s and first_s < turn.end:
            if start < first_s:
                left.append(turn._replace(start=start, end=first_s))
            start = stop_s
    return [*left, turn._replace(start=start)] if start < turn.end else left


def without_pauses(turns: list[Turn], features: Features) -> list[Turn]:
    """Turns without the pauses in them.

    Parameters
    ----------
    turns : list of Turn
        In seconds from the beginning of the features.
    features : Features
        (positions, …)

    Returns
    -------
    turns : list of Turn
        Sorted. Those that a pause cuts are several, each as probable as the whole.
    """
    classes, bin_s = _bins(features)
    pauses = runs(classes[:, 0] > PAUSE_PROBABILITY, round(PAUSE_S / bin_s))
    return sorted(part for turn in turns for part in _cut(turn, pauses, bin_s))


def without_false_overlap(turns: list[Turn], features: Features) -> list[Turn]:
    """Turns without what is told of a second speaker where one person speaks.

    Parameters
    ----------
    turns : list of Turn
        In seconds from the beginning of the features.
    features : Features
        (positions, …)

    Returns
    -------
    turns : list of Turn
        Sorted. Of two speakers, the one stays who is told more often, where nobody else is, while
        that local speaker of PyanNet is active.
    """
    classes, bin_s = _bins(features)
    num_speakers = 1 + max((turn.speaker for turn in turns), default=-1)
    told = np.zeros((num_speakers, len(classes)), dtype=bool)
    for turn in turns:
        told[turn.speaker, round(turn.start / bin_s) : round(turn.end / bin_s)] = True
    number = told.sum(0)
    # Seconds, more or less, that a local speaker is active and a speaker is told alone.
    shared = activities(classes).numpy().T @ (told & (number == 1)).T  # (3, speakers)
    each = classes[:, 1 : 1 + NUM_LOCAL]
    one = (each.sum(-1) > ONE_PROBABILITY).numpy() & (number == 2)
    gaps: list[list[tuple[int, int]]] = [[] for _ in range(num_speakers)]
    for first, stop in runs(one, round(ONE_S / bin_s)):
        local = each[first:stop].sum(0).argmax().item()
        pairs = told[:, first:stop]  # two at every instant, not always the same
        less = np.where(pairs, shared[local][:, None], np.inf).argmin(0)
        for speaker in np.unique(less):
            gaps[speaker] += [(first + a, first + b) for a, b in runs(less == speaker)]
    return sorted(part for turn in turns for part in _cut(turn, gaps[turn.speaker], bin_s))


def latest_starts(features: Features) -> Tensor:
    """By when the next turn has to start, since somebody speaks.

    Parameters
    ----------
    features : Features
        (positions, …)

    Returns
    -------
    latest : (bins,) Tensor of int
        For `decode`: after turns that reach up to each bin, the last bin for the next one to start;
        the number of bins where none has to.
    """
    classes, bin_s = _bins(features)
    nobody = classes[:, 0]
    least, late = round(SPEECH_S / bin_s), round(LATE_S / bin_s)
    latest = torch.full((len(nobody),), len(nobody))
    # The last first, so that what comes next has the last word.
    for first, stop in reversed(runs(nobody < 1 - SPEECH_PROBABILITY, least)):
        told = torch.arange(stop - least + 1)  # up to there: enough of it is still untold
        latest[: len(told)] = told.clamp(min=first) + late
    return latest
