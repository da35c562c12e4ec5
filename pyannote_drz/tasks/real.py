"""Real conversations: chunks of annotated recordings, to learn from or to validate on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pyannote.core import Segment
from torch import Tensor

from ..io.audio import Audio
from ..io.errors import InputError
from ..simulation import Turn


@dataclass
class RealChunk:
    """A few seconds of a recording.

    waveform : (samples,) Tensor
    turns : list of Turn, in seconds from the beginning of the chunk
    """

    waveform: Tensor
    turns: list[Turn]


class RealConversations:
    """Annotated recordings of two speakers or more.

    Parameters
    ----------
    files : iterable of ProtocolFile
        With "audio", "annotation" and "annotated". Those of one speaker are left out.
    sample_rate : int
        In Hz.
    """

    def __init__(self, files: Iterable[Mapping], sample_rate: int):
        self.audio = Audio(sample_rate=sample_rate, mono="downmix")
        files = list(files)
        self.alone = [file["uri"] for file in files if len(file["annotation"].labels()) < 2]
        # Plain ones: spawned workers cannot be sent what protocols make of files.
        self.files = [
            {
                "uri": file["uri"],
                "audio": str(file["audio"]),
                "annotation": file["annotation"],
                "annotated": file["annotated"],
            }
            for file in files
            if len(file["annotation"].labels()) > 1
        ]

    def __len__(self) -> int:
        return len(self.files)

    def check(self, duration_s: float) -> None:
        """Name the recordings that are not learnt from.

        Raises
        ------
        InputError
            There is no other.
        """
        short = self.short(duration_s)
        if len(short) == len(self.files):
            raise InputError(
                f"no real recording of two speakers or more has an annotated region of "
                f"{duration_s} s to learn from{': ' + _named(short) if short else ''}."
            )
        self.warn_of_short(duration_s, "learnt from")
        if self.alone:
            warnings.warn(
                f"{len(self.alone)} real recordings are not learnt from, as one person speaks "
                f"there, or nobody: {_named(self.alone)}.",
                stacklevel=2,
            )

    def short(self, duration_s: float) -> list[str]:
        """Recordings that no chunk of that duration can be cut out of, by uri."""
        return [
            file["uri"]
            for file in self.files
            if all(region.duration < duration_s for region in file["annotated"])
        ]

    def warn_of_short(self, duration_s: float, use: str) -> None:
        """Name those of `short`, which are not put to a use, such as "learnt from"."""
        if short := self.short(duration_s):
            warnings.warn(
                f"{len(short)} real recordings are not {use}, as no annotated region of theirs "
                f"lasts {duration_s} s: {_named(short)}.",
                stacklevel=3,
            )

    def chunk(self, file: Mapping, start_s: float, duration_s: float) -> RealChunk:
        """Cut a chunk out of a file."""
        focus = Segment(start_s, start_s + duration_s)
        waveform, _ = self.audio.crop(file, focus, mode="pad")
        crop = file["annotation"].crop(focus)
        labels = crop.labels()
        turns = [
            Turn(segment.start - start_s, segment.end - start_s, labels.index(label))
            for segment, _, label in crop.itertracks(yield_label=True)
        ]
        return RealChunk(waveform[0], turns)

    def draw(self, rng: np.random.Generator, duration_s: float) -> RealChunk:
        """A random chunk of the annotated part of a random file, files by their duration.

        Raises
        ------
        ValueError
            No annotated region is that long.
        """
        regions = [
            (file, region)
            for file in self.files
            for region in file["annotated"]
            if region.duration >= duration_s
        ]
        if not regions:
            raise ValueError(f"no annotated region of a conversation lasts {duration_s} s.")
        weights = np.array([region.duration for _, region in regions])
        file, region = regions[rng.choice(len(regions), p=weights / weights.sum())]
        start_s = region.start + rng.random() * max(0.0, region.duration - duration_s)
        return self.chunk(file, start_s, duration_s)

    def windows(self, duration_s: float) -> list[tuple[Mapping, float]]:
        """(file, start_s) of all whole windows of the annotated regions, side by side."""
        return [
            (file, region.start + i * duration_s)
            for file in self.files
            for region in file["annotated"]
            for i in range(int((region.duration + 1e-3) // duration_s))
        ]


def _named(uris: list[str]) -> str:
    """The first of them, and how many more."""
    return ", ".join(uris[:20]) + (f" and {len(uris) - 20} more" if len(uris) > 20 else "")
