"""Silences: what two ways to say the same do not agree on.

The model writes turns, and tells beside it, frame by frame, whether somebody speaks. A turn that
was written too long, over a pause or over laughter, is silent there by the frames; what is silent
by the frames is taken out of turns.
"""

from __future__ import annotations

import numpy as np

from .stitching import Turn


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
