"""Speaker diarization as writing a sequence: a plugin of pyannote.audio.

>>> import pyannote_drz
>>> from pyannote.audio import Pipeline
>>> pipeline = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)
>>> output = pipeline("meeting.wav")
>>> for turn, speaker in output.speaker_diarization: ...
"""

from pathlib import Path

import pyannote.audio.models.segmentation
import pyannote.audio.tasks

from .models.pix2seq import Pix2SeqDiarizer
from .pipelines.pix2seq import Pix2SeqDiarization
from .tasks.pix2seq import SyntheticPix2SeqDiarization
from .tokens import Vocabulary

# Folder of the packaged pipeline, for `Pipeline.from_pretrained`.
PRETRAINED = Path(__file__).parent / "pretrained"

__all__ = [
    "PRETRAINED",
    "Pix2SeqDiarization",
    "Pix2SeqDiarizer",
    "SyntheticPix2SeqDiarization",
    "Vocabulary",
]

# Be where pyannote.audio lists its own tasks and models.
pyannote.audio.tasks.SyntheticPix2SeqDiarization = SyntheticPix2SeqDiarization
pyannote.audio.models.segmentation.Pix2SeqDiarizer = Pix2SeqDiarizer
for namespace, name in (
    (pyannote.audio.tasks, "SyntheticPix2SeqDiarization"),
    (pyannote.audio.models.segmentation, "Pix2SeqDiarizer"),
):
    if name not in namespace.__all__:
        namespace.__all__.append(name)
