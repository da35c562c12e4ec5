"""Reading: who speaks when, from what people and programs write; the way back of `formats.py`.

Every reader takes a path and gives {uri: Annotation}. A format that does not name its recording is
of the recording with its file's name.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from praatio import textgrid
from pyannote.core import Annotation, Segment
from pympi import Elan

from ..io.columns import lines_of, rttm_fields
from ..io.errors import InputError, one_line
from ..io.names import composed, name_of, uri_of
from ..simulation.turn_taking.turns import MERGE_GAP_S

Turn = tuple[float, float, str]  # start, end in seconds, who
Reader = Callable[[Path], dict[str, Annotation]]


def read_annotations(path: Path, otherwise: Reader | None = None) -> dict[str, Annotation]:
    """Who speaks when, according to a file of any format in `READERS`.

    Turns of no length are left out: they are marks, no speech. Turns of one person that overlap or
    touch are one.

    Parameters
    ----------
    path : Path
    otherwise : callable, optional
        Reads files of other extensions; without it they are refused.

    Returns
    -------
    annotations : dict of Annotation
        By uri.

    Raises
    ------
    InputError
        The file is of no such format, or not what its name says; the sentence tells the line.
    OSError
        It cannot be opened.
    """
    reader = READERS.get(path.suffix.lower(), otherwise)
    if reader is None:
        raise InputError(f"'{path}' is none of {', '.join(READERS)}.")
    if path.exists() and not path.is_file() and not path.is_fifo():
        raise InputError(f"'{path}' is no file.")
    try:
        return reader(path)
    except UnicodeError as error:
        raise InputError(f"'{path}' is no text in UTF-8 or UTF-16.") from error
    except RecursionError as error:
        raise InputError(f"'{path}' is nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"'{path}': {one_line(error)}") from error


def load_rttm(path: Path | str) -> dict[str, Annotation]:
    """Who speaks when according to RTTM, whatever the file is called; see `read_annotations`."""
    return read_annotations(Path(path), otherwise=from_rttm)


def from_rttm(path: Path) -> dict[str, Annotation]:
    """NIST's RTTM; lines of other types than SPEAKER say nothing about turns.

    pyannote.database reads it too, but takes bad lines for no lines, and where a name holds spaces
    one column for another.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(lines_of(path), 1):
        if line.split(None, 1)[:1] != ["SPEAKER"]:
            continue
        try:
            uri, start, length, name = rttm_fields(line)
            turn = _checked(float(start), float(start) + float(length), name_of(name))
        except ValueError as error:
            raise ValueError(f"line {number} is not RTTM: '{line:.120}' ({error}).") from None
        turns.setdefault(name_of(uri), []).append(turn)
    return {uri: _annotate(of_uri, uri) for uri, of_uri in turns.items()}


def from_audacity(path: Path) -> dict[str, Annotation]:
    """A label track of Audacity, or several in one file: start, end, name, between tabs.

    Lines that begin with a backslash hold a label's frequencies.
    """
    turns = []
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        try:
            start, end, name = line.split("\t", 2)
            turns.append(_checked(_decimal(start), _decimal(end), name))
        except ValueError as error:
            why = "" if "unpack" in str(error) or "float" in str(error) else f" ({error})"
            raise ValueError(
                f"line {number} is no label of Audacity (start, end, name, tabs between){why}: "
                f"'{line:.120}'."
            ) from None
    return {uri_of(path): _annotate(turns, uri_of(path))}


def from_textgrid(path: Path) -> dict[str, Annotation]:
    """Praat's TextGrid: somebody speaks wherever an interval has a label.

    Tiers are people, and labels what they say, whatever it is; but in a file of one interval tier
    labels are people.
    """
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    except Exception as error:  # of a dozen kinds, for files that are something else
        raise ValueError(f"this is no TextGrid: {error}") from error
    tiers = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
    turns = [
        (start, end, label if len(tiers) == 1 else tier.name)
        for tier in tiers
        for start, end, label in tier.entries
        if label.strip()
    ]
    return {uri_of(path): _annotate(turns, uri_of(path))}


def from_elan(path: Path) -> dict[str, Annotation]:
    """ELAN's EAF: somebody speaks wherever there is an annotation, be it empty.

    Tiers are people, called by the tier's participant if it has one. Tiers below others (words,
    translations) are left out.
    """
    with warnings.catch_warnings():  # of versions newer than pympi: said to be read all the same
        warnings.simplefilter("ignore")
        try:
            document = Elan.Eaf(str(path))
        except Exception as error:  # what pympi raises is just that
            raise ValueError(f"this is no EAF of ELAN: {error}") from error
    turns: list[Turn] = []
    for tier in document.get_tier_names():
        about = document.get_parameters_for_tier(tier)
        if "PARENT_REF" in about:
            continue
        name = (about.get("PARTICIPANT") or "").strip() or tier
        turns += [
            (begin_ms / 1000, end_ms / 1000, name)
            for begin_ms, end_ms, *_ in document.get_annotation_data_for_tier(tier)
        ]
    return {uri_of(path): _annotate(turns, uri_of(path))}


# ---- JSON: ours, WhisperX, NeMo -----------------------------------------------------------------


def from_json(path: Path) -> dict[str, Annotation]:
    """JSON of this package, of pyannote.audio, of WhisperX, of NeMo; one value, or one a line."""
    turns: dict[str, list[Turn]] = {}
    for content in _json_values(path):
        uri, found = _json_turns(content, path)
        turns.setdefault(uri, []).extend(found)
    return {uri: _annotate(of_uri, uri) for uri, of_uri in turns.items()}


def _json_turns(content: object, path: Path) -> tuple[str, list[Turn]]:
    """Recording and turns of one JSON value, whosever it is."""
    if isinstance(content, list):
        content = {"diarization": content}
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds no turns, but {content!r:.40}.")
    try:
        if "diarization" in content:  # ours, or `DiarizeOutput.serialize` of pyannote.audio
            uri = str(content.get("uri") or uri_of(path))
            return uri, [_turn(turn) for turn in content["diarization"]]
        if "segments" in content:
            return uri_of(path), list(_whisperx_turns(content["segments"]))
        if "audio_filepath" in content:
            return uri_of(content["audio_filepath"]), _manifest_turns(content, path)
        if "words" in content:  # NeMo's diarization with speech recognition
            uri = str(content.get("session_id") or uri_of(path))
            return uri, list(_join_words(content["words"]))
    except KeyError as error:
        raise ValueError(f"a turn lacks {error}.") from error
    except (TypeError, AttributeError, OverflowError, IndexError) as error:
        raise ValueError(f"something stands where a turn should: {error}.") from error
    raise ValueError(
        f"it is JSON of nobody known (pyannote_drz, pyannote.audio, WhisperX, NeMo): it has "
        f"{', '.join(sorted(map(str, content)))[:80] or 'nothing'}."
    )


def _whisperx_turns(segments: Iterable[Mapping]) -> Iterator[Turn]:
    """Turns of sentences: by their words, if those have speakers, or as a whole."""
    segments = list(segments)
    if segments and not any(_speaker(part) for s in segments for part in (s, *s.get("words", []))):
        raise ValueError("no segment has a speaker: was whisperx run with --diarize?")
    for segment in segments:
        words = [w for w in segment.get("words", []) if {"start", "end"} <= set(w) and _speaker(w)]
        if words:
            yield from _join_words(words)
        elif _speaker(segment):
            yield _turn(segment)


def _manifest_turns(line: Mapping, path: Path) -> list[Turn]:
    """Turns of a line of NeMo's manifests: one labelled piece, or the RTTM that it points to."""
    rttm = line.get("rttm_filepath")
    if rttm:
        found = list(from_rttm(path.parent / rttm).values())  # absolute paths stay what they are
        if len(found) != 1:
            raise ValueError(f"'{rttm}' should be of one recording, and is of {len(found)}.")
        return [(turn.start, turn.end, who) for turn, _, who in found[0].itertracks(True)]
    if line.get("label") in (None, "infer") or line.get("duration") is None:
        raise ValueError(
            f"nothing tells who speaks in '{line['audio_filepath']}': no rttm_filepath."
        )
    start = float(line.get("offset") or 0)
    return [(start, start + float(line["duration"]), str(line["label"]))]


def _join_words(words: Iterable[Mapping]) -> Iterator[Turn]:
    """Words of one speaker that follow each other closely are one turn."""
    for _, run in groupby(words, key=_speaker):
        start = end = who = None
        for word_start, word_end, who in map(_turn, run):
            if end is not None and word_start - end > MERGE_GAP_S:
                yield start, end, who
                start = None
            start, end = word_start if start is None else start, word_end
        yield start, end, who


def _turn(part: Mapping) -> Turn:
    """Anything with two times and a speaker; NeMo's keys are longer."""
    start, end = (part[key if key in part else f"{key}_time"] for key in ("start", "end"))
    return float(start), float(end), str(_speaker(part))


def _speaker(part: Mapping) -> object:
    return part.get("speaker", part.get("speaker_label"))


def _json_values(path: Path) -> list:
    lines = lines_of(path)
    text = "\n".join(lines)
    try:
        return [json.loads(text)]
    except json.JSONDecodeError as error:
        if "Extra data" not in error.msg:
            raise ValueError(f"line {error.lineno} is no JSON: {error.msg}.") from None
    values = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON: {error.msg}.") from None
    return values


# ---- common -------------------------------------------------------------------------------------


def _decimal(number: str) -> float:
    """A number of seconds; Audacity in some countries writes 1,5."""
    return float(number.replace(",", ".") if number.count(",") == 1 else number)


def _checked(start: float, end: float, name: str) -> Turn:
    """A turn.

    Raises
    ------
    ValueError
        It begins before the recording, ends before it begins, or is nobody's.
    """
    name = composed(name.strip())
    if not (0 <= start <= end and math.isfinite(end)):
        raise ValueError(f"{start:g} s to {end:g} s ({name}) is no stretch of a recording.")
    if not name:
        raise ValueError(f"nobody speaks from {start:g} s to {end:g} s: the name is empty.")
    return start, end, name


def _annotate(turns: Iterable[Turn], uri: str) -> Annotation:
    """Turns as pyannote has them, those of one person that overlap or touch joined.

    Raises
    ------
    ValueError
        See `_checked`.
    """
    spoken: dict[str, list[Turn]] = {}
    for turn in sorted(_checked(*turn) for turn in turns):
        start, end, name = turn
        of_name = spoken.setdefault(name, [])
        if of_name and start <= of_name[-1][1]:
            of_name[-1] = (of_name[-1][0], max(end, of_name[-1][1]), name)
        elif end > start:  # turns of no length are marks
            of_name.append(turn)
    annotation = Annotation(uri=uri)
    joined = sorted(turn for of_name in spoken.values() for turn in of_name)
    for track, (start, end, name) in enumerate(joined):
        annotation[Segment(start, end), track] = name
    return annotation


READERS = {
    ".rttm": from_rttm,
    ".txt": from_audacity,
    ".textgrid": from_textgrid,
    ".eaf": from_elan,
    ".json": from_json,
    ".jsonl": from_json,
}
