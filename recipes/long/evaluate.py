"""Long recordings, measured: prompts, speakers known by name, streams.

    python recipes/long/evaluate.py prompts PIPELINE PROTOCOL --registry database.yml
    python recipes/long/evaluate.py prompts PIPELINE PROTOCOL --registry database.yml --join 3
    python recipes/long/evaluate.py enrollment PIPELINE PROTOCOL --registry database.yml
    python recipes/long/evaluate.py online PIPELINE PROTOCOL --registry database.yml

No collar, overlap scored. What they need: README.md beside this file; memory: memory.py.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from torch import Tensor

from pyannote_drz.cli.protocols import load_database
from pyannote_drz.evaluation.evaluate import hardware, protocol_files
from pyannote_drz.evaluation.systems import pyannet_system
from pyannote_drz.io.audio import Audio
from pyannote_drz.pipelines.batches import Step, no_hook, run
from pyannote_drz.pipelines.chunks import ChunkRequest
from pyannote_drz.pipelines.offline import in_file, prompted_pass, speakers_of
from pyannote_drz.pipelines.output import annotate
from pyannote_drz.pipelines.packaging import load_pretrained
from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization
from pyannote_drz.pipelines.stitching import Turn, stitch
from pyannote_drz.prompting import POSITION_S

BLOCK_S = 300.0  # s; joined meetings take turns of that length
ENROLLED_S = 120.0  # s; that much of a meeting is where recordings of its people are cut from


class Meeting(NamedTuple):
    """A recording at 16 kHz, (samples,), and who spoke when."""

    uri: str
    waveform: Tensor
    reference: Annotation
    uem: Timeline


def meetings(protocol: str, registry_yml: Path, join: int, limit: int | None) -> list[Meeting]:
    """The development files of a protocol; `join` of them become one, in blocks of 5 minutes."""
    load_database(registry_yml)
    audio, found = Audio(16000, mono="downmix"), []
    for file in protocol_files(protocol, "development")[: None if limit is None else limit * join]:
        reference = Annotation(uri=file["uri"])
        for segment, track, label in file["annotation"].itertracks(yield_label=True):
            reference[segment, track] = f"{file['uri']} {label}" if join > 1 else label
        found.append(Meeting(file["uri"], audio(file)[0][0], reference, file["annotated"]))
    groups = [found[i : i + join] for i in range(0, len(found) - join + 1, join)]
    return [joined(group) if join > 1 else group[0] for group in groups]


def joined(group: list[Meeting]) -> Meeting:
    """Meetings that take turns: as many people as they have together."""
    reference, parts, uem = Annotation(uri="joined"), [], []
    duration = min(len(meeting.waveform) for meeting in group) / 16000
    at = 0.0
    for first in torch.arange(0, duration, BLOCK_S).tolist():
        last = min(first + BLOCK_S, duration)
        for meeting in group:
            parts.append(meeting.waveform[round(first * 16000) : round(last * 16000)])
            inside = meeting.reference.crop(Segment(first, last))
            for segment, _, label in inside.itertracks(yield_label=True):
                moved = Segment(segment.start - first + at, segment.end - first + at)
                reference[moved, reference.new_track(moved)] = label
            uem.append(Segment(at, at + last - first))
            at += last - first
    return Meeting("+".join(m.uri for m in group), torch.cat(parts), reference, Timeline(uem))


def swaps(reference: Annotation, hypothesis: Annotation) -> int:
    """How often a person is called otherwise than in their turn before, where they speak alone.

    In overlap the label that fills a turn may well be the other speaker's: counted there, too, the
    references of SimDev meetings themselves would swap 183 times an hour.
    """
    number, overlap = 0, reference.get_overlap()
    for label in reference.labels():
        before = None
        for turn in reference.label_timeline(label):
            said = hypothesis.crop(Timeline([turn]).extrude(overlap))
            if said:
                now = said.argmax()
                number += before is not None and now != before
                before = now
    return number


class Tally:
    """Pooled errors of one way to do it."""

    def __init__(self):
        self.metric, self.parts = DiarizationErrorRate(), {}
        self.swaps = self.hours = 0.0
        self.right: list[bool] = []

    def add(self, meeting: Meeting, hypothesis: Annotation) -> None:
        detail = self.metric(meeting.reference, hypothesis, uem=meeting.uem, detailed=True)
        for name, seconds in detail.items():
            self.parts[name] = self.parts.get(name, 0.0) + seconds
        self.swaps += swaps(meeting.reference, hypothesis)
        self.hours += len(meeting.waveform) / 16000 / 3600
        inside = meeting.reference.crop(meeting.uem)
        self.right.append(len(inside.labels()) == len(hypothesis.labels()))

    def row(self, name: str) -> str:
        names = ("missed detection", "false alarm", "confusion")
        rates = [100 * self.parts[part] / self.parts["total"] for part in names]
        figures = " | ".join(f"{rate:.1f}" for rate in [sum(rates), *rates])
        right = 100 * sum(self.right) / len(self.right)
        return f"| {name} | {figures} | {self.swaps / self.hours:.0f} | {right:.0f} |"


HEAD = (
    "| | DER % | miss | false alarm | confusion | label swaps an hour | speakers right % |\n"
    "|---|--:|--:|--:|--:|--:|--:|"
)


def chunkwise(pipeline: Pix2SeqDiarization, meeting: Meeting) -> tuple[Annotation, Annotation]:
    """Pass 1 alone: local speakers as they are, and those of each chunk in the best mapping."""
    settings = pipeline.settings
    features = pipeline.encode(meeting.waveform)
    chunks = settings.split(features.num_positions, settings.duration, settings.context)
    most = settings.max_local_speakers

    def decode():
        parts = [features.part(chunk.start, chunk.stop) for chunk in chunks]
        return (yield Step("chunks", [ChunkRequest(part, most) for part in parts]))

    (results,) = run([(decode(), no_hook)], pipeline.decode, pipeline.batch_size)
    local = [in_file(r, c, settings.threshold).turns for r, c in zip(results, chunks, strict=True)]
    labels, best = meeting.reference.labels(), []
    for c, (turns, chunk) in enumerate(zip(local, chunks, strict=True)):
        span = Segment(chunk.start * POSITION_S, chunk.stop * POSITION_S)
        said = annotate(turns, {k: str(k) for k in range(most)}, meeting.uri)
        mapping = DiarizationErrorRate().optimal_mapping(meeting.reference.crop(span), said)
        who = {k: 1000 * (c + 1) + k for k in range(most)}  # nobody
        who |= {int(name): labels.index(label) for name, label in mapping.items()}
        best.append([turn._replace(speaker=who[turn.speaker]) for turn in turns])

    def whole(some: list[list[Turn]]) -> Annotation:
        turns = stitch(chunks, some, settings.min_duration_off)
        return annotate(turns, {turn.speaker: str(turn.speaker) for turn in turns}, meeting.uri)

    return whole(local), whole(best)


def oracle(pipeline: Pix2SeqDiarization, meeting: Meeting) -> Annotation:
    """The prompted pass with prompts cut by the reference."""
    settings, labels = pipeline.settings, meeting.reference.labels()
    turns = sorted(
        Turn(segment.start, segment.end, labels.index(label), 1.0)
        for segment, _, label in meeting.reference.itertracks(yield_label=True)
    )
    features = pipeline.encode(meeting.waveform)
    speakers = speakers_of(turns, features, meeting.waveform)
    job = prompted_pass(features, turns, speakers, settings)
    ((chunks, again),) = run([(job, no_hook)], pipeline.decode, pipeline.batch_size)
    told = stitch(chunks, again, settings.min_duration_off)
    return annotate(told, dict(enumerate(labels)), meeting.uri)


def as_file(meeting: Meeting) -> dict:
    return {"waveform": meeting.waveform[None], "sample_rate": 16000, "uri": meeting.uri}


def load(folder: Path) -> Pix2SeqDiarization:
    if not folder.exists():
        raise typer.BadParameter(f"there is no pipeline in {str(folder)!r}.")
    print(f"{folder}, {hardware('cpu')}\n")
    return load_pretrained(folder)


Registry = Annotated[Path, typer.Option("--registry", exists=True, dir_okay=False)]
Join = Annotated[int, typer.Option(min=1, help="Make one meeting of that many.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first meetings.")]
app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def prompts(
    folder: Path,
    protocol: str,
    registry_yml: Registry = Path("database.yml"),
    join: Join = 1,
    limit: Limit = None,
) -> None:
    """No prompts, self-made prompts, oracle prompts; DER and label swaps an hour."""
    pipeline, tallies, pyannet = load(folder), {}, pyannet_system()
    for meeting in meetings(protocol, registry_yml, join, limit):
        local, best = chunkwise(pipeline, meeting)
        answers = {"PyanNet alone": pyannet(as_file(meeting))}
        answers |= {"local speakers": local, "local speakers, best mapping": best}
        number = len(meeting.reference.labels())
        for name, passes in (("clustered, no prompts", 1), ("self-made prompts", 2)):
            pipeline.instantiate({"num_passes": passes})
            for asked in (None, number):
                told = name if asked is None else f"{name}, number of speakers given"
                output = pipeline(as_file(meeting), num_speakers=asked)
                answers[told] = output.speaker_diarization
        answers["oracle prompts"] = oracle(pipeline, meeting)
        for name, answer in answers.items():
            tallies.setdefault(name, Tally()).add(meeting, answer)
    print("\n".join([HEAD, *(tally.row(name) for name, tally in tallies.items())]))


@app.command()
def enrollment(
    folder: Path,
    protocol: str,
    registry_yml: Registry = Path("database.yml"),
    join: Join = 1,
    limit: Limit = None,
) -> None:
    """Half of the speakers are known: cut from 2 minutes of each meeting, tested on the rest."""
    pipeline = load(folder)
    for passes in (1, 2):
        pipeline.instantiate({"num_passes": passes})
        right = known_s = wrong = strange_s = 0.0
        for meeting in meetings(protocol, registry_yml, join, limit):
            duration = len(meeting.waveform) / 16000
            early = meeting.reference.crop(Segment(0, ENROLLED_S * join))
            overlap = early.get_overlap()
            recordings = {}
            for label in early.labels():
                clean = early.label_timeline(label).extrude(overlap)
                parts = [s for s in clean if s.duration >= 0.5]
                if sum(part.duration for part in parts) >= 3.0:  # s; as short as AMI's median turn
                    recordings[label] = torch.cat(
                        [meeting.waveform[int(s.start * 16000) : int(s.end * 16000)] for s in parts]
                    )
            enrolled = sorted(recordings)[::2]
            later = Segment(ENROLLED_S * join, duration)
            rest = {
                **as_file(meeting),
                "waveform": meeting.waveform[None, int(later.start * 16000) :],
            }
            known = {
                name: {"waveform": recordings[name], "sample_rate": 16000} for name in enrolled
            }
            answer = pipeline(rest, known_speakers=known).speaker_diarization
            for segment, _, label in meeting.reference.crop(later).itertracks(yield_label=True):
                said = answer.crop(Segment(segment.start - later.start, segment.end - later.start))
                if label in enrolled:
                    known_s += segment.duration
                    right += said.label_duration(label)
                else:
                    strange_s += segment.duration
                    others = said.subset(enrolled).get_timeline().support()
                    # What somebody enrolled says at the same time is theirs.
                    theirs = meeting.reference.crop(segment).subset(enrolled).get_timeline()
                    shift = [Segment(t.start - later.start, t.end - later.start) for t in theirs]
                    wrong += others.extrude(Timeline(shift).support()).duration()
        print(
            f"{passes} passes: right name {100 * right / known_s:.1f} % of {known_s:.0f} s, "
            f"strangers with a name {100 * wrong / strange_s:.1f} % of {strange_s:.0f} s"
        )


@app.command()
def online(
    folder: Path,
    protocol: str,
    registry_yml: Registry = Path("database.yml"),
    lookahead: Annotated[float, typer.Option(help="s")] = 2.0,
    limit: Limit = None,
    steps: Annotated[
        list[float] | None, typer.Option("--step", help="s, may come several times")
    ] = None,
) -> None:
    """Streams in steps of 0.5 to 10 s, or others, beside the whole file at once."""
    pipeline = load(folder)
    print(HEAD)
    for step in (None, *(steps or [10.0, 5.0, 2.0, 1.0, 0.5])):
        tally, began, audio_s = Tally(), time.perf_counter(), 0.0
        for meeting in meetings(protocol, registry_yml, 1, limit):
            if step is None:
                output = pipeline(as_file(meeting))
            else:
                output = pipeline(as_file(meeting), online=True, step=step, lookahead=lookahead)
            tally.add(meeting, output.speaker_diarization)
            audio_s += len(meeting.waveform) / 16000
        speed = audio_s / (time.perf_counter() - began)
        name = "offline" if step is None else f"steps of {step:g} s, latency {step + lookahead:g} s"
        print(tally.row(f"{name}, {speed:.0f} x real time"), flush=True)


if __name__ == "__main__":
    app()
