"""Speaker diarization as writing a sequence: a plugin of pyannote.audio.

>>> import pyannote_drz
>>> from pyannote.audio import Pipeline
>>> pipeline = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)
>>> output = pipeline("meeting.wav")
>>> for turn, speaker in output.speaker_diarization: ...

What takes seconds to import (torch, pyannote.audio) is imported when it is first asked for, so
that `pyannote-drz --help` answers at once and workers of the simulator stay small.
"""

from importlib import import_module
from pathlib import Path

from .plugin.moved import keep_old_names
from .plugin.registration import list_in_pyannote_audio
from .plugin.telemetry import report_nothing_of_ours

# Folder of the packaged pipeline, for `Pipeline.from_pretrained`.
PRETRAINED = Path(__file__).parent / "pretrained"

_MODULES = {
    "Pix2SeqDiarization": "pyannote_drz.pipelines.pix2seq",
    "Pix2SeqDiarizer": "pyannote_drz.models.pix2seq",
    "SyntheticPix2SeqDiarization": "pyannote_drz.tasks.pix2seq",
    "Vocabulary": "pyannote_drz.tokens",
}

__all__ = ["PRETRAINED", *_MODULES]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


keep_old_names()

# Be where pyannote.audio lists its own tasks and models.
list_in_pyannote_audio("pyannote.audio.tasks", "SyntheticPix2SeqDiarization")
list_in_pyannote_audio("pyannote.audio.models.segmentation", "Pix2SeqDiarizer")

report_nothing_of_ours()
