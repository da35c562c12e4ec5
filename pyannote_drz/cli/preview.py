"""Preview of a corpus: ten of its conversations to hear and see, on one page of its own."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path

import numpy as np
import soundfile as sf
from matplotlib.figure import Figure  # without pyplot, it needs no screen
from rich.console import Console
from rich.progress import track

from ..simulation import Conversation, Simulator, Turn
from ..simulation.slices import SAMPLE_RATE
from ..simulation.turn_taking.statistics import TurnStatistics, measure_turns
from ..simulation.turn_taking.turns import cut_window
from ..simulation.writing.corpus import PREVIEW, Corpus, rttm
from ..simulation.writing.encoding import write_audio, write_text

NUM_EXAMPLES = 10
STATISTICS_H = 10.0  # hours of scripts that statistics are taken of, without rendering them …
MAX_SCRIPTS = 1200  # … or so many, if they are short
WINDOW_S = 30.0  # that statistics are taken in
COLUMNS = 1200  # of a picture: more cannot be seen
FRAME = 512  # samples of the spectrogram's window: 32 ms
COLOURS = ("#1f77b4", "#d1495b", "#2e8b57", "#b8860b", "#7b5ea7", "#5f6b73", "#c2649a", "#3aa6a6")

# `figures` of AMI's training meetings (only_words references) in windows of 30 s side by side:
#     figures(measure_turns(windows_of(read_rttm(paths), 30.0), 30.0))
AMI = {
    "silence, % of time": "16.4",
    "two or more speak, % of speech": "13.4",
    "three or more speak, % of time": "1.1",
    "0 / 1 / 2 / 3 / 4 / more speakers, % of windows": "1.2 / 9.8 / 20.9 / 35.1 / 32.9 / 0.1",
    "turns in a window": "7.9",
    "length of a turn, s (median, quartiles)": "1.57 (0.48 to 4.42)",
    "gap between two people, s": "0.61 (0.28 to 1.18)",
    "overlap of two turns, s": "0.52 (0.30 to 1.12)",
    "hold / switch / interruption / backchannel, %": "11 / 27 / 23 / 38",
}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.1rem; margin: 2.5rem 0 .3rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ padding: .25rem .9rem; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left; padding-left: 0 }}
img, audio {{ width: 100%; display: block }} p {{ margin: .3rem 0 }} .small {{ color: #666 }}
code {{ background: #f3f3f3; padding: .1rem .3rem }}
</style>
<h1>{title}</h1>
<p>{about}</p>
{table}
{examples}
</html>
"""


def write_preview(corpus: Corpus, simulator: Simulator, voices: str) -> Path:
    """Write the first conversations of a corpus, a picture of each, and a page of all.

    Parameters
    ----------
    corpus : Corpus
    simulator : Simulator
    voices : str
        Protocol of the voices, to be told.

    Returns
    -------
    page : Path
        `preview/index.html` in the corpus's folder.
    """
    folder = corpus.folder / PREVIEW
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    console = Console(stderr=True)
    for index in track(
        range(NUM_EXAMPLES), "examples", console=console, disable=not console.is_terminal
    ):
        conversation = corpus.draw(simulator, index)
        audio = simulator.render([conversation], "cpu").waveforms[0].numpy()
        uri = corpus.uri(index)
        labels = [simulator.bank.speakers[voice] for voice in conversation.voices]
        write_audio(folder / corpus.audio(index).name, audio)
        write_text(folder / corpus.rttm(index).name, rttm(conversation.turns, uri, labels))
        picture = draw_picture(audio, conversation.turns)
        (folder / f"{uri}.png").write_bytes(picture)
        examples.append(_example(uri, audio, picture, labels, describe(conversation)))
    about = (
        f"Voices of {html.escape(voices)} ({corpus.subset}), seed {corpus.seed}, "
        f"{corpus.duration_s:g} s each. The first {NUM_EXAMPLES} conversations of what "
        f"<code>pyannote-drz simulate</code> writes with the same options, as MP3 here; "
        f"{corpus.format} files, RTTM and pictures lie beside this page."
    )
    page = PAGE.format(
        title=html.escape(f"{corpus.name}: simulated conversations"),
        about=about,
        table=_statistics(corpus, simulator),
        examples="\n".join(examples),
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def draw_picture(audio: np.ndarray, turns: list[Turn]) -> bytes:
    """Turns in lanes, waveform and spectrogram below each other, as PNG.

    Parameters
    ----------
    audio : ndarray
        (samples,) float32 at 16 kHz.
    turns : list of Turn
    """
    duration_s = len(audio) / SAMPLE_RATE
    num_speakers = 1 + max((turn.speaker for turn in turns), default=0)
    lanes = 0.25 * max(num_speakers, 2)  # inches
    figure = Figure(figsize=(11, 3.4 + lanes), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[lanes, 0.9, 1.8])

    for start_s, end_s, speaker in turns:
        colour = COLOURS[speaker % len(COLOURS)]
        top.broken_barh([(start_s, end_s - start_s)], (speaker - 0.38, 0.76), color=colour)
    top.set_yticks(range(num_speakers), [chr(ord("A") + k) for k in range(num_speakers)])
    top.set_ylim(num_speakers - 0.5, -0.5)
    top.tick_params(axis="y", length=0)
    if not turns:
        top.text(duration_s / 2, 0, "nobody speaks", ha="center", va="center", color="#666")
        top.set_yticks([])

    hop = max(1, len(audio) // (2 * COLUMNS))
    columns = audio[: len(audio) // hop * hop].reshape(-1, hop)
    time_s = np.arange(len(columns)) * hop / SAMPLE_RATE
    peak = max(float(np.abs(audio).max()), 1e-4)
    middle.fill_between(time_s, columns.min(1), columns.max(1), color="#444", linewidth=0)
    middle.set_ylim(-1.05 * peak, 1.05 * peak)
    middle.set_yticks([-peak, 0, peak], ["", f"peak {20 * math.log10(peak) + 0.0:.0f} dBFS", ""])

    level_db = spectrogram(audio)
    high = np.percentile(level_db, 99)
    bottom.imshow(
        level_db, origin="lower", aspect="auto", cmap="magma", interpolation="bilinear",
        vmin=high - 60, vmax=high, extent=(0, duration_s, 0, SAMPLE_RATE / 2000),
    )  # fmt: skip
    bottom.set_ylabel("kHz")
    bottom.set_xlabel("seconds")
    bottom.set_xlim(0, duration_s)
    for axes in (top, middle):
        axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, dpi=100, format="png")
    return image.getvalue()


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Level of about `COLUMNS` windows spread over the audio, (frequencies, windows) in dB."""
    hop = max(FRAME // 4, len(audio) // COLUMNS)
    padded = np.pad(audio, (0, FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2
    return 10 * np.log10(power.T + 1e-9)


def describe(conversation: Conversation) -> str:
    """What was drawn for room, noise and channel, in words."""
    chunk = conversation.chunk
    noise, channel, places = chunk.noise, chunk.channel[0], chunk.places
    words = ["no room"]
    if places["wet"].any():
        words = [f"room with RT60 {places['rt60_s'][0]:.2f} s"]
    if noise.floor > 0:
        words.append(f"noise floor {-20 * math.log10(noise.floor):.0f} dB below speech")
    if len(noise.recorded):
        words.append("recorded noise")
    if len(noise.bursts):
        words.append(f"{len(noise.bursts)} bursts")
    if channel["low_hz"] > 0:
        words.append(f"no bass below {channel['low_hz']:.0f} Hz")
    if channel["high_hz"] < SAMPLE_RATE:
        words.append(f"no treble above {channel['high_hz']:.0f} Hz")
    if channel["steps"] > 0:
        words.append(f"{math.log2(channel['steps']) + 1:.0f} bits")
    if channel["clip"] < 1:
        words.append("clipped")
    return ", ".join(words)


def _statistics(corpus: Corpus, simulator: Simulator) -> str:
    """Table of who-speaks-when beside AMI's, as HTML."""
    count = min(math.ceil(STATISTICS_H * 3600 / corpus.duration_s), MAX_SCRIPTS)
    count = max(count, NUM_EXAMPLES)
    window_s = min(WINDOW_S, corpus.duration_s)
    windows = [
        cut_window(turns, k * window_s, window_s)
        for turns in (corpus.draw(simulator, index).turns for index in range(count))
        for k in range(int(corpus.duration_s // window_s))
    ]
    these = figures(measure_turns(windows, window_s))
    cells = "".join(
        f"<tr><td>{name}</td><td>{these[name]}</td><td>{ami}</td></tr>" for name, ami in AMI.items()
    )
    return (
        f"<table><tr><th>who speaks when</th><th>these</th><th>AMI</th></tr>{cells}</table>"
        f'<p class="small">These: {len(windows)} windows of {window_s:g} s, of the first {count} '
        f"conversations. AMI: 9429 windows of {WINDOW_S:g} s of the 136 training meetings, "
        f"references <code>only_words</code> of BUT's AMI-diarization-setup, counted alike.</p>"
    )


def figures(found: TurnStatistics) -> dict[str, str]:
    """What the page tells of who speaks when, as text."""
    silence, overlap = found.silence_share.mean(), found.overlap_share.mean()
    people = [(found.num_speakers == k).mean() for k in range(5)]

    def quartiles(seconds: np.ndarray) -> str:
        if len(seconds) == 0:
            return "none"
        low, middle, high = np.percentile(seconds, [25, 50, 75])
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"

    return {
        "silence, % of time": f"{100 * silence:.1f}",
        "two or more speak, % of speech": f"{100 * overlap / max(1 - silence, 1e-9):.1f}",
        "three or more speak, % of time": f"{100 * found.crowd_share.mean():.1f}",
        "0 / 1 / 2 / 3 / 4 / more speakers, % of windows": " / ".join(
            f"{100 * share:.1f}" for share in [*people, max(1 - sum(people), 0.0)]
        ),
        "turns in a window": f"{found.num_segments.mean():.1f}",
        "length of a turn, s (median, quartiles)": quartiles(found.segment_s),
        "gap between two people, s": quartiles(found.gap_s),
        "overlap of two turns, s": quartiles(found.overlap_s),
        "hold / switch / interruption / backchannel, %": " / ".join(
            f"{100 * share:.0f}" for share in found.kind_shares().values()
        ),
    }


def _example(uri: str, audio: np.ndarray, picture: bytes, labels: list[str], words: str) -> str:
    """One conversation as HTML, sound and picture inside."""
    sound = io.BytesIO()
    sf.write(sound, audio, SAMPLE_RATE, format="MP3")  # every browser plays it
    people = ", ".join(html.escape(label) for label in labels) or "nobody"
    return (
        f"<h2>{html.escape(uri)}</h2><p>{people}</p>"
        f'<p class="small">{html.escape(words)}</p>'
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{_text(sound.getvalue())}">'
        f'</audio><img alt="turns, waveform and spectrogram of {html.escape(uri)}" '
        f'src="data:image/png;base64,{_text(picture)}">'
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
