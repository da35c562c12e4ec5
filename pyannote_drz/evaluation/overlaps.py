"""Overlaps: where several people speak, found in one pass; pyannote.core compares all pairs."""

from pyannote.core import Annotation, Segment, Timeline


def overlap_of(annotation: Annotation) -> Timeline:
    """Where two labels or more speak, as `Annotation.get_overlap` tells it.

    Parameters
    ----------
    annotation : Annotation
        Whose labels overlap no turns of their own, as `Annotation.support` has them.
    """
    changes = sorted(
        change
        for segment in annotation.itersegments()
        for _ in annotation.get_tracks(segment)
        for change in ((segment.start, 1), (segment.end, -1))
    )  # where one ends and another begins, ends come first
    speaking, since, found = 0, 0.0, []
    for time, change in changes:
        if speaking == 2 and change < 0:
            found.append(Segment(since, time))
        speaking += change
        if speaking == 2 and change > 0:
            since = time
    return Timeline(found, uri=annotation.uri).support()
