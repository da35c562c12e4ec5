"""Who said what: the words of a Whisper-style transcript, and the turns of a diarization.

    python recipes/words/who_said_what.py meeting.json --audio meeting.wav --out spoken
    python recipes/words/who_said_what.py meeting.json --diarization turns.json --out spoken

Reads the JSON of WhisperX, openai-whisper (--word_timestamps True) or faster-whisper; writes
spoken/meeting.json, of the same shape with speakers, and spoken/meeting.srt. More: docs/words.md.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pyannote.core import Annotation, Segment

import pyannote_drz
from pyannote_drz.cli.formats import clock
from pyannote_drz.io.columns import text_of
from pyannote_drz.io.outputs import check_outputs, write_output

# Words further than that from all turns, in seconds, are nobody's. Chosen, not measured: pauses
# within a turn are shorter, and the long silences in which Whisper makes up words are longer.
GAP = 1.0


# ---- reading ------------------------------------------------------------------------------------


def read_transcript(path: Path | str) -> dict:
    """Read the JSON of a transcript.

    Returns
    -------
    transcript : dict
        With "segments", a list of {"start", "end", "text", "words"}; times are in seconds, and a
        word is {"word"}, and {"start", "end"} if it has times.

    Raises
    ------
    ValueError
        There is no such file, or it is not such a transcript, or none of its words has times.
    """
    try:
        transcript = json.loads(text_of(Path(path)))
    except (OSError, ValueError) as error:  # a bad JSON or UTF-8 is a ValueError
        raise ValueError(f"cannot read the transcript '{path}': {error}") from error
    if isinstance(transcript, list):  # of faster-whisper's segments
        transcript = {"segments": transcript}
    if not isinstance(transcript, dict) or not isinstance(transcript.get("segments"), list):
        raise ValueError(f"'{path}' is no transcript: it has no list of segments.")
    segments, odd = [], []
    for i, segment in enumerate(transcript["segments"]):
        try:
            segments.append(_segment(segment, f"'{path}', segment {i}", odd))
        except ValueError as error:
            odd.append(str(error))
    timed = any(_is_timed(word) for each in segments for word in each["words"])
    if odd and not timed:
        raise ValueError(odd[0])
    for line in odd:  # one odd segment loses nothing of the others
        print(line, file=sys.stderr)
    if segments and not timed:
        raise ValueError(f"'{path}' has no times of words: whisper needs --word_timestamps True.")
    return {**transcript, "segments": segments}


def _segment(segment: object, where: str, odd: list[str]) -> dict:
    """A segment, checked; without words, they are those of its text, which have no times.

    Times that are none are put right, and told in `odd`.
    """
    if not isinstance(segment, dict) or not isinstance(segment.get("text"), str):
        raise ValueError(f"{where}: must have a text, got {_short(segment)}.")
    words = segment.get("words") or [{"word": word} for word in segment["text"].split()]
    if not isinstance(words, list):
        raise ValueError(f"{where}: words must be a list, got {_short(words)}.")
    for i, word in enumerate(words):
        if not isinstance(word, dict) or not isinstance(word.get("word"), str):
            raise ValueError(f"{where}, word {i}: must have a 'word', got {_short(word)}.")
    for i, word in enumerate(words):
        if not _has_times(word) and (word.get("start"), word.get("end")) != (None, None):
            odd.append(_not_times(word, f"{where}, word {i}"))
    if not _has_times(segment):
        odd.append(_not_times(segment, where))
    # A word whose times are none is one without times: it lies between its neighbours.
    words = [word if _has_times(word) else {**word, "start": None, "end": None} for word in words]
    start, end = _extent(segment, words, where)
    return {**segment, "start": start, "end": end, "words": words}


def _is_timed(word: dict) -> bool:
    return word.get("start") is not None


def _is_second(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _has_times(timed: dict) -> bool:
    start, end = timed.get("start"), timed.get("end")
    return _is_second(start) and _is_second(end) and start <= end


def _not_times(timed: dict, where: str) -> str:
    times = [timed.get("start"), timed.get("end")]
    return f"{where}: start and end must be seconds, in order, got {times}."


def _extent(segment: dict, words: list[dict], where: str) -> tuple[float, float]:
    """Start and end of a segment; what is none, or out of order, is that of its words."""
    known = [t for t in (segment.get("start"), segment.get("end")) if _is_second(t)]
    known += [word[key] for word in words if _has_times(word) for key in ("start", "end")]
    if not known:
        raise ValueError(_not_times(segment, where))
    if _has_times(segment):
        return segment["start"], segment["end"]
    return min(known), max(known)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def read_diarization(path: Path | str) -> Annotation:
    """Read the exclusive diarization out of what `pyannote-drz diarize --json` has written.

    Raises
    ------
    ValueError
        There is no such file, or it is something else.
    """
    try:
        turns = json.loads(text_of(Path(path)))["exclusive_diarization"]
        annotation = Annotation()
        for track, turn in enumerate(turns):
            annotation[Segment(turn["start"], turn["end"]), track] = turn["speaker"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"'{path}' is no JSON of `pyannote-drz diarize --json`: {error!r}"
        raise ValueError(told) from error
    return annotation


# ---- words and turns ----------------------------------------------------------------------------


def times_of(segment: dict) -> np.ndarray:
    """When words are said; those without times share the time between their neighbours.

    Returns
    -------
    times : (words, 2) array
        Start and end, in seconds.
    """
    words = segment["words"]
    times = np.array([(w.get("start"), w.get("end")) for w in words], dtype=float)  # None: NaN
    numbers = range(len(words))
    for timed, run in groupby(numbers, key=lambda i: _is_timed(words[i])):
        if timed:
            continue
        run = list(run)
        before = times[run[0] - 1, 1] if run[0] > 0 else segment["start"]
        after = times[run[-1] + 1, 0] if run[-1] + 1 < len(words) else segment["end"]
        edges = np.linspace(before, max(before, after), len(run) + 1)
        times[run] = np.stack([edges[:-1], edges[1:]], axis=1)
    return times


class Floor:
    """Who has the floor.

    Parameters
    ----------
    exclusive : Annotation
        Turns that do not overlap.
    gap : float
        In seconds, see `speaker`.

    Raises
    ------
    ValueError
        Turns overlap, or `gap` is negative.
    """

    def __init__(self, exclusive: Annotation, gap: float = GAP):
        if not gap >= 0:
            raise ValueError(f"gap must be a number of seconds, got {gap}.")
        turns = sorted(exclusive.itertracks(yield_label=True), key=lambda turn: turn[0])
        self.starts = np.array([segment.start for segment, _, _ in turns])
        self.ends = np.array([segment.end for segment, _, _ in turns])
        self.speakers = [speaker for _, _, speaker in turns]
        self.gap = gap
        late = np.flatnonzero(self.starts[1:] < self.ends[:-1] - 1e-3)  # times have milliseconds
        if len(late):
            raise ValueError(
                f"turns must not overlap, and those at {self.starts[late[0]]:.3f} s and "
                f"{self.starts[late[0] + 1]:.3f} s do: take exclusive_speaker_diarization."
            )

    def speaker(self, start: float, end: float) -> str | None:
        """Who has the floor for most of that time, or else nearest to it, up to `gap` away."""
        if not self.speakers:
            return None
        shared = np.minimum(self.ends, end) - np.maximum(self.starts, start)  # < 0: how far away
        most = shared.max()
        if most > 0:  # one speaker may have several turns within it
            floors: dict[str, float] = {}
            for i in np.flatnonzero(shared > 0):
                floors[self.speakers[i]] = floors.get(self.speakers[i], 0.0) + shared[i]
            return max(floors, key=floors.get)
        return self.speakers[int(shared.argmax())] if -most <= self.gap else None


def assign(transcript: dict, exclusive: Annotation, gap: float = GAP) -> dict:
    """Say who said every word and every line.

    Parameters
    ----------
    transcript : dict
        See `read_transcript`; left as it is.
    exclusive : Annotation
        `exclusive_speaker_diarization` of a pipeline's output.
    gap : float, optional
        Words further than that from all turns, in seconds, are said by nobody: None.

    Returns
    -------
    transcript : dict
        With "speaker" of each word, and segments cut where it changes: "start", "end", "text",
        "words" and "speaker" of each. Words and their order are the same.

    Raises
    ------
    ValueError
        Turns overlap, or `gap` is negative.
    """
    floor = Floor(exclusive, gap)
    lines = []
    for segment in transcript["segments"]:
        times = times_of(segment)
        texts = texts_of(segment)
        speakers = [floor.speaker(start, end) for start, end in times]
        for speaker, run in groupby(range(len(speakers)), key=speakers.__getitem__):
            run = list(run)
            lines.append(
                {
                    "start": round(float(times[run[0], 0]), 3),
                    "end": round(float(times[run[-1], 1]), 3),
                    "text": "".join(texts[i] for i in run).strip(),
                    "speaker": speaker,
                    "words": [{**segment["words"][i], "speaker": speaker} for i in run],
                }
            )
    kept = {k: v for k, v in transcript.items() if k not in ("segments", "word_segments")}
    return {**kept, "segments": lines}


def texts_of(segment: dict) -> list[str]:
    """The text of a segment, cut before every word: languages differ in what is between words."""
    text, cuts, end = segment["text"], [], 0
    for word in (word["word"].strip() for word in segment["words"]):
        found = text.find(word, end)
        if found < 0:  # words are not the text's: a space between them
            return [f" {word['word'].strip()}" for word in segment["words"]]
        cuts.append(found)
        end = found + len(word)
    edges = [0, *cuts[1:], len(text)]
    return [text[a:b] for a, b in zip(edges, edges[1:])]


# ---- writing ------------------------------------------------------------------------------------


def to_srt(transcript: dict) -> str:
    """Subtitles: a cue for each line, with its speaker if somebody said it."""
    cues = []
    for number, line in enumerate(transcript["segments"], 1):
        said = line["text"] if line["speaker"] is None else f"{line['speaker']}: {line['text']}"
        cues.append(f"{number}\n{clock(line['start'])} --> {clock(line['end'])}\n{said}\n\n")
    return "".join(cues)


def main(
    transcript: Annotated[Path, typer.Argument(help="JSON, with times of words.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    audio: Annotated[Path | None, typer.Option(help="What is transcribed, to diarize.")] = None,
    diarization: Annotated[
        Path | None, typer.Option(help="Of `pyannote-drz diarize --json`, instead of --audio.")
    ] = None,
    pipeline: Annotated[Path, typer.Option(help="Folder.")] = pyannote_drz.PRETRAINED,
    speakers: Annotated[int | None, typer.Option(help="How many there are, if known.")] = None,
    gap: Annotated[float, typer.Option(help="Seconds beyond which words are nobody's.")] = GAP,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there, whoever wrote them.")
    ] = False,
) -> None:
    """Say who said what."""
    if (audio is None) == (diarization is None):
        raise ValueError("give either --audio or --diarization.")
    if diarization is not None and speakers is not None:
        raise ValueError("--speakers is for --audio: a diarization has its speakers.")
    words = read_transcript(transcript)
    places = {name: out / f"{transcript.stem}.{name}" for name in ("json", "srt")}
    if places["json"].resolve() == transcript.resolve():
        raise ValueError(f"'{out}' is where the transcript is: it would be overwritten.")
    check_outputs(places.values(), [transcript, audio, diarization], overwrite)
    if diarization is not None:
        exclusive = read_diarization(diarization)
    else:
        from pyannote.audio import Pipeline

        output = Pipeline.from_pretrained(pipeline)(audio, num_speakers=speakers)
        exclusive = output.exclusive_speaker_diarization
    spoken = assign(words, exclusive, gap)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "json": json.dumps(spoken, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "srt": to_srt(spoken),
    }
    for name, text in texts.items():
        write_output(places[name], text.encode("utf-8", "backslashreplace"))
        print(f"written: {places[name]}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except (ValueError, OSError) as error:
        sys.exit(f"who_said_what.py: {error}")
