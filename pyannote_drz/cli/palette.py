"""Palette: a colour for every speaker, the same for the same person of the reference."""

from __future__ import annotations

from itertools import cycle

from pyannote.core import Annotation

from .comparison import Comparison

# Apart from each other for the colour-blind too, and readable on white and on dark grey:
# Okabe and Ito, "Color Universal Design" (2008), black and yellow replaced.
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7fc4", "#8c8c3a",
)  # fmt: skip


def colours_of(
    hypothesis: Annotation, comparison: Comparison | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Colours of the speakers of a diarization, by arrival, and of those of its reference.

    Returns
    -------
    ours, theirs : dict
        Label -> colour, #rrggbb. In `theirs`, those who were found come first.
    """
    free = cycle(COLOURS)
    tracks = sorted(hypothesis.itertracks(yield_label=True), key=lambda track: track[0])
    ours = {label: next(free) for label in dict.fromkeys(label for *_, label in tracks)}
    if comparison is None:
        return ours, {}
    meant = {label: who for who, label in comparison.mapping.items()}
    found = [comparison.mapping[who] for who in ours if who in comparison.mapping]
    missed = [label for label in comparison.reference.labels() if label not in meant]
    theirs = {label: ours[meant[label]] for label in found}
    return ours, theirs | {label: next(free) for label in missed}
