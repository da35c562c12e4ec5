"""Plot: waveform and a lane per speaker, as a picture."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure  # without pyplot, it needs no screen

from .comparison import Comparison
from .formats import Diarized
from .palette import colours_of

COLUMNS = 2000  # of the waveform: more cannot be seen


def draw(diarized: Diarized, waveform: np.ndarray, comparison: Comparison | None) -> bytes:
    """Draw a recording and who speaks in it; the less certain a turn is among them, the paler.

    Parameters
    ----------
    diarized : Diarized
    waveform : (samples,) array
    comparison : Comparison or None
        Its reference gets lanes below, in the colours of those who are meant.

    Returns
    -------
    png : bytes
    """
    output, duration = diarized.output, diarized.duration
    colours, theirs = colours_of(output.speaker_diarization, comparison)
    lanes = [(label, colours[label]) for label in colours]
    if comparison is not None:
        lanes += [(f"reference: {label}", theirs[label]) for label in theirs]
    height = 0.34 * max(len(lanes), 2)  # inches
    figure = Figure(figsize=(12, 1.6 + height), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[0.9, height])

    loudest = envelope(waveform, COLUMNS)
    times = np.linspace(0, duration, len(loudest))
    top.fill_between(times, -loudest, loudest, color="#8a94a0", linewidth=0)
    top.set_yticks([])
    top.set_title(diarized.file.name, loc="left", fontsize=10, parse_math=False)
    rows = {label: row for row, (label, _) in enumerate(lanes)}
    least, most = range_of(output.confidence)
    for turn, track, label in output.speaker_diarization.itertracks(yield_label=True):
        alpha = 0.4 + 0.6 * (output.confidence[turn, track] - least) / max(most - least, 1e-9)
        bar = [(turn.start, turn.duration)]
        bottom.broken_barh(bar, (rows[label] - 0.38, 0.76), color=colours[label], alpha=alpha)
    if comparison is not None:
        for turn, _, label in comparison.reference.itertracks(yield_label=True):
            row = rows[f"reference: {label}"]
            bar = [(turn.start, turn.duration)]
            bottom.broken_barh(bar, (row - 0.38, 0.76), color=theirs[label])
        bottom.axhline(len(colours) - 0.5, color="black", linewidth=0.8)
        bottom.set_title(str(comparison), loc="left", fontsize=9)
    bottom.set_yticks(range(len(lanes)), [label for label, _ in lanes], parse_math=False)
    bottom.set_ylim(max(len(lanes), 1) - 0.5, -0.5)
    bottom.set_xlim(0, duration)
    bottom.set_xlabel("seconds")
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
    return png.getvalue()


def envelope(waveform: np.ndarray, columns: int) -> np.ndarray:
    """Loudest sample of each of at most that many columns, the loudest of all being 1."""
    edges = np.linspace(0, len(waveform), min(columns, len(waveform)), endpoint=False, dtype=int)
    loudest = np.maximum.reduceat(np.abs(waveform), edges)
    return loudest / max(float(loudest.max()), 1e-9)


def range_of(confidence: dict) -> tuple[float, float]:
    """Least and most confidence of a file's turns: shades tell them apart, wherever they lie."""
    values = [*confidence.values()] or [0.0]
    low, high = min(values), max(values)
    return (low, high) if low < high else (0.0, high)
