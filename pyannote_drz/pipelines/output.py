"""What a pipeline returns: pyannote's two annotations, and what else was found out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..drafts import draft_of
from .prompts import LONGEST_PROMPT, Person, join
from .stitching import Turn, exclusive

Track = tuple[Segment, int]


class VoicePrompts(dict):
    """Voices by name, to be given as `known_speakers` for another file.

    Each is a mapping with

    waveform : (1, samples) Tensor, at most 5 s of that voice
    sample_rate : int, in Hz
    uri : str, the file it comes from
    segments : list of (start, end), seconds of that file
    confidence : float, mean probability of these seconds

    Examples
    --------
    >>> pipeline("monday.wav").prompts.save("team.safetensors")
    >>> pipeline("tuesday.wav", known_speakers=VoicePrompts.load("team.safetensors"))
    """

    def save(self, path: Path | str) -> Path:
        """Write all voices to one file, which appears when it is complete.

        Raises
        ------
        ValueError
            There is no voice to write.
        """
        path = Path(path)
        if not self:
            raise ValueError(f"no voices were found, so {str(path)!r} is not written.")
        tensors = {name: voice["waveform"].contiguous() for name, voice in self.items()}
        kept = ("sample_rate", "uri", "segments", "confidence")
        about = {
            name: json.dumps({key: voice[key] for key in kept}) for name, voice in self.items()
        }
        with draft_of(path) as draft:
            save_file(tensors, draft, metadata=about)
        return path

    @classmethod
    def load(cls, path: Path | str) -> VoicePrompts:
        """Read what `save` has written.

        Raises
        ------
        ValueError
            There is no such file, or it is not one of voices.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                about = file.metadata() or {}
                return cls(
                    {
                        name: {"waveform": file.get_tensor(name), **json.loads(about[name])}
                        for name in about
                    }
                )
        except (OSError, SafetensorError, ValueError) as error:
            raise ValueError(f"cannot read voices from {str(path)!r}: {error}") from error


@dataclass
class Pix2SeqOutput(DiarizeOutput):
    """Who spoke when.

    speaker_diarization : Annotation
    exclusive_speaker_diarization : Annotation
        The same without overlap: the most probable turn has the floor.
    speaker_embeddings : (speakers, voice_dim) array
        Unit voice vectors in the order of `speaker_diarization.labels()`.
    confidence : dict
        (segment, track) of `speaker_diarization` -> probability of that turn.
    prompts : VoicePrompts
        Voices by label.
    """

    confidence: dict[Track, float] = field(default_factory=dict)
    prompts: VoicePrompts = field(default_factory=VoicePrompts)

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: `speaker_diarization`, as pyannote.core draws it."""
        return self.speaker_diarization._repr_png_()


def annotate(turns: list[Turn], names: dict[int, str], uri: str) -> Annotation:
    """Turns as an annotation; tracks are numbered in the order of turns."""
    annotation = Annotation(uri=uri)
    for track, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), track] = names[turn.speaker]
    return annotation


def confidence_of(turns: list[Turn]) -> dict[Track, float]:
    """Probability of each track of `annotate(turns, …)`."""
    return {
        (Segment(turn.start, turn.end), track): turn.probability for track, turn in enumerate(turns)
    }


def make_output(
    turns: list[Turn], people: list[Person], names: dict[int, str], uri: str, sample_rate: int
) -> Pix2SeqOutput:
    """Put together what a pipeline returns.

    Parameters
    ----------
    turns : list of Turn
        Speakers are numbers of people.
    people : list of Person
    names : dict
        Number -> label, for all who have turns.
    uri : str
    sample_rate : int
        Of the model, in Hz.
    """
    diarization = annotate(turns, names, uri)
    by_label = {names[person.number]: person for person in people if person.number in names}
    vectors = [by_label[label].vector for label in diarization.labels()]
    dims = [len(vector) for vector in vectors if vector is not None]
    embeddings = np.zeros((len(vectors), dims[0] if dims else 0), dtype=np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            embeddings[row] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    prompts = VoicePrompts()
    for label in diarization.labels():
        samples = sorted(by_label[label].samples, key=lambda sample: sample.start)
        if samples:
            prompts[label] = {
                "waveform": join(samples, LONGEST_PROMPT, sample_rate)[None].cpu(),
                "sample_rate": sample_rate,
                "uri": uri,
                "segments": [(sample.start, sample.end) for sample in samples],
                "confidence": float(np.mean([sample.probability for sample in samples])),
            }
    return Pix2SeqOutput(
        speaker_diarization=diarization,
        exclusive_speaker_diarization=annotate(exclusive(turns), names, uri),
        speaker_embeddings=embeddings,
        confidence=confidence_of(turns),
        prompts=prompts,
    )
