"""Splitting: a turn whose voice is another one after a pause is two people's.

The model closes pauses of half a second, and where somebody else goes on at once, it may not notice
that they do. The encoders hear it: two seconds on either side are enough to tell.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..models.encoders import Features
from ..models.encoders.segmentation import runs
from ..prompting import whole_positions
from .embeddings import pooled, unit
from .stitching import Turn
from .witness import bins_of

# s in which PyanNet hears nobody, rather than somebody.
PAUSE_S, PAUSE_PROBABILITY = 0.1, 0.5
# s on either side of a pause that are compared, and of them those in which one person has to speak.
REACH_S, LEAST_S = 3.0, 2.0
# Cosine under which two sides are two people, and from which on somebody of the chunk goes on.
# RealDev 14.9 to 14.0 % DER, with 0.65 13.6; all other sets the same, with 0.65 0.1 more. 1.5 s for
# 2: chunks2 7.7 to 7.9; at any instant instead of at pauses: chunks 0.1 to 0.2 more (RUNS.md).
CHANGED = 0.6


def split_by_voice(
    turns: list[Turn], features: Features, max_speakers: int, num_prompted: int = 0
) -> list[Turn]:
    """Split turns at pauses after which they have another voice.

    Parameters
    ----------
    turns : list of Turn
        In seconds from the beginning of the features; of local speakers, counted from 0.
    features : Features
        (positions, …)
    max_speakers : int
        Local speakers that there may be.
    num_prompted : int, optional
        Local speakers that are known; nobody new has their numbers.

    Returns
    -------
    turns : list of Turn
        Sorted. What is split off is the local speaker's whom it is most like, or a new one's.
    """
    classes, bin_s = bins_of(features)
    parts = [_parts(turn, features, classes[:, 0], bin_s) for turn in turns]
    told = [first for first, *_ in parts]
    for part in (part for _, *rest in parts for part in rest):
        speakers = {turn.speaker for turn in told}
        own = _between(part.start, part.end, features)
        alike = {
            speaker: float(unit(own[:-1]) @ unit(_of(speaker, told, features)[:-1]))
            for speaker in speakers
        }
        speaker = max(alike, key=alike.__getitem__)
        number = max([num_prompted - 1, *speakers]) + 1
        if alike[speaker] < CHANGED and number < max_speakers:
            speaker = number
        told.append(part._replace(speaker=speaker))
    return sorted(told)


def _parts(turn: Turn, features: Features, nobody: Tensor, bin_s: float) -> list[Turn]:
    """A turn, or what is left of it between pauses, by (bins,), that part two voices."""
    first, stop = round(turn.start / bin_s), round(turn.end / bin_s)
    parts = [turn]
    for a, b in runs(nobody[first:stop] > PAUSE_PROBABILITY, round(PAUSE_S / bin_s)):
        pause_s, go_on_s = (first + a) * bin_s, (first + b) * bin_s
        before = _between(max(parts[-1].start, pause_s - REACH_S), pause_s, features)
        after = _between(go_on_s, min(turn.end, go_on_s + REACH_S), features)
        if min(before[-1], after[-1]) >= LEAST_S and unit(before[:-1]) @ unit(after[:-1]) < CHANGED:
            parts[-1:] = [parts[-1]._replace(end=pause_s), turn._replace(start=go_on_s)]
    return parts


def _of(speaker: int, turns: list[Turn], features: Features) -> np.ndarray:
    """(193,) embedding of all that a local speaker says."""
    return sum(_between(t.start, t.end, features) for t in turns if t.speaker == speaker)


def _between(start_s: float, end_s: float, features: Features) -> np.ndarray:
    """(193,) embedding of these seconds."""
    return pooled(features.part(*whole_positions(start_s, end_s)))
