"""PyanNet as a witness: what it is sure of, the model may not overlook.

Half a second in which it is sure that nobody speaks ends every turn, two turns are one too many
where it hears one person, and speech of which it is sure has to be somebody's. In between, the
model decides; and where it has put a turn's edge, PyanNet tells the hundredths of a second.
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
# A turn in which nobody speaks, on the whole, is nobody's. The sample recording 9.2 to 8.5 % DER,
# all others the same, at 0.7 and 0.8.
NOBODY_PROBABILITY = 0.7
# Where one person speaks for that long, there is no overlap, up to where that is more likely than
# not (which closes no pause of half a second). With 0.9 and 0.3 s instead: sample 6.9 for 5.8 %.
ONE_S, ONE_PROBABILITY, ONE_LIKELY = 0.2, 0.7, 0.5
# s; how far an edge is moved: a start earlier or later, an end either way. Simulated turns are cut
# by energy, real ones by ear. All of this together: sample 9.2 to 5.8, RealDev 15.2 to 14.9, AMI
# excerpts 15.6 to 15.4, chunks 7.4 / 15.1 / 23.6 to 7.7 / 15.5 / 23.9, meetings 11.5 to 11.7.
EARLIER_S, LATER_S, END_S = 0.02, 0.04, 0.06
# s at the edge of a turn that tell which local speaker it is; and what is left of it.
EDGE_S, SHORTEST_S = 0.5, 0.1
# Speech of 1.5 s that is somebody's at 0.9, and that a turn begins in by then. Simulated
# conversations of nobody, with crosstalk, teach the model silence where speech has no beginning:
# SimDev chunks2 12.7 to 7.8 % with weights that have learnt so; others lose nothing. At 0.7, AMI
# excerpts get 2 points worse (recipes/synthetic/RUNS.md).
SPEECH_S, SPEECH_PROBABILITY, LATE_S = 1.5, 0.9, 0.5


def bins_of(features: Features) -> tuple[Tensor, float]:
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
        Sorted. Those that a pause cuts are several, each as probable as the whole; those that are
        nothing else are gone.
    """
    classes, bin_s = bins_of(features)
    nobody = classes[:, 0]
    pauses = runs(nobody > PAUSE_PROBABILITY, round(PAUSE_S / bin_s))
    parts = sorted(part for turn in turns for part in _cut(turn, pauses, bin_s))

    def is_somebody(turn: Turn) -> bool:
        inside = nobody[round(turn.start / bin_s) : round(turn.end / bin_s)]
        return not len(inside) or inside.mean().item() <= NOBODY_PROBABILITY

    return [part for part in parts if is_somebody(part)]


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
    classes, bin_s = bins_of(features)
    num_speakers = 1 + max((turn.speaker for turn in turns), default=-1)
    told = np.zeros((num_speakers, len(classes)), dtype=bool)
    for turn in turns:
        told[turn.speaker, round(turn.start / bin_s) : round(turn.end / bin_s)] = True
    number = told.sum(0)
    # Seconds, more or less, that a local speaker is active and a speaker is told alone.
    shared = activities(classes).numpy().T @ (told & (number == 1)).T  # (3, speakers)
    each = classes[:, 1 : 1 + NUM_LOCAL]
    one = each.sum(-1).numpy()
    gaps: list[list[tuple[int, int]]] = [[] for _ in range(num_speakers)]
    for first, stop in runs((one > ONE_LIKELY) & (number == 2)):
        if not runs(one[first:stop] > ONE_PROBABILITY, round(ONE_S / bin_s)):
            continue
        local = each[first:stop].sum(0).argmax().item()
        pairs = told[:, first:stop]  # two at every instant, not always the same
        less = np.where(pairs, shared[local][:, None], np.inf).argmin(0)
        for speaker in np.unique(less):
            gaps[speaker] += [(first + a, first + b) for a, b in runs(less == speaker)]
    return sorted(part for turn in turns for part in _cut(turn, gaps[turn.speaker], bin_s))


def with_heard_edges(turns: list[Turn], features: Features) -> list[Turn]:
    """Turns that begin and end where PyanNet hears it, if that is next to where they are told to.

    Parameters
    ----------
    turns : list of Turn
        In seconds from the beginning of the features.
    features : Features
        (positions, …)

    Returns
    -------
    turns : list of Turn
        In the same order. An edge moves to where the local speaker who is most active beside it
        falls silent.
    """
    classes, bin_s = bins_of(features)
    active = activities(classes).numpy()  # (bins, 3)
    edge, shortest = round(EDGE_S / bin_s), round(SHORTEST_S / bin_s)

    def goes_on(first: int, last: int) -> np.ndarray:
        """Whether who is most active from first to last is heard in each bin."""
        return active[:, active[first:last].mean(0).argmax()] > 0.5

    moved = []
    for turn in turns:
        start, stop = round(turn.start / bin_s), min(round(turn.end / bin_s), len(active))
        if stop - start < shortest:
            moved.append(turn)
            continue
        heard = goes_on(max(start, stop - edge), stop)
        end = _edge(heard[stop:], END_S / bin_s) + stop
        if end == stop:
            end -= _edge(~heard[start + shortest : stop][::-1], END_S / bin_s)
        heard = goes_on(start, min(stop, start + edge))
        begin = start - _edge(heard[:start][::-1], EARLIER_S / bin_s)
        if begin == start:
            begin += _edge(~heard[start : end - shortest], LATER_S / bin_s)
        moved.append(
            turn._replace(
                start=turn.start if begin == start else begin * bin_s,
                end=turn.end if end == stop else end * bin_s,
            )
        )
    return moved


def _edge(going_on: np.ndarray, most: float) -> int:
    """Bins, up to `most`, that something goes on."""
    some = going_on[: round(most)]
    return len(some) if some.all() else int(some.argmin())


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
    classes, bin_s = bins_of(features)
    nobody = classes[:, 0]
    least, late = round(SPEECH_S / bin_s), round(LATE_S / bin_s)
    latest = torch.full((len(nobody),), len(nobody))
    # The last first, so that what comes next has the last word.
    for first, stop in reversed(runs(nobody < 1 - SPEECH_PROBABILITY, least)):
        told = torch.arange(stop - least + 1)  # up to there: enough of it is still untold
        latest[: len(told)] = told.clamp(min=first) + late
    return latest
