"""Comparison: where a diarization errs, and who of it is who of the reference."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.errors.identification import IdentificationErrorAnalysis

from ..io.errors import InputError, one_line
from .reading import READERS, from_rttm, read_annotations

KINDS = ("missed detection", "false alarm", "confusion")


class Error(NamedTuple):
    """Some seconds in which one speaker is wrong.

    segment : Segment
    kind : str, one of KINDS
    reference : str or None, who spoke; nobody in a false alarm
    hypothesis : str or None, who was heard; nobody where somebody was missed
    """

    segment: Segment
    kind: str
    reference: str | None
    hypothesis: str | None


class Comparison(NamedTuple):
    """What is wrong with a diarization.

    reference : Annotation
    mapping : dict, speaker of the diarization -> speaker of the reference, pyannote's optimal one
    errors : list of Error, in order of time
    seconds : dict, kind -> seconds, added over speakers
    total : float, seconds of speech in the reference, added over speakers
    """

    reference: Annotation
    mapping: dict[str, str]
    errors: list[Error]
    seconds: dict[str, float]
    total: float

    def __str__(self) -> str:
        """Diarization error rate and its parts, or seconds where nobody speaks."""
        if not self.total:
            return f"{self.seconds['false alarm']:.1f} s of false alarm where nobody speaks"
        parts = ", ".join(f"{kind} {self.rate(kind):.1%}" for kind in KINDS)
        return f"diarization error rate {sum(map(self.rate, KINDS)):.1%} ({parts})"

    def rate(self, kind: str) -> float:
        """Seconds of errors of a kind for each second of speech."""
        return self.seconds[kind] / self.total


def compare(reference: Annotation, hypothesis: Annotation, duration: float) -> Comparison:
    """Compare with a reference: no collar, overlap scored, the whole recording.

    Parameters
    ----------
    reference, hypothesis : Annotation
    duration : float
        Of the recording, in seconds.
    """
    uem = Timeline([Segment(0, duration)])
    reference, hypothesis = reference.support(), hypothesis.support()  # nobody speaks twice at once
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    found = metric(reference, hypothesis, uem=uem, detailed=True)
    mapping = metric.optimal_mapping(reference, hypothesis, uem=uem)

    # Speakers are (whose, label): somebody who has no counterpart may have the name of another.
    theirs = {label: ("reference", label) for label in reference.labels()}
    ours = {
        label: ("reference", mapping[label]) if label in mapping else ("hypothesis", label)
        for label in hypothesis.labels()
    }
    back = {who: label for label, who in ours.items()}
    analysis = IdentificationErrorAnalysis(collar=0.0, skip_overlap=False)
    difference = analysis.difference(
        reference.rename_labels(mapping=theirs), hypothesis.rename_labels(mapping=ours), uem=uem
    )
    errors = []
    for segment, _, (kind, spoke, heard) in difference.itertracks(yield_label=True):
        if kind in KINDS:
            errors.append(Error(segment, kind, spoke and spoke[1], heard and back[heard]))
    return Comparison(
        reference, mapping, errors, {kind: found[kind] for kind in KINDS}, found["total"]
    )


def load_references(path: Path) -> dict[str, Annotation]:
    """References of a file that `prepare` reads, by uri; of any other extension, of an RTTM.

    Raises
    ------
    InputError
        There is no such file, or it is not what its extension says: the line is told.
    """
    kind = path.suffix[1:] if path.suffix.lower() in READERS else "rttm"
    try:
        return read_annotations(path, otherwise=from_rttm)
    except (ValueError, OSError) as error:
        raise InputError(
            f"cannot read reference '{path}' as {kind.upper()}: {one_line(error)}"
        ) from error
