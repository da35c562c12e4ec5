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

from ..io.atomic import atomic_write
from ..models.encoders.campplus import EMBEDDING_DIM
from .embeddings import unit
from .prompts import Speaker, waveform_of
from .stitching import Turn, exclusive

Track = tuple[Segment, int]


class VoicePrompts(dict):
    """A few seconds of speakers by name, to be given as `known_speakers` for another file.

    Each is a mapping with

    waveform : (1, samples) Tensor, at most 5 s of that speaker
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
        with atomic_write(path) as draft:
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
    speaker_embeddings : (speakers, 192) array
        Unit vectors in the order of `speaker_diarization.labels()`.
    confidence : dict
        (segment, track) of `speaker_diarization` -> probability of that turn.
    prompts : VoicePrompts
        Seconds of speakers by label.
    scores : dict
        Label -> name of a known speaker -> probability that they are the same.
    """

    confidence: dict[Track, float] = field(default_factory=dict)
    prompts: VoicePrompts = field(default_factory=VoicePrompts)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

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
    turns: list[Turn],
    speakers: list[Speaker],
    names: dict[int, str],
    uri: str,
    sample_rate: int,
    scores: dict[int, dict[str, float]] | None = None,
) -> Pix2SeqOutput:
    """Put together what a pipeline returns.

    Parameters
    ----------
    turns : list of Turn
        Speakers are numbers of `speakers`.
    speakers : list of Speaker
    names : dict
        Number -> label, for all who have turns.
    uri : str
    sample_rate : int
        Of the model, in Hz.
    scores : dict, optional
        Number -> name of a known speaker -> probability.
    """
    diarization = annotate(turns, names, uri)
    by_label = {names[one.number]: one for one in speakers if one.number in names}
    labels = diarization.labels()
    embeddings = [by_label[label].embedding[:-1] for label in labels]
    embeddings = np.array(embeddings, dtype=np.float32).reshape(-1, EMBEDDING_DIM)
    prompts = VoicePrompts()
    for label in labels:
        stretches = by_label[label].stretches
        if stretches:
            prompts[label] = {
                "waveform": waveform_of(stretches, sample_rate)[None].cpu(),
                "sample_rate": sample_rate,
                "uri": uri,
                "segments": [(stretch.start, stretch.end) for stretch in stretches],
                "confidence": float(np.mean([stretch.probability for stretch in stretches])),
            }
    return Pix2SeqOutput(
        speaker_diarization=diarization,
        exclusive_speaker_diarization=annotate(exclusive(turns), names, uri),
        speaker_embeddings=unit(embeddings),
        confidence=confidence_of(turns),
        prompts=prompts,
        scores={names[k]: known for k, known in (scores or {}).items() if k in names},
    )
