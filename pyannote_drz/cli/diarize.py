"""`pyannote-drz diarize`: who speaks when in recordings, as text, as a picture, as a page."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from typer import Argument, Option

import pyannote_drz

from ..io.errors import InputError, one_line
from ..io.names import composed, uri_of, uris_of
from ..io.outputs import check_outputs, write_output
from .border import DEBUG
from .channels import check_channels, hear

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
        Path | None,
        Option(help="Labels to compare with, RTTM or what `prepare` reads: errors are shown."),
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
    channels: Annotated[
        str,
        Option(metavar="mix|each|N", help="Mixed, each heard by itself, or one, from 1 up."),
    ] = "mix",
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace files that are there, whoever wrote them.")
    ] = False,
    quiet: Annotated[bool, Option("--quiet", help="Tell errors only.")] = False,
) -> None:
    """Tell who speaks when in recordings.

    A file that cannot be read does not stop the others: it is told, and the exit status is 1.
    """
    asked = {"rttm": rttm, "json": json, "srt": srt, "audacity": audacity, "textgrid": textgrid}
    formats = [name for name, is_asked in asked.items() if is_asked]
    if not formats and (out is not None or (plot is None and report is None)):
        formats = ["rttm"]
    wanted = Wanted(formats, out, plot, report, len(files) > 1)
    uris = uris_of(files)
    check_places(wanted)
    heard_channels = check_channels(channels)
    voices = named(known or [])
    folder = pyannote_drz.PRETRAINED if pipeline is None else pipeline
    inputs = [*files, reference, *voices.values(), *files_of(folder)]
    outputs = [place for uri in uris for place in places(uri, wanted).values()]
    check_outputs(outputs, inputs, overwrite)
    from .comparison import load_references

    references = None if reference is None else load_references(reference)
    diarizer = load_pipeline(folder, device)
    options = {
        "num_speakers": speakers,
        "min_speakers": min_speakers,
        "max_speakers": max_speakers,
    }
    diarizer.set_num_speakers(**options)  # tells at once if they contradict each other
    options["known_speakers"] = load_known(voices)
    tell = silence if quiet else say
    shown = plot is not None or report is not None
    failed = 0
    for file in files:
        try:
            write_all(
                *diarize_one(file, diarizer, options, references, heard_channels, shown, tell),
                wanted,
            )
        except BrokenPipeError:  # nobody reads any more
            raise
        except Exception as error:  # of one file: the others are heard all the same
            if DEBUG in sys.argv:
                raise
            say(f"pyannote-drz: {about(file, error)}")
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


def places(uri: str, wanted: Wanted) -> dict[str, Path]:
    """Where what is wanted of a recording is written: by format, and "plot" and "report"."""
    from .formats import FORMATS

    found = {}
    if wanted.out is not None:
        found = {name: wanted.out / f"{uri}.{FORMATS[name][0]}" for name in wanted.formats}
    for kind, place, extension in (
        ("plot", wanted.plot, "png"),
        ("report", wanted.report, "html"),
    ):
        if place is not None:
            found[kind] = place / f"{uri}.{extension}" if wanted.several else place
    return found


def check_places(wanted: Wanted) -> None:
    """Tell what cannot be written, before anything is heard.

    Raises
    ------
    InputError
    """
    from .formats import NAMES_ITS_FILE

    if wanted.out is None and len(wanted.formats) > 1:
        told = " and ".join(f"--{name}" for name in wanted.formats)
        raise InputError(f"{told} cannot both be printed: --out FOLDER takes them as files.")
    if wanted.out is None and wanted.several and set(wanted.formats) - set(NAMES_ITS_FILE):
        raise InputError(
            f"--{wanted.formats[0]} does not name its recording: several need --out FOLDER."
        )
    for place, extension in ((wanted.plot, ".png"), (wanted.report, ".html")):
        if place is None:
            continue
        if wanted.several and (place.suffix == extension or place.is_file()):
            raise InputError(f"with several files, '{place}' must be a folder.")
        if not wanted.several and (place.suffix.lower() != extension or place.is_dir()):
            raise InputError(f"'{place}' must be the name of a {extension[1:].upper()} file.")
    if wanted.out is not None and wanted.out.is_file():
        raise InputError(f"--out must be a folder, and '{wanted.out}' is a file.")


def load_pipeline(folder: Path, device: str) -> Pix2SeqDiarization:
    """Pipeline of a folder, on a device.

    Raises
    ------
    InputError
        There is no such folder, its pipeline is another, or there is no such device.
    """
    import torch

    from ..pipelines.packaging import load_pretrained

    pipeline = load_pretrained(folder)
    try:
        return pipeline.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # what torch says where there is none
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from error


def named(known: list[str]) -> dict[str, Path]:
    """Paths of known speakers' recordings, by name.

    Raises
    ------
    InputError
        Something is not NAME=WAV, or a name comes twice.
    """
    paths: dict[str, Path] = {}
    for told in known:
        name, _, path = told.partition("=")
        name = composed(name.strip())
        if not (name.isprintable() and name and path):
            raise InputError(f"--known must be NAME=WAV, not {told!r}.")
        if name in paths:
            raise InputError(f"--known names {name!r} twice.")
        paths[name] = Path(path)
    return paths


def load_known(paths: dict[str, Path]) -> dict[str, dict]:
    """Recordings of known speakers, by name.

    Raises
    ------
    InputError
        One cannot be read.
    """
    from ..io.audio import Audio

    audio = Audio(sample_rate=SAMPLE_RATE, mono="downmix")
    recordings = {}
    for name, path in paths.items():
        waveform, sample_rate = audio(path)
        recordings[name] = {"waveform": waveform, "sample_rate": sample_rate}
    return recordings


def files_of(pipeline: Path) -> list[Path]:
    """Files of a pipeline's folder."""
    return [path for path in pipeline.glob("**/*") if path.is_file()]


# ---- what is done -------------------------------------------------------------------------------


def diarize_one(
    file: Path,
    pipeline: Pix2SeqDiarization,
    options: dict,
    references: dict[str, Annotation] | None,
    channels: str | int,
    shown: bool,
    tell: Callable[[str], None],
) -> tuple[Diarized, np.ndarray | None, Comparison | None]:
    """Read a recording, diarize it, and compare it with its reference.

    Returns
    -------
    diarized : Diarized
    waveform : (samples,) array, at `SAMPLE_RATE`, if it is `shown`
    comparison : Comparison or None

    Raises
    ------
    InputError
        It cannot be read, or has no reference.
    """
    from .comparison import compare
    from .formats import Diarized

    uri = uri_of(file)
    if references is not None and uri not in references:
        known = ", ".join(sorted(references)) or "nothing"
        raise InputError(f"there is no reference of '{uri}', only of {known}.")
    with warnings.catch_warnings(record=True) as noticed, progress(file.name) as hook:
        begun = time.monotonic()
        call = partial(pipeline, hook=hook, **options)
        output, duration, waveform = hear(call, file, channels, SAMPLE_RATE, uri, shown)
        took = time.monotonic() - begun
    for warning in noticed:
        tell(f"{file}: {warning.message}")
    diarization = output.speaker_diarization
    tell(
        f"{file}: speakers: {len(diarization.labels())}, turns: {len(diarization)}, "
        f"{duration:.1f} s heard in {took:.1f} s"
    )
    comparison = None
    if references is not None:
        comparison = compare(references[uri], diarization, duration)
        tell(f"{file}: {comparison}")
    return Diarized(file, uri, duration, output), waveform, comparison


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
    diarized: Diarized, waveform: np.ndarray | None, comparison: Comparison | None, wanted: Wanted
) -> None:
    """Write or print all that is wanted of a recording; nothing before all of it is made."""
    from .formats import FORMATS

    texts = {name: FORMATS[name][1](diarized) for name in wanted.formats}
    contents: dict[Path, bytes] = {}
    for kind, path in places(diarized.uri, wanted).items():
        if kind == "plot":
            from .plot import draw

            contents[path] = draw(diarized, waveform, comparison)
        elif kind == "report":
            from .report import make_report

            page = make_report(diarized, waveform, SAMPLE_RATE, comparison)
            contents[path] = page.encode("utf-8", "backslashreplace")
        else:
            contents[path] = texts[kind].encode("utf-8", "backslashreplace")
    for path, content in contents.items():
        write_output(path, content)
    if wanted.out is None:
        print("".join(texts.values()), end="", flush=True)


def about(file: Path, error: Exception) -> str:
    """What went wrong, in one line that names the file."""
    told = one_line(error)
    return told if str(file) in told or uri_of(file) in told else f"'{file}': {told}"


def silence(line: str) -> None:
    """What `--quiet` does not tell."""


def say(line: str) -> None:
    """What is no result goes to the other stream."""
    print(line, file=sys.stderr, flush=True)
