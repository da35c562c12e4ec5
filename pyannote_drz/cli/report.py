"""Report: one page with the sound in it, to see who spoke when and to hear whether it is right.

What is on the page is in report.html; this puts the data in.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile as sf
from pyannote.core import Annotation

from ..evaluation.overlaps import overlap_of
from ..simulation.writing.encoding import OGG_SERIAL, with_serial
from .comparison import KINDS, Comparison
from .formats import Diarized
from .palette import colours_of
from .plot import envelope, range_of

TEMPLATE = Path(__file__).with_name("report.html")
COLUMNS_PER_S, MAX_COLUMNS = 50, 20_000  # of the waveform: what a zoomed page can show
BLOCK_S = 10  # written at once: Ctrl-C waits for no longer than that takes
COMPRESSION = 0.8  # of 0 to 1: 3 kB a second at 16 kHz


def make_report(
    diarized: Diarized, waveform: np.ndarray, sample_rate: int, comparison: Comparison | None
) -> str:
    """Make the page.

    Parameters
    ----------
    diarized : Diarized
    waveform : (samples,) float32 array
    sample_rate : int
        In Hz.
    comparison : Comparison or None
        With the reference, to be shown beside it.

    Returns
    -------
    page : str
        HTML that refers to nothing outside itself.
    """
    filling = {
        "TITLE": html.escape(diarized.file.name),
        "DATA": json.dumps(content(diarized, waveform, comparison)).replace("<", "\\u003c"),
        "AUDIO": "data:audio/ogg;base64," + encode(waveform, sample_rate),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda place: filling[place[1]], page)


def content(diarized: Diarized, waveform: np.ndarray, comparison: Comparison | None) -> dict:
    """What the page's script reads; times in seconds, speakers by number."""
    output, duration = diarized.output, diarized.duration
    diarization = output.speaker_diarization
    colours, reference_colours = colours_of(diarization, comparison)
    numbers = {label: number for number, label in enumerate(colours)}
    columns = min(max(int(duration * COLUMNS_PER_S), 200), MAX_COLUMNS)
    loudest = envelope(waveform, columns)
    told = {
        "title": diarized.file.name,
        "duration": duration,
        "envelope": base64.b64encode((255 * loudest).astype(np.uint8)).decode(),
        "speakers": speakers_of(diarization, colours),
        "turns": [
            [*_times(turn), numbers[label], round(output.confidence[turn, track], 3)]
            for turn, track, label in diarization.itertracks(yield_label=True)
        ],
        "confidence": range_of(output.confidence),
        "overlaps": [_times(part) for part in overlap_of(diarization.support())],
        "reference": None,
    }
    if comparison is not None:
        reference = comparison.reference
        theirs = {label: number for number, label in enumerate(reference_colours)}
        told["reference"] = {
            "speakers": speakers_of(reference, reference_colours),
            "turns": [
                [*_times(turn), theirs[label]]
                for turn, _, label in reference.itertracks(yield_label=True)
            ],
            "errors": [
                [
                    *_times(error.segment),
                    KINDS.index(error.kind),
                    theirs.get(error.reference),
                    numbers.get(error.hypothesis),
                ]
                for error in comparison.errors
            ],
            "kinds": list(KINDS),
            "seconds": [comparison.seconds[kind] for kind in KINDS],
            "total": comparison.total,
            "mapping": [[numbers[who], theirs[label]] for who, label in comparison.mapping.items()],
        }
    return told


def speakers_of(annotation: Annotation, colours: dict[str, str]) -> list[dict]:
    """Name, colour and seconds of speech of each."""
    return [
        {"label": str(label), "colour": colour, "seconds": annotation.label_duration(label)}
        for label, colour in colours.items()
    ]


def encode(waveform: np.ndarray, sample_rate: int) -> str:
    """Ogg Vorbis in base64, a tenth of the work that Opus takes at the same size.

    MP3, which older browsers play too, begins 69 ms late in them (its encoder's delay), and what
    is heard has to fit what is shown.

    Written to a file: libsndfile writes into memory by calling back, and Ctrl-C in there is lost.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sound.ogg"
        with sf.SoundFile(
            path, "w", sample_rate, 1, "VORBIS", format="OGG", compression_level=COMPRESSION
        ) as file:
            for first in range(0, len(waveform), BLOCK_S * sample_rate):
                file.write(waveform[first : first + BLOCK_S * sample_rate])
        sound = path.read_bytes()
    # libsndfile numbers the stream by the clock; the same recording shall give the same page
    return base64.b64encode(with_serial(sound, OGG_SERIAL)).decode()


def _times(segment) -> list[float]:
    return [round(segment.start, 3), round(segment.end, 3)]
