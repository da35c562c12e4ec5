"""Diarize the recording that pyannote.audio ships, and compare with its reference.

    python -m pyannote_drz.demo

It prints turns, diarization error rate and speed, and writes demo/sample.rttm and demo/sample.png.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import torch
from matplotlib.figure import Figure  # without pyplot, it needs no screen
from pyannote.audio import Pipeline
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

import pyannote_drz
from pyannote_drz.io.audio import Audio


def find_sample() -> tuple[Path, Path]:
    """Paths of sample.wav and sample.rttm in the installed pyannote.audio.

    Importing pyannote.audio.sample would read the audio, which takes FFmpeg.
    """
    folder = Path(find_spec("pyannote.audio").origin).parent / "sample"
    return folder / "sample.wav", folder / "sample.rttm"


def score(reference: Annotation, hypothesis: Annotation, duration: float) -> dict[str, float]:
    """Diarization error rate and its parts, in % of speech; no collar, overlap scored."""
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    uem = Timeline([Segment(0, duration)])
    parts = metric(reference, hypothesis, uem=uem, detailed=True)
    rates = {name: parts[name] for name in ("missed detection", "false alarm", "confusion")}
    rates = {name: 100 * seconds / parts["total"] for name, seconds in rates.items()}
    return {"diarization error rate": 100 * parts["diarization error rate"], **rates}


def plot(reference: Annotation, hypothesis: Annotation, duration: float, path: Path) -> None:
    """Draw both as timelines; a speaker of the hypothesis has the colour of their match."""
    mapping = DiarizationErrorRate().optimal_mapping(reference, hypothesis)
    unmatched = [label for label in hypothesis.labels() if label not in mapping]
    colours = {label: f"C{i}" for i, label in enumerate(reference.labels() + unmatched)}

    rows = [("reference", label, reference) for label in reference.labels()]
    rows += [("hypothesis", label, hypothesis) for label in hypothesis.labels()]
    figure = Figure(figsize=(10, 0.6 + 0.45 * max(2, len(rows))), layout="tight")
    axes = figure.subplots()
    for row, (_, label, annotation) in enumerate(rows):
        spans = [(turn.start, turn.duration) for turn in annotation.label_timeline(label)]
        axes.broken_barh(spans, (row - 0.35, 0.7), color=colours[mapping.get(label, label)])
    axes.axhline(len(reference.labels()) - 0.5, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{who}: {label}" for who, label, _ in rows])
    axes.set_ylim(max(2, len(rows)) - 0.5, -0.5)
    axes.set_xlim(0, duration)
    axes.set_xlabel("seconds")
    figure.savefig(path, dpi=120)


def main(pretrained: Path = pyannote_drz.PRETRAINED, into: Path = Path("demo")) -> None:
    """Diarize, print, write.

    Parameters
    ----------
    pretrained : Path, optional
        Folder of a pipeline.
    into : Path, optional
        Folder for sample.rttm and sample.png.
    """
    wav, rttm = find_sample()
    reference = load_rttm(rttm)["sample"]
    duration = Audio().get_duration(wav)
    pipeline = Pipeline.from_pretrained(pretrained)

    begin = time.perf_counter()
    hypothesis = pipeline(wav).speaker_diarization
    elapsed = time.perf_counter() - begin

    print(f"{wav}\n{duration:.1f} s, diarized by {pretrained}\n")
    for turn, speaker in hypothesis:
        print(f"  {turn.start:6.2f} to {turn.end:6.2f} s   {speaker}")
    if not hypothesis:
        print("  nobody speaks")
    rates = score(reference, hypothesis, duration)
    print("\nagainst the reference that comes with it (no collar, overlap scored)")
    for name, rate in rates.items():
        print(f"  {name:23} {rate:5.1f} %")
    print(
        f"\n{elapsed:.2f} s, {duration / elapsed:.1f} x real time on {pipeline.model.device} with "
        f"{torch.get_num_threads()} threads, audio reading included, model loading excluded"
    )

    into.mkdir(parents=True, exist_ok=True)
    hypothesis.uri = "sample"
    with open(into / "sample.rttm", "w") as file:
        hypothesis.write_rttm(file)
    plot(reference, hypothesis, duration, into / "sample.png")
    print(f"written: {into / 'sample.rttm'}, {into / 'sample.png'}")


if __name__ == "__main__":
    main()
