"""PyanNet as a witness: what it is sure of, the model may not overlook.

Half a second in which it is sure that nobody speaks ends every turn, and speech of which it is sure
has to be somebody's. In between, the model decides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.encoders import Features
from ..models.encoders.segmentation import runs
from ..prompting import POSITION_S
from .stitching import Turn

# A turn holds no pause of half a second (DESIGN.md, section 2). RealDev 17.2 to 16.6 % DER, AMI
# excerpts the same, SimDev meetings 12.8 to 13.0, whose references count pauses of read speech.
PAUSE_S, PAUSE_PROBABILITY = 0.5, 0.9
# Speech of 1.5 s that is somebody's at 0.9, and that a turn begins in by then. Simulated
# conversations of nobody, with crosstalk, teach the model silence where speech has no beginning:
# SimDev chunks2 12.7 to 7.8 % with weights that have learnt so; others lose nothing. At 0.7, AMI
# excerpts get 2 points worse (recipes/synthetic/RUNS.md).
SPEECH_S, SPEECH_PROBABILITY, LATE_S = 1.5, 0.9, 0.5


def _nobody(features: Features) -> tuple[Tensor, float]:
    """Probability that nobody speaks, (bins,) on the CPU, and seconds of a bin."""
    bins_per_position = features.probabilities.shape[-2]
    return features.probabilities[..., 0].float().flatten().cpu(), POSITION_S / bins_per_position


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
    nobody, bin_s = _nobody(features)
    pauses = runs(nobody > PAUSE_PROBABILITY, round(PAUSE_S / bin_s))
    left: list[Turn] = []
    for turn in turns:
        start = turn.start
        for first, stop in pauses:
            first_s, stop_s = first * bin_s, stop * bin_s
            if start < stop_s and first_s < turn.end:
                if start < first_s:
                    left.append(turn._replace(start=start, end=first_s))
                start = stop_s
        if start < turn.end:
            left.append(turn._replace(start=start))
    return sorted(left)


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
    nobody, bin_s = _nobody(features)
    least, late = round(SPEECH_S / bin_s), round(LATE_S / bin_s)
    latest = torch.full((len(nobody),), len(nobody))
    # The last first, so that what comes next has the last word.
    for first, stop in reversed(runs(nobody < 1 - SPEECH_PROBABILITY, least)):
        told = torch.arange(stop - least + 1)  # up to there: enough of it is still untold
        latest[: len(told)] = told.clamp(min=first) + late
    return latest
