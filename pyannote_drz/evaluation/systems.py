"""What can be scored: a pipeline's folder, somebody's RTTM, and a peer that is run as a command."""

import os
import shlex
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from pyannote.core import Annotation
from pyannote.database import ProtocolFile

from ..cli.reading import load_rttm
from ..io.audio import Audio
from ..io.errors import InputError
from ..io.names import composed
from ..models.encoders import FeatureEncoder
from ..models.encoders.features import BIN_SAMPLES, SAMPLE_RATE
from ..models.encoders.segmentation import local_speakers
from ..pipelines.packaging import load_pretrained


def pipeline_system(path: str, device: str) -> Callable[[ProtocolFile], Annotation]:
    """A pretrained pipeline, as a function from file to diarization.

    Raises
    ------
    InputError
        There is no pipeline of ours at `path`.
    """
    pipeline = load_pretrained(path).to(torch.device(device))

    return lambda file: pipeline(file).speaker_diarization


def pyannet_system() -> Callable[[ProtocolFile], Annotation]:
    """PyanNet's classes as speakers: one block of 28 s after the other, no embeddings, no learning.

    What our model begins with; whoever is not better has not understood what they hear.
    """
    encoder, audio = FeatureEncoder(), Audio(sample_rate=SAMPLE_RATE, mono="downmix")

    def diarize(file: ProtocolFile) -> Annotation:
        features = encoder.encode_file(audio(file)[0][0])
        answer = local_speakers(features.probabilities, BIN_SAMPLES / SAMPLE_RATE)
        answer.uri = file["uri"]
        return answer

    return diarize


def rttm_system(path: Path, uris: Iterable[str]) -> Callable[[ProtocolFile], Annotation]:
    """An RTTM file, or a folder of them, as a function from file to diarization.

    Raises
    ------
    InputError
        If `path` has no RTTM, or knows none of `uris`. A file that it does not name is silence.
    """
    paths = sorted(path.rglob("*.rttm")) if path.is_dir() else [path]
    if not paths or not all(p.is_file() for p in paths):
        raise InputError(f"there is no RTTM file in {str(path)!r}.")
    turns = {uri: turn for p in paths for uri, turn in load_rttm(p).items()}
    if not set(turns) & set(map(composed, uris)):
        raise InputError(
            f"{str(path)!r} has no turn for any file to score; it knows {sorted(turns)[:3]}."
        )
    return lambda file: turns.get(composed(file["uri"]), Annotation(uri=file["uri"]))


class Spent(NamedTuple):
    """Seconds by the clock, and of processors: the latter tell speed where others work too."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> "Spent":
        """Of this process and of its children that have ended, from some beginning."""
        times = os.times()
        return cls(time.perf_counter(), sum(times[:4]))

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


class Peer:
    """A diarizer that runs as a command: audio files in, RTTM out, each file named by its stem.

    Parameters
    ----------
    command : str
        As in a shell; the paths of the files are appended.

    Attributes
    ----------
    start : Spent
        What it takes to start: measured on a second of silence.

    Raises
    ------
    ValueError
        If the command cannot be run, or fails.
    """

    def __init__(self, command: str):
        self.command = shlex.split(command)
        if not self.command:
            raise InputError("the peer's command is empty.")
        with tempfile.TemporaryDirectory() as folder:
            silence = Path(folder) / "silence.wav"
            soundfile.write(silence, np.zeros(16000, np.float32), 16000)
            self._run([silence])  # what is on disk is in memory from now on
            _, self.start = self._run([silence])

    def _run(self, paths: list[Path]) -> tuple[dict[str, Annotation], Spent]:
        """Diarization by stem, and what it took."""
        command, began = shlex.join(self.command), Spent.now()
        try:
            done = subprocess.run(
                [*self.command, *map(str, paths)], capture_output=True, text=True, check=True
            )
        except OSError as error:
            raise InputError(f"the peer's command {command!r} cannot be run: {error}") from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise InputError(
                f"the peer's command {command!r} failed (status {error.returncode}): {said}"
            ) from error
        spent = Spent.now() - began
        lines = [line for line in done.stdout.splitlines() if line.startswith("SPEAKER ")]
        if done.stdout.strip() and not lines:
            raise InputError(
                f"the peer's command {command!r} prints no RTTM: {done.stdout.split()[0]!r}."
            )
        if not lines:  # nobody speaks
            return {}, spent
        with tempfile.TemporaryDirectory() as folder:
            rttm = Path(folder) / "peer.rttm"
            rttm.write_text("\n".join(lines) + "\n")
            return load_rttm(rttm), spent

    def diarize(self, files: list[ProtocolFile]) -> tuple[list[Annotation], Spent]:
        """Run on all files at once.

        Returns
        -------
        answers : list of Annotation
            One for each file; silence for those that the peer does not name.
        spent : Spent
            Beyond `start`.

        Raises
        ------
        ValueError
            If two files have the same stem, or the command fails.
        """
        stems = [Path(file["audio"]).stem for file in files]
        twice = [stem for stem, count in Counter(stems).items() if count > 1]
        if twice:
            raise InputError(f"a peer tells files apart by stem, and several are {twice[0]!r}.")
        turns, spent = self._run([Path(file["audio"]) for file in files])
        answers = [turns.get(s, Annotation(uri=f["uri"])) for s, f in zip(stems, files)]
        spent -= self.start
        return answers, Spent(max(spent.wall_s, 1e-3), max(spent.cpu_s, 1e-3))
