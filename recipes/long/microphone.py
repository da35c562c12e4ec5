"""Follow a microphone: who speaks now.

    pip install sounddevice          # and PortAudio, which its wheels bring on macOS and Windows
    python recipes/long/microphone.py --step 1 --lookahead 1

What is said is told at most step + lookahead seconds later, and time of computing. Ctrl-C ends it.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import pyannote_drz
from pyannote_drz.pipelines.output import VoicePrompts
from pyannote_drz.pipelines.packaging import load_pretrained

RATE = 16000  # Hz


def microphone(block_s: float) -> Iterator[np.ndarray]:
    """(samples,) blocks as they are recorded, until interrupted."""
    import sounddevice  # optional

    blocks: queue.Queue[np.ndarray] = queue.Queue()

    def received(samples, frames, when, status) -> None:
        if status:
            print(f"microphone: {status}")
        blocks.put(samples[:, 0].copy())

    with sounddevice.InputStream(
        samplerate=RATE, channels=1, blocksize=round(block_s * RATE), callback=received
    ):
        while True:
            yield blocks.get()


def main(
    folder: Path = pyannote_drz.PRETRAINED,
    step: Annotated[float, typer.Option(help="s told at a time")] = 1.0,
    lookahead: Annotated[float, typer.Option(help="s heard beyond")] = 1.0,
    known: Annotated[Path | None, typer.Option(help="voices saved before")] = None,
    save: Annotated[Path | None, typer.Option(help="save voices at the end")] = None,
) -> None:
    """Print turns as they are told."""
    stream = load_pretrained(folder).stream(
        microphone(min(step, 0.5)),
        sample_rate=RATE,
        step=step,
        lookahead=lookahead,
        known_speakers=None if known is None else VoicePrompts.load(known),
    )
    print(f"listening; turns come {stream.latency:g} s late")
    try:
        for update in stream:
            for turn, track, speaker in update.diarization.itertracks(yield_label=True):
                sure = 100 * update.confidence[turn, track]
                print(f"{turn.start:7.1f} to {turn.end:7.1f} s   {speaker}   {sure:.0f} %")
    except KeyboardInterrupt:
        if save is not None:
            print(f"written: {stream.output.prompts.save(save)}")


if __name__ == "__main__":
    typer.run(main)
