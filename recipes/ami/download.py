"""Download AMI's recordings from their official site, https://groups.inf.ed.ac.uk/ami (CC BY 4.0).

    git clone https://github.com/BUTSpeechFIT/AMI-diarization-setup data/ami   # lists, references
    python recipes/ami/download.py data                        # tells what it costs, and asks
    python recipes/ami/download.py data --mic array --subset test --yes

Recordings go where the top database.yml looks for them, data/amicorpus/MEETING/audio. Interrupted,
the same command goes on where it was: what is not complete is called ….wav.partial.

The site publishes no checksums: a recording is taken for complete when it has the size that the
server tells, and its end can be decoded.
"""

import shutil
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated, NamedTuple

import requests
import soundfile
import typer
import yaml
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

SITE = "https://groups.inf.ed.ac.uk/ami/AMICorpusMirror/amicorpus"
LISTS = {"train": "train", "development": "dev", "test": "test"}  # BUT's names of the subsets
TOP = Path(__file__).resolve().parents[2] / "database.yml"

TIMEOUT_S = 30.0  # without a byte
TRIES = 5  # in a row that bring nothing; from one to the next it waits longer
PAUSE_S = 2.0  # before the second one
BLOCK = 2**16  # bytes; what is cut off within one is lost
PROBE = 2**21  # bytes whose speed foretells that of all


class Mic(str, Enum):
    """Microphones: all headsets mixed, or one on the table."""

    headset = "headset"
    array = "array"


class Subset(str, Enum):
    """Subset of BUT's setup."""

    train = "train"
    development = "development"
    test = "test"


# Microphone -> its name in file names, the database that has it.
MICS = {Mic.headset: ("Mix-Headset", "AMI"), Mic.array: ("Array1-01", "AMI-SDM")}


class Recording(NamedTuple):
    """A file to have."""

    meeting: str
    mic: Mic
    path: Path
    url: str


def main(
    data: Annotated[Path, typer.Argument(help="Folder that database.yml calls data.")],
    mic: Annotated[list[Mic] | None, typer.Option(help="May come twice.")] = None,
    subset: Annotated[list[Subset] | None, typer.Option(help="Defaults to all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    site: Annotated[str, typer.Option(help="A mirror with the same folders.")] = SITE,
) -> None:
    """Download AMI's recordings; what it costs is told before it begins."""
    recordings = wanted(data, mic or [Mic.headset], subset or list(Subset), site)
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"  # sizes are of files, not of packed ones
        sizes = ask_sizes(session, recordings)
        absent = [r for r in recordings if r.url not in sizes]
        todo = [r for r in recordings if r.url in sizes and not is_there(r.path, sizes[r.url])]
        if absent:
            told = ", ".join(f"{r.meeting} ({MICS[r.mic][0]})" for r in absent)
            print(f"{len(absent)} recordings are not on the server: {told}.")
        if todo:
            missing = sum(sizes[r.url] - size_of(partial(r.path)) for r in todo)
            tell_cost(session, data, recordings, todo, missing)
            if not yes:
                if not sys.stdin.isatty():
                    raise ValueError("say --yes to begin; nothing was downloaded.")
                typer.confirm("Begin?", abort=True)
            fetch_all(session, todo, sizes, missing)
    print(f"{len(recordings) - len(absent)} of {len(recordings)} recordings are in {data}.")
    if absent:
        print(f"Protocols without the others: {write_present(data, absent)}.")


def wanted(data: Path, mics: list[Mic], subsets: list[Subset], site: str) -> list[Recording]:
    """What to have, by BUT's lists.

    Raises
    ------
    ValueError
        The lists are absent.
    """
    recordings = []
    for subset in dict.fromkeys(subsets):
        path = data / "ami" / "lists" / f"{LISTS[subset.value]}.meetings.txt"
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: git clone https://github.com/BUTSpeechFIT/"
                f"AMI-diarization-setup {data / 'ami'}"
            )
        for meeting in path.read_text().split():
            for mic in dict.fromkeys(mics):
                inside = f"{meeting}/audio/{meeting}.{MICS[mic][0]}.wav"
                recordings.append(
                    Recording(meeting, mic, data / "amicorpus" / inside, f"{site}/{inside}")
                )
    return recordings


def ask_sizes(session: requests.Session, recordings: list[Recording]) -> dict[str, int]:
    """Bytes of each recording, by URL; those that the server does not have are left out.

    Raises
    ------
    ValueError
        The server cannot be reached, or says something else.
    """
    sizes = {}
    for recording in recordings:
        try:
            answer = session.head(recording.url, timeout=TIMEOUT_S, allow_redirects=True)
        except requests.RequestException as error:
            raise ValueError(f"{recording.url} cannot be reached: {reason(error)}.") from error
        if answer.status_code == 404:
            continue
        size = answer.headers.get("Content-Length", "")
        if answer.status_code != 200 or not size.isdigit():
            raise ValueError(f"{recording.url}: status {answer.status_code}, size {size or '?'}.")
        sizes[recording.url] = int(size)
    return sizes


def tell_cost(
    session: requests.Session,
    data: Path,
    recordings: list[Recording],
    todo: list[Recording],
    missing: int,
) -> None:
    """Say how many files, bytes and hours it will take.

    Raises
    ------
    ValueError
        The disk has not enough room, or the server stops answering.
    """
    begun, heard = time.monotonic(), 0
    try:
        with session.get(todo[0].url, stream=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            for block in answer.iter_content(BLOCK):
                heard += len(block)
                if heard >= PROBE:
                    break
    except requests.RequestException as error:
        if not heard:
            raise ValueError(f"{todo[0].url} cannot be read: {reason(error)}.") from error
    speed = heard / (time.monotonic() - begun)
    print(
        f"{len(todo)} of {len(recordings)} recordings are to be downloaded: "
        f"{missing / 2**30:.2f} GiB, about {missing / speed / 3600:.1f} h at the "
        f"{speed / 2**20:.1f} MiB/s of the first {heard / 2**20:.1f} MiB."
    )
    free = shutil.disk_usage(data).free
    if free < missing:
        raise ValueError(f"the disk of {data} has {free / 2**30:.2f} GiB left.")


def fetch_all(
    session: requests.Session, todo: list[Recording], sizes: dict[str, int], missing: int
) -> None:
    """Download one after the other; who fails does not stop the others, but a dead network does.

    Raises
    ------
    ValueError
        Some are still missing.
    """
    failed = []
    console = Console(stderr=True)
    columns = [*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn()]
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bars:
        bar = bars.add_task("AMI", total=missing)
        for number, recording in enumerate(todo, 1):
            bars.update(bar, description=f"{recording.meeting} ({number} of {len(todo)})")
            try:
                fetch(
                    session, recording.url, recording.path, sizes[recording.url],
                    lambda heard: bars.advance(bar, heard),
                )  # fmt: skip
            except ValueError as error:
                failed.append(recording)
                print(error, file=sys.stderr)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(todo)} recordings are missing: the same command goes on."
        )


def fetch(session: requests.Session, url: str, path: Path, size: int, heard=lambda n: None) -> None:
    """Download one file, from where an earlier try ended; `path` appears when it is complete.

    Parameters
    ----------
    session : requests.Session
    url : str
    path : Path
    size : int
        In bytes, as the server told.
    heard : callable, optional
        Told the number of bytes, as they come.

    Raises
    ------
    ValueError
        The server refuses, sends something else, or is not heard of any more. The part that is
        there is kept, if it is of any use.
    ConnectionError
        No try brought anything.
    """
    part = partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if size_of(part) > size:  # of something else
        part.unlink()
    tries = 0
    while (there := size_of(part)) < size:
        try:
            # Who does not know ranges sends all of it, with status 200.
            asked = {"Range": f"bytes={there}-"} if there else {}
            with session.get(url, headers=asked, stream=True, timeout=TIMEOUT_S) as answer:
                if answer.status_code not in (200, 206):
                    raise ValueError(f"{url}: status {answer.status_code}.")
                with open(part, "ab" if answer.status_code == 206 else "wb") as file:
                    for block in answer.iter_content(BLOCK):
                        file.write(block)
                        heard(len(block))
        except requests.RequestException as error:
            tries = 1 if size_of(part) > there else tries + 1
            if tries == TRIES:
                raise ConnectionError(
                    f"{url} is not heard of any more, {size_of(part)} of {size} bytes are there "
                    f"({reason(error)}): the same command goes on."
                ) from error
            time.sleep(PAUSE_S * 2 ** (tries - 1))
        else:
            if size_of(part) < size:
                found = size_of(part)
                part.unlink()
                raise ValueError(f"{url} ended after {found} bytes, and {size} were told.")
    if size_of(part) > size:
        found = size_of(part)
        part.unlink()
        raise ValueError(f"{url} has {found} bytes, and {size} were told: it was thrown away.")
    try:
        with soundfile.SoundFile(part) as audio:
            audio.seek(max(0, audio.frames - audio.samplerate))
            decodable = len(audio.read()) > 0
    except soundfile.LibsndfileError:
        decodable = False
    if not decodable:
        part.unlink()
        raise ValueError(f"{url} is no audio that can be decoded: it was thrown away.")
    part.replace(path)


def write_present(data: Path, absent: list[Recording]) -> Path:
    """Write data/amicorpus/database.yml: AMI of the top database.yml without what is absent.

    Training reads every recording of a protocol, so one that nobody has would end it.
    """
    folder = data / "amicorpus"
    folder.mkdir(parents=True, exist_ok=True)
    top = yaml.safe_load(TOP.read_text())
    content = {"Databases": {}, "Protocols": {}}
    for mic, (_, database) in MICS.items():
        without = {recording.meeting for recording in absent if recording.mic == mic}
        content["Databases"][database] = from_inside(top["Databases"][database])
        content["Protocols"][database] = from_inside(top["Protocols"][database])
        for protocol in content["Protocols"][database]["SpeakerDiarization"].values():
            for subset, name in LISTS.items():
                meetings = (data / "ami" / "lists" / f"{name}.meetings.txt").read_text().split()
                path = folder / f"{database}.{name}.lst"
                path.write_text("".join(f"{m}\n" for m in meetings if m not in without))
                protocol[subset]["uri"] = path.name
    path = folder / "database.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def from_inside(value):
    """Paths below `data`, seen from data/amicorpus, wherever they stand."""
    if isinstance(value, dict):
        return {key: from_inside(inner) for key, inner in value.items()}
    return f"../{value.removeprefix('data/')}" if str(value).startswith("data/") else value


def is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def reason(error: Exception) -> str:
    """The innermost words: requests wraps errors three times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(main)

if __name__ == "__main__":
    try:
        app()
    except (ValueError, OSError) as error:
        sys.exit(f"download.py: {' '.join(str(error).split())}")
