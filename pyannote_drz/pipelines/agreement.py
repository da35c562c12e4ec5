"""Agreement: neighbouring chunks hear some seconds both, and there one person has the same turns.

This tells who is who without any voice: the permutation that Xue et al., "Online end-to-end neural
diarization with speaker-tracing buffer" (SLT 2021), find between overlapping buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array, csr_array

from .stitching import Turn


def seconds_together(a: Iterable[Turn], b: Iterable[Turn], first: float, last: float) -> float:
    """Seconds between two instants that are in turns of both, minus half of those in one only.

    Turns of one letter do not overlap each other.
    """
    a = [(max(t.start, first), min(t.end, last)) for t in a if t.end > first and t.start < last]
    b = [(max(t.start, first), min(t.end, last)) for t in b if t.end > first and t.start < last]
    both = sum(max(0.0, min(e, f) - max(s, t)) for s, e in a for t, f in b)
    either = sum(end - start for start, end in a) + sum(end - start for start, end in b)
    return both - (either - 2 * both) / 2


def agreement(
    voices: Sequence[tuple[int, Sequence[Turn]]], edges: Sequence[tuple[float, float]]
) -> csr_array:
    """How much voices of neighbouring chunks agree, in seconds.

    Parameters
    ----------
    voices : sequence of (int, sequence of Turn)
        Chunk of each voice and its turns there, sorted by chunk.
    edges : sequence of (float, float)
        First and last second that each chunk hears.

    Returns
    -------
    agreement : (voices, voices) array
        See `seconds_together`; symmetric, 0 for voices that no two neighbours hear.
    """
    of_chunk: dict[int, list[int]] = {}
    for voice, (chunk, _) in enumerate(voices):
        of_chunk.setdefault(chunk, []).append(voice)
    rows, columns, seconds = [], [], []
    for chunk, left in of_chunk.items():
        for a in left:
            for b in of_chunk.get(chunk + 1, []):
                first, last = edges[chunk + 1][0], edges[chunk][1]
                together = seconds_together(voices[a][1], voices[b][1], first, last)
                rows += [a, b]
                columns += [b, a]
                seconds += [together, together]
    shape = (len(voices), len(voices))
    return csr_array(coo_array((np.array(seconds, dtype=float), (rows, columns)), shape=shape))
