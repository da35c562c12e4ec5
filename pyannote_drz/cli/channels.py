"""Channels of a recording: mixed, one of them, or each heard by itself, as call centres record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.errors import InputError

if TYPE_CHECKING:  # what takes seconds to import is imported by the functions that need it
    import numpy as np

    from ..pipelines.output import Pix2SeqOutput

MIX, EACH = "mix", "each"


def check_channels(told: str) -> str | int:
    """What `--channels` says: "mix", "each", or the number of a channel, from 0 up.

    Raises
    ------
    InputError
        It says something else; people count from 1.
    """
    if told in (MIX, EACH):
        return told
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told) - 1
    raise InputError(f"--channels must be mix, each, or a number from 1 up, not '{told}'.")


def hear(
    diarize: Callable[[Mapping], Pix2SeqOutput],
    file: Path,
    channels: str | int,
    sample_rate: int,
    uri: str,
    shown: bool,
) -> tuple[Pix2SeqOutput, float, np.ndarray | None]:
    """Diarize a recording as `--channels` says; hours of it are never all in memory.

    Parameters
    ----------
    diarize : callable
        From a file to an output, as a pipeline is.
    file : Path
    channels : str or int
        See `check_channels`.
    sample_rate : int
        In Hz.
    uri : str
    shown : bool
        Whether the waveform is needed.

    Returns
    -------
    output : Pix2SeqOutput
    duration : float
        In seconds.
    waveform : (samples,) array, or None
    """
    from ..io.audio import Audio, opened
    from ..io.longs import is_long, rewindable

    channel = channels if isinstance(channels, int) else None
    known = Audio.validate_file({"audio": file, "channel": channel, "uri": uri})
    with rewindable(known) as sound:
        if shown or not is_long(sound):
            audio = Audio(sample_rate, mono=None if channels == EACH else "downmix")
            waveform = audio(sound)[0]  # (channels heard apart, samples)
            apart = [
                {"waveform": row[None], "sample_rate": sample_rate, "uri": uri} for row in waveform
            ]
            output = diarize_channels(diarize, apart, uri)
            mixed = waveform[0] if len(waveform) == 1 else waveform.mean(dim=0)
            return output, waveform.shape[1] / sample_rate, mixed.numpy()
        apart = [dict(sound)]
        if channels == EACH:
            with opened(sound) as header:
                apart = [{**sound, "channel": number} for number in range(header.channels)]
        return diarize_channels(diarize, apart, uri), Audio().get_duration(sound), None


def diarize_channels(
    diarize: Callable[[Mapping], Pix2SeqOutput], files: list[Mapping], uri: str
) -> Pix2SeqOutput:
    """Diarize each channel by itself, and put together what was heard.

    Speakers of several channels are different people, "1:SPEAKER_00" and "2:SPEAKER_00"; known
    speakers keep their names, as they may be in any.

    Parameters
    ----------
    diarize : callable
        From a file to an output, as a pipeline is.
    files : list of Mapping
        One a channel, as pipelines take them.
    uri : str
    """
    from ..pipelines.output import Pix2SeqOutput, annotate, confidence_of
    from ..pipelines.stitching import Turn, exclusive

    if len(files) == 1:
        return diarize(files[0])
    turns, names, numbers = [], {}, {}
    for number, file in enumerate(files, 1):
        output = diarize(file)
        for segment, track, who in output.speaker_diarization.itertracks(yield_label=True):
            name = f"{number}:{who}" if str(who).startswith("SPEAKER_") else str(who)
            speaker = numbers.setdefault(name, len(numbers))
            names[speaker] = name
            probability = output.confidence[segment, track]
            turns.append(Turn(segment.start, segment.end, speaker, probability))
    turns.sort()
    return Pix2SeqOutput(
        speaker_diarization=annotate(turns, names, uri),
        exclusive_speaker_diarization=annotate(exclusive(turns), names, uri),
        confidence=confidence_of(turns),
    )
