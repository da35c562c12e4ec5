"""Silences: what two ways to say the same do not agree on.

The model writes turns, and tells beside it, frame by frame, whether somebody speaks. A turn that
was written too long, over a pause or over laughter, is silent there by the frames; what is silent
by the frames is taken out of turns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .stitching import Turn

# Where in the turns of a chunk the head is at its surest: 0.9, for the last tenth may be a click.
SUREST = 0.9
# Where it is not even that sure of any speech, it does not know such audio, and has no say: 0.59 in
# pyannote.audio's sample recording, 0.79 or more in the six excerpts of AMI.
SURE = 0.7


def loudness(turns: Sequence[Turn], speech: np.ndarray, bin_s: float) -> float:
    """How sure the head is of speech where it is surest, within the turns of a chunk.

    Thresholds are shares of this. It is 0, and nothing is silent, where the head is sure nowhere:
    of audio of a kind that it does not know, everything would be cut.
    """
    told = np.zeros(len(speech), dtype=bool)
    for turn in turns:
        told[round(turn.start / bin_s) : round(turn.end / bin_s)] = True
    surest = float(np.quantile(speech[told], SUREST)) if told.any() else 0.0
    return surest if surest >= SURE else 0.0


def spoken(turn: Turn, speech: np.ndarray, threshold: float, bin_s: float) -> list[Turn]:
    """The parts of a turn in which somebody speaks.

    Parameters
    ----------
    turn : Turn
        In seconds from the beginning of `speech`.
    speech : (bins,) array
        Probability that anybody speaks.
    threshold : float
        Bins that are less probable are silent.
    bin_s : float
        Duration of a bin, in seconds.

    Returns
    -------
    parts : list of Turn
    """
    first, stop = round(turn.start / bin_s), min(round(turn.end / bin_s), len(speech))
    loud = speech[first:stop] >= threshold
    if loud.all():
        return [turn]
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False))
    parts = ((first + edges) * bin_s).reshape(-1, 2)  # (parts, start and end)
    return [turn._replace(start=start, end=end) for start, end in parts.tolist()]
