"""`pyannote-drz diarize`: who speaks when in recordings, as text, as a picture, as a page."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from typer import Argument, Option

import pyannote_drz

from ..drafts import draft_of

if TYPE_CHECKING:  # what takes seconds to import is imported by the functions that need it
    import numpy as np
    from pyannote.core import Annotation

    from ..pipelines.pix2seq import Pix2SeqDiarization
    from .comparison import Comparison
    from .formats import Diarized

SAMPLE_RATE = 16000  # Hz, of what is shown and played


def diarize(
    files: Annotated[list[Path], Argument(metavar="FILE…", help="wav, flac, ogg, opus or mp3.")],
    rttm: Annotated[bool, Option("--rttm", help="NIST's RTTM. The default.")] = False,
    json: Annotated[bool, Option("--json", help="One line a file, with confidence.")] = False,
    srt: Annotated[bool, Option("--srt", help="Subtitles, one cue a turn.")] = False,
    audacity: Annotated[bool, Option("--audacity", help="Labels of Audacity.")] = False,
    textgrid: Annotated[bool, Option("--textgrid", help="Of Praat, a tier a speaker.")] = False,
    out: Annotated[
        Path | None,
        Option(help="Folder for FILE's name with another extension. Else text is printed."),
    ] = None,
    plot: Annotated[
        Path | None, Option(help="PNG to write; with several files, a folder of them.")
    ] = None,
    report: Annotated[
        Path | None,
        Option(help="HTML to write, to see and hear; with several files, a folder of them."),
    ] = None,
    reference: Annotated[
        Path | None, Option(help="RTTM to compare with, beside which errors are shown.")
    ] = None,
    known: Annotated[
        list[str] | None,
        Option(metavar="NAME=WAV", help="Somebody's voice, to be called by name; several times."),
    ] = None,
    speakers: Annotated[int | None, Option(min=1, help="How many there are.")] = None,
    min_speakers: Annotated[int | None, Option(min=1, help="Fewest there may be.")] = None,
    max_speakers: Annotated[int | None, Option(min=1, help="Most there may be.")] = None,
    pipeline: Annotated[
        Path | None, Option(help="Folder of a pipeline. Defaults to the packaged one.")
    ] = None,
    device: Annotated[str, Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Tell who speaks when in recordings.

    A file that cannot be read does not stop the others: it is told, and the exit status is 1.
    """
    asked = {"rttm": rttm, "json": json, "srt": srt, "audacity": audacity, "textgrid": textgrid}
    formats = [name for name, is_asked in asked.items() if is_asked]
    if not formats and (out is not None or (plot is None and report is None)):
        formats = ["rttm"]
    wanted = Wanted(formats, out, plot, report, len(files) > 1)
    check_places(files, wanted)
    from .comparison import load_references

    references = None if reference is None else load_references(reference)
    diarizer = load_pipeline(pyannote_drz.PRETRAINED if pipeline is None else pipeline, device)
    options = {
        "num_speakers": speakers,
        "min_speakers": min_speakers,
        "max_speakers": max_speakers,
    }
    diarizer.set_num_speakers(**options)  # tells at once if they contradict each other
    options["known_speakers"] = load_known(known or [])
    failed = 0
    for file in files:
        try:
            write_all(*listen(file, diarizer, options, references), wanted)
        except (ValueError, OSError) as error:
            say(f"pyannote-drz: {' '.join(str(error).split())}")
            failed += 1
    if failed:
        raise typer.Exit(1)


# ---- what is asked ------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """What to write, and where."""

    formats: list[str]
    out: Path | None  # None: print
    plot: Path | None
    report: Path | None
    several: bool  # files; then plot and report are folders


def check_places(files: list[Path], wanted: Wanted) -> None:
    """Tell what cannot be written, before anything is heard.

    Raises
    ------
    ValueError
    """
    from .formats import NAMES_ITS_FILE

    if wanted.out is None and len(wanted.formats) > 1:
        told = " and ".join(f"--{name}" for name in wanted.formats)
        raise ValueError(f"{told} cannot both be printed: --out FOLDER takes them as files.")
    if wanted.out is None and wanted.several and set(wanted.formats) - set(NAMES_ITS_FILE):
        raise ValueError(
            f"--{wanted.formats[0]} does not name its recording: several need --out FOLDER."
        )
    stems = [file.stem for file in files]
    doubles = [str(file) for file in files if stems.count(file.stem) > 1]
    if doubles and (wanted.out or wanted.plot or wanted.report):
        raise ValueError(f"{' and '.join(doubles)} would be written to the same file.")
    for place, extension in ((wanted.plot, ".png"), (wanted.report, ".html")):
        if place is None:
            continue
        if wanted.several and (place.suffix == extension or place.is_file()):
            raise ValueError(f"with several files, '{place}' must be a folder.")
        if not wanted.several and (place.suffix.lower() != extension or place.is_dir()):
            raise ValueError(f"'{place}' must be the name of a {extension[1:].upper()} file.")
    if wanted.out is not None and wanted.out.is_file():
        raise ValueError(f"--out must be a folder, and '{wanted.out}' is a file.")


def load_pipeline(folder: Path, device: str) -> Pix2SeqDiarization:
    """Pipeline of a folder, on a device.

    Raises
    ------
    ValueError
        There is no such folder, its pipeline is another, or there is no such device.
    """
    import torch

    from ..pipelines.packaging import load_pretrained

    pipeline = load_pretrained(folder)
    try:
        return pipeline.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # what torch says where there is none
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from error


def load_known(known: list[str]) -> dict[str, dict]:
    """Recordings of known speakers, by name.

    Raises
    ------
    ValueError
        Something is not NAME=WAV, a name comes twice, or a recording cannot be read.
    """
    from ..audio import Audio

    audio = Audio(sample_rate=SAMPLE_RATE, mono="downmix")
    recordings = {}
    for told in known:
        name, _, path = told.partition("=")
        if not (name.isprintable() and name.strip() and path):
            raise ValueError(f"--known must be NAME=WAV, not {told!r}.")
        if name in recordings:
            raise ValueError(f"--known names {name!r} twice.")
        waveform, sample_rate = audio(path)
        recordings[name] = {"waveform": waveform, "sample_rate": sample_rate}
    return recordings


# ---- what is done -------------------------------------------------------------------------------


def listen(
    file: Path,
    pipeline: Pix2SeqDiarization,
    options: dict,
    references: dict[str, Annotation] | None,
) -> tuple[Diarized, np.ndarray, Comparison | None]:
    """Read a recording, diarize it, and compare it with its reference.

    Returns
    -------
    diarized : Diarized
    waveform : (samples,) array, at `SAMPLE_RATE`
    comparison : Comparison or None

    Raises
    ------
    ValueError
        It cannot be read, or has no reference.
    """
    from ..audio import Audio
    from .comparison import compare
    from .formats import Diarized

    uri = file.stem
    if references is not None and uri not in references:
        known = ", ".join(sorted(references)) or "nothing"
        raise ValueError(f"there is no reference of '{uri}', only of {known}.")
    waveform, _ = Audio(sample_rate=SAMPLE_RATE, mono="downmix")(file)  # (1, samples)
    duration = waveform.shape[1] / SAMPLE_RATE
    heard = {"waveform": waveform, "sample_rate": SAMPLE_RATE, "uri": uri}
    begun = time.monotonic()
    with warnings.catch_warnings(record=True) as noticed, progress(file.name) as hook:
        output = pipeline(heard, hook=hook, **options)
    took = time.monotonic() - begun
    for warning in noticed:
        say(f"{file}: {warning.message}")
    diarization = output.speaker_diarization
    say(
        f"{file}: speakers: {len(diarization.labels())}, turns: {len(diarization)}, "
        f"{duration:.1f} s heard in {took:.1f} s"
    )
    comparison = None
    if references is not None:
        comparison = compare(references[uri], diarization, duration)
        say(f"{file}: {comparison}")
    return Diarized(file, uri, duration, output), waveform[0].numpy(), comparison


@contextmanager
def progress(name: str) -> Iterator[Callable]:
    """A bar on a terminal; gives what the pipeline tells its steps to."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=None)

        def hook(step, artifact, file=None, total=None, completed=None) -> None:
            if completed is not None:
                bars.update(bar, description=f"{name}: {step}", total=total, completed=completed)

        yield hook


def write_all(
    diarized: Diarized, waveform: np.ndarray, comparison: Comparison | None, wanted: Wanted
) -> None:
    """Write or print all that is wanted of a recording; nothing before all of it is made."""
    from .formats import FORMATS

    uri = diarized.uri
    texts = {name: FORMATS[name][1](diarized) for name in wanted.formats}
    contents: dict[Path, bytes] = {}
    if wanted.out is not None:
        for name, text in texts.items():
            contents[wanted.out / f"{uri}.{FORMATS[name][0]}"] = text.encode()
    if wanted.plot is not None:
        from .plot import draw

        path = wanted.plot / f"{uri}.png" if wanted.several else wanted.plot
        contents[path] = draw(diarized, waveform, comparison)
    if wanted.report is not None:
        from .report import make_report

        path = wanted.report / f"{uri}.html" if wanted.several else wanted.report
        contents[path] = make_report(diarized, waveform, SAMPLE_RATE, comparison).encode()
    for path, content in contents.items():
        write(path, content)
    if wanted.out is None:
        print("".join(texts.values()), end="", flush=True)


def write(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as part:
        part.write_bytes(content)


def say(line: str) -> None:
    """What is no result goes to the other stream."""
    print(line, file=sys.stderr, flush=True)
