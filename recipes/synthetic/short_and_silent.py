"""What chunks of tables do not show: one voice alone, and conversations beside digital silence.

    python recipes/synthetic/short_and_silent.py PIPELINE ../shared/data

One voice, the first 2, 5 and 8 s of development voices: how often exactly one speaker is told.
The first 12 s of conversations (SimDev chunks2, chunks3), alone and with 18 s of exact zeros before
or behind them: the share of speech that is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from pyannote.audio import Pipeline
from pyannote.core import Segment, Timeline
from pyannote.database import FileFinder, registry
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_drz.io.audio import Audio

RATE = 16000  # Hz
SECONDS = (2.0, 5.0, 8.0)
CONVERSATION_S, SILENCE_S = 12.0, 18.0


def files(name: str) -> Iterator[tuple]:
    """Waveform (1, samples) and reference of a protocol's development files."""
    protocol = registry.get_protocol(name, preprocessors={"audio": FileFinder(registry)})
    audio = Audio(sample_rate=RATE, mono="downmix")
    for file in protocol.development():
        yield audio(file)[0], file["annotation"]


def diarize(pipeline: Pipeline, waveform: torch.Tensor):
    return pipeline({"waveform": waveform, "sample_rate": RATE, "uri": "x"}).speaker_diarization


def one_voice(pipeline: Pipeline, most: int) -> None:
    """Print how often one voice is one speaker."""
    right, of = dict.fromkeys(SECONDS, 0), dict.fromkeys(SECONDS, 0)
    for waveform, _ in files("Voices.SpeakerDiarization.Voices"):
        for seconds in SECONDS:
            samples = round(seconds * RATE)
            if waveform.shape[1] >= samples and of[seconds] < most:
                of[seconds] += 1
                right[seconds] += len(diarize(pipeline, waveform[:, :samples]).labels()) == 1
    for seconds in SECONDS:
        share = 100 * right[seconds] / max(of[seconds], 1)
        print(f"one voice, {seconds:g} s: one speaker in {share:.0f} % of {of[seconds]}")


def beside_silence(pipeline: Pipeline) -> None:
    """Print what is missed of conversations, with and without silence."""
    samples, silence = round(CONVERSATION_S * RATE), torch.zeros(1, round(SILENCE_S * RATE))
    focus = Timeline([Segment(0, CONVERSATION_S)])
    errors = {kind: DiarizationErrorRate() for kind in ("alone", "before silence", "behind it")}
    for name in ("chunks2", "chunks3"):
        for waveform, reference in files(f"SimDev.SpeakerDiarization.{name}"):
            part, reference = waveform[:, :samples], reference.crop(focus)
            heard = {
                "alone": diarize(pipeline, part),
                "before silence": diarize(pipeline, torch.cat([part, silence], 1)),
                "behind it": diarize(pipeline, torch.cat([silence, part], 1)),
            }
            for kind, turns in heard.items():
                if kind == "behind it":
                    moved = turns.empty()
                    for segment, track, label in turns.itertracks(yield_label=True):
                        start_s, end_s = segment.start - SILENCE_S, segment.end - SILENCE_S
                        moved[Segment(start_s, end_s), track] = label
                    turns = moved
                errors[kind](reference, turns, uem=focus)
    for kind, error in errors.items():
        missed = 100 * error["missed detection"] / error["total"]
        print(f"12 s of conversation, {kind}: {missed:.1f} % missed, DER {100 * abs(error):.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", help="folder")
    parser.add_argument("data", type=Path, help="folder of database.yml")
    parser.add_argument("--most", type=int, default=100, help="voices of each duration")
    arguments = parser.parse_args()
    registry.load_database(arguments.data / "database.yml")
    pipeline = Pipeline.from_pretrained(arguments.pipeline)
    one_voice(pipeline, arguments.most)
    beside_silence(pipeline)


if __name__ == "__main__":
    main()
