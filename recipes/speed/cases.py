"""What speed is measured on: one conversation in four lengths, others of ever more people, a batch.

A longer recording is the same conversation again and again, so that length costs and nothing else
changes. With the protocol of voices, conversations are simulated, 2 to 12 people each; without,
they are pyannote.audio's own sample, two people on a telephone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm
from pyannote_drz.demo import find_sample

from pyannote_drz.io.audio import Audio

RATE = 16000
LENGTHS_S = {"30 s": 30, "10 min": 600, "1 h": 3600, "4 h": 14400}
PEOPLE = (2, 4, 8, 12)
USUAL = 4  # people of the recordings whose length varies
CONVERSATION_S = 600
BATCH = 16  # recordings of 30 s at once
VOICES = "Voices.SpeakerDiarization.Voices"


class Case(NamedTuple):
    """Recordings that a system hears in one call.

    name : str
    files : list of Path, wav at 16 kHz
    seconds : float, of all of them
    references : dict, who spoke when in each, by the file's name without extension
    """

    name: str
    files: list[Path]
    seconds: float
    references: dict[str, Annotation]


def make_cases(registry: Path | None, folder: Path, longest_s: float) -> list[Case]:
    """Write all recordings.

    Parameters
    ----------
    registry : Path, optional
        database.yml of the voices.
    folder : Path
        To write to; what is there already is kept.
    longest_s : float
        No longer recordings are made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = {}
    if registry is None:
        sources[2] = find_sample()
    else:
        for people in PEOPLE:
            if CONVERSATION_S <= longest_s or people == USUAL:
                sources[people] = simulated(registry, folder / f"people{people}", people)
    usual = USUAL if USUAL in sources else min(sources)
    cases = []
    for name, seconds in LENGTHS_S.items():
        if seconds <= longest_s:
            case = f"{name}, {usual} people"
            cases.append(repeated(*sources[usual], seconds, folder / f"{seconds}s.wav", case))
    for people, source in sources.items():
        if people != usual and CONVERSATION_S <= longest_s:
            name, into = f"10 min, {people} people", folder / f"{people}people.wav"
            cases.append(repeated(*source, CONVERSATION_S, into, name))
    parts = [
        repeated(*sources[usual], 30, folder / f"part{number}.wav", "", 30 * number)
        for number in range(BATCH)
    ]
    files = [part.files[0] for part in parts]
    references = {stem: turns for part in parts for stem, turns in part.references.items()}
    return [*cases, Case(f"{BATCH} x 30 s at once", files, 30.0 * BATCH, references)]


def simulated(registry: Path, folder: Path, people: int) -> tuple[Path, Path]:
    """A conversation of ten minutes, and its reference."""
    command = [sys.executable, "-m", "pyannote_drz.cli.main", "simulate", VOICES, folder]
    command += ["--registry", registry, "--subset", "development", "--turns", "random"]
    command += ["--hours", CONVERSATION_S / 3600, "--duration", CONVERSATION_S]
    command += ["--min-speakers", people, "--max-speakers", people]
    if not folder.is_dir():
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    (audio,), (rttm,) = folder.rglob("*.flac"), folder.rglob("*.rttm")
    return audio, rttm


def repeated(
    audio: Path, rttm: Path, seconds: int, into: Path, name: str, start_s: int = 0
) -> Case:
    """`seconds` of a recording from `start_s` on, which begins again wherever it ends."""
    samples = Audio(RATE, mono="downmix")(audio)[0][0].numpy()
    (turns,) = load_rttm(rttm).values()
    wanted, length_s = Segment(start_s, start_s + seconds), len(samples) / RATE
    reference = Annotation(uri=into.stem)
    for again in range(int(wanted.end / length_s) + 1):
        for turn, _, who in turns.crop(Segment(0, length_s)).itertracks(yield_label=True):
            at = Segment(turn.start + again * length_s, turn.end + again * length_s) & wanted
            if at:
                at = Segment(at.start - start_s, at.end - start_s)
                reference[at, reference.new_track(at)] = who
    if not into.is_file():
        block = RATE * 60
        with soundfile.SoundFile(into, "w", RATE, 1) as file:
            for first in range(start_s * RATE, (start_s + seconds) * RATE, block):
                stop = min(first + block, (start_s + seconds) * RATE)
                file.write(samples[np.arange(first, stop) % len(samples)])
    return Case(name, [into], float(seconds), {into.stem: reference})
