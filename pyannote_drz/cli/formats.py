"""Formats: what was heard in a recording, as text that other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from praatio import textgrid
from pyannote.core import Annotation, Segment

from ..io.names import field_of
from ..pipelines.output import Pix2SeqOutput


class Diarized(NamedTuple):
    """A recording, and what was heard in it.

    file : Path
    uri : str, as pyannote names it: the file's name without its extension
    duration : float, in seconds
    output : Pix2SeqOutput
    """

    file: Path
    uri: str
    duration: float
    output: Pix2SeqOutput


def rttm_of(annotation: Annotation, uri: str) -> str:
    """NIST's RTTM, written by pyannote.core, to milliseconds.

    Its columns are separated by spaces: those in names become %20, see names.py.
    """
    annotation = annotation.rename_labels(
        mapping={label: field_of(str(label)) for label in annotation.labels()}
    )
    annotation.uri = field_of(uri)
    return annotation.to_rttm()


def to_rttm(diarized: Diarized) -> str:
    """NIST's RTTM, see `rttm_of`."""
    return rttm_of(diarized.output.speaker_diarization, diarized.uri)


def to_json(diarized: Diarized) -> str:
    """What `DiarizeOutput.serialize` tells, in one line, with the confidence of every turn."""
    output = diarized.output
    content = output.serialize()  # both lists are in the order of itertracks
    tracks = output.speaker_diarization.itertracks()
    for turn, track in zip(content["diarization"], tracks, strict=True):
        turn["confidence"] = round(output.confidence[track], 4)
    about = {
        "file": str(diarized.file),
        "uri": diarized.uri,
        "duration": round(diarized.duration, 3),
        "speakers": output.speaker_diarization.labels(),
    }
    return json.dumps(about | content, ensure_ascii=False, allow_nan=False) + "\n"


def to_srt(diarized: Diarized) -> str:
    """Subtitles: one cue a turn, so that cues overlap where people do."""
    cues = [
        f"{number}\n{clock(turn.start)} --> {clock(turn.end)}\n{label}\n\n"
        for number, (turn, _, label) in enumerate(_tracks(diarized), 1)
    ]
    return "".join(cues)


def to_audacity(diarized: Diarized) -> str:
    """A label track of Audacity: start, end in seconds, name; labels may overlap."""
    return "".join(
        f"{turn.start:.6f}\t{turn.end:.6f}\t{label}\n" for turn, _, label in _tracks(diarized)
    )


def to_textgrid(diarized: Diarized) -> str:
    """Praat's TextGrid: one interval tier a speaker, which is how overlap fits in.

    Intervals of a tier may not overlap nor leave the recording: they are joined, and cut.
    """
    end = round(diarized.duration, 6)
    annotation = diarized.output.speaker_diarization
    grid = textgrid.Textgrid(0, end)
    for label in annotation.labels():
        spoken = annotation.label_timeline(label).support().crop(Segment(0, end))
        intervals = [(round(part.start, 6), round(part.end, 6), label) for part in spoken]
        grid.addTier(textgrid.IntervalTier(label, intervals, 0, end))
    if not grid.tiers:  # Praat opens no TextGrid without a tier
        grid.addTier(textgrid.IntervalTier("nobody", [], 0, end))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "grid"
        grid.save(str(path), "long_textgrid", includeBlankSpaces=True, minimumIntervalLength=None)
        return path.read_text(encoding="utf-8")


# Name, as in --name -> extension, writer.
FORMATS = {
    "rttm": ("rttm", to_rttm),
    "json": ("json", to_json),
    "srt": ("srt", to_srt),
    "audacity": ("txt", to_audacity),
    "textgrid": ("TextGrid", to_textgrid),
}
# Those that name the recording: several recordings may follow each other.
NAMES_ITS_FILE = ("rttm", "json")


def _tracks(diarized: Diarized):
    return diarized.output.speaker_diarization.itertracks(yield_label=True)


def clock(seconds: float) -> str:
    """HH:MM:SS,mmm."""
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return (
        f"{minutes // 60:02d}:{minutes % 60:02d}:"
        f"{milliseconds // 1000:02d},{milliseconds % 1000:03d}"
    )
