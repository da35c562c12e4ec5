"""Telemetry: pyannote.audio counts what is loaded and sends it to its makers; ours is not counted.

`Pipeline.from_pretrained` and `Model.from_pretrained` of pyannote.audio report every pipeline and
model, unless PYANNOTE_METRICS_ENABLED is 0. What of theirs the user loads is theirs to decide.
"""

import os
from collections.abc import Callable
from functools import wraps
from types import ModuleType

from .registration import when_imported

SWITCH = "PYANNOTE_METRICS_ENABLED"


def send_nothing() -> None:
    """For a command, before it imports pyannote.audio: nothing of this process is reported."""
    os.environ[SWITCH] = "false"


def report_nothing_of_ours() -> None:
    """Let pyannote.audio report no pipeline and no model of this package."""
    when_imported("pyannote.audio.core.pipeline", _spare("track_pipeline_init"))
    when_imported("pyannote.audio.core.model", _spare("track_model_init"))


def _spare(name: str) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        track = getattr(module, name, None)
        if track is None:  # another version of pyannote.audio, which does not report
            return

        @wraps(track)
        def track_others(loaded: object) -> None:
            if not type(loaded).__module__.startswith("pyannote_drz."):
                track(loaded)

        setattr(module, name, track_others)

    return change
