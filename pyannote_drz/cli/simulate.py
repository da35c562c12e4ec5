"""`pyannote-drz simulate`: conversations made of the single voices of a protocol, as files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import sys
import time
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from ..io.errors import InputError, one_line

if TYPE_CHECKING:  # what takes seconds to import is imported by the functions that need it
    from ..simulation import SimulationConfig, TurnSource
    from ..simulation.writing.corpus import Corpus, Ingredients


MOST_CONVERSATIONS = 10_000_000


class Subset(str, Enum):
    """Subset of a protocol."""

    train = "train"
    development = "development"
    test = "test"


class Turns(str, Enum):
    """Where scripts of turns come from."""

    random = "random"
    replay = "replay"
    fitted = "fitted"


class Format(str, Enum):
    """Audio formats."""

    flac = "flac"
    opus = "opus"
    wav = "wav"


def simulate(
    protocol: Annotated[
        str, Argument(help="Single voices: a protocol such as Voices.SpeakerDiarization.Voices.")
    ],
    out: Annotated[Path, Argument(help="Folder to write. An unfinished one is continued.")],
    hours: Annotated[float, Option(help="Hours of audio that the subset shall have.")] = 1.0,
    duration: Annotated[float, Option(help="Of every conversation, in seconds.")] = 30.0,
    subset: Annotated[Subset, Option(help="Subset whose voices speak.")] = Subset.train,
    seed: Annotated[int, Option(min=0, help="Same seed, same bytes.")] = 0,
    registry: Annotated[
        Path | None, Option(exists=True, dir_okay=False, help="database.yml of the protocol.")
    ] = None,
    turns: Annotated[
        Turns | None,
        Option(
            help="Who speaks when: plain random turns, --scripts replayed, or a model fitted on "
            "--scripts (on AMI without). Defaults to replay with --scripts, else to fitted."
        ),
    ] = None,
    scripts: Annotated[
        list[Path] | None, Option(help="RTTM file or folder; may come several times.")
    ] = None,
    min_speakers: Annotated[
        int | None, Option(min=1, max=20, help="Fewest speakers of a conversation.")
    ] = None,
    max_speakers: Annotated[
        int | None,
        Option(
            min=1,
            max=20,
            help="Most speakers. Defaults to 4 (random), 8 (else); only random turns take more.",
        ),
    ] = None,
    noise: Annotated[
        Path | None, Option(help="CSV of recorded noise: file, start, dur, class, split.")
    ] = None,
    config: Annotated[
        Path | None,
        Option(exists=True, dir_okay=False, help="YAML of SimulationConfig's parameters."),
    ] = None,
    audio_format: Annotated[Format, Option("--format")] = Format.flac,
    jobs: Annotated[
        int | None, Option(min=1, help="Processes. Defaults to the number of cores.")
    ] = None,
    cache: Annotated[
        Path | None, Option(help="Folder of decoded voices. Defaults to ~/.cache/pyannote_drz.")
    ] = None,
    preview: Annotated[
        bool, Option("--preview", help="Only write OUT/preview/index.html: ten examples.")
    ] = False,
) -> None:
    """Write simulated conversations that pyannote.database loads as a protocol.

    OUT gets audio, RTTM, UEM, lists and a database.yml. One run writes one subset; runs for other
    subsets add to the same folder. Files are the same for the same options, whatever the number of
    jobs. An interrupted run is continued by running it again, and so is a finished one with more
    hours.
    """
    if not (hours > 0 and duration > 0):
        raise InputError(f"hours and duration must be positive, not {hours} and {duration}.")
    if hours * 3600 / duration > MOST_CONVERSATIONS:
        raise InputError(
            f"{hours:g} h in conversations of {duration:g} s are more than "
            f"{MOST_CONVERSATIONS} of them."
        )
    out = out.expanduser().resolve()
    ingredients, corpus = prepare(
        protocol, out, duration, subset.value, seed, registry, turns, scripts,
        (min_speakers, max_speakers), noise, config, audio_format.value, cache,
    )  # fmt: skip
    if preview:
        from .preview import write_preview

        print(write_preview(corpus, ingredients.simulator(), protocol))
        return
    from ..simulation.writing.corpus import num_conversations

    make(corpus, ingredients, num_conversations(hours, duration), jobs or num_cores())


def prepare(
    protocol: str,
    out: Path,
    duration_s: float,
    subset: str,
    seed: int,
    registry_yml: Path | None,
    turns: Turns | None,
    scripts: list[Path] | None,
    speakers: tuple[int | None, int | None],
    noise: Path | None,
    config_yml: Path | None,
    file_format: str,
    cache: Path | None,
) -> tuple[Ingredients, Corpus]:
    """Find all that conversations are made of.

    Raises
    ------
    ValueError, FileNotFoundError
        If an option or the protocol is bad.
    """
    from ..simulation.mixing import MAX_DURATION_S
    from ..simulation.writing.corpus import Corpus, Ingredients
    from ..tasks.material import CACHE, protocol_voices

    if duration_s > MAX_DURATION_S:
        raise InputError(f"duration must be at most {MAX_DURATION_S:g} s, not {duration_s:g}.")
    config = load_config(config_yml)
    source, told = make_turns(turns, scripts, *speakers, duration_s)
    of_voices = load_protocol(protocol, registry_yml)
    voices = protocol_voices(of_voices, subset)
    scopes = {file["scope"] for file in getattr(of_voices, subset)()}
    if noise is not None and not noise.is_file():
        raise InputError(f"noise manifest '{noise}' is missing.")
    ingredients = Ingredients(
        voices,
        source,
        config,
        CACHE if cache is None else cache.expanduser().resolve(),
        noise,
        "train" if subset == "train" else "test",
    )
    known = [(v.speaker, v.source, Path(v.path).name, v.regions) for v in voices]
    config = dataclasses.asdict(config)
    del config["prompts"]  # a corpus has none
    made_with = {
        "protocol": protocol,
        "voices": digest(repr(sorted(known)).encode()),
        **told,
        "noise": None if noise is None else digest(noise.read_bytes()),
        "configuration": config,
    }
    scope = "global" if scopes == {"global"} else "database"
    return ingredients, Corpus(out, subset, seed, duration_s, file_format, scope, made_with)


def load_config(path: Path | None) -> SimulationConfig:
    """Configuration of the simulator from YAML.

    Raises
    ------
    ValueError
        If the file is no YAML mapping, or has an unknown parameter or a bad value.
    """
    import yaml

    from ..simulation import SimulationConfig

    if path is None:
        return SimulationConfig()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        if not isinstance(values, dict):
            raise InputError("it must hold parameters and their values, as in 'bleed_share: 0.5'.")
        return SimulationConfig.from_dict(values)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: {one_line(error)}") from error


def make_turns(
    kind: Turns | None,
    scripts: list[Path] | None,
    min_speakers: int | None,
    max_speakers: int | None,
    duration_s: float,
) -> tuple[TurnSource, dict]:
    """Source of scripts, and what to remember of it.

    Raises
    ------
    ValueError, FileNotFoundError
        If options contradict each other, or there are no scripts of that length.
    """
    from ..simulation import BoundedTurns, RandomTurns, ReplayedTurns, read_rttm
    from ..simulation.config import MAX_SPEAKERS
    from ..simulation.turn_taking.fitted import FittedTurns
    from ..simulation.turn_taking.fitting import fit_turn_model
    from ..tasks.material import rttm_paths

    if kind is None:
        kind = Turns.replay if scripts else Turns.fitted
    if kind == (Turns.random if scripts else Turns.replay):
        raise InputError(
            f"--turns {kind.value} and {'no ' * (not scripts)}--scripts do not go together."
        )
    meetings = read_rttm(rttm_paths(scripts)) if scripts else None
    low = 1 if min_speakers is None else min_speakers
    high = max_speakers
    if high is None:
        high = max(low, 4) if kind == Turns.random else MAX_SPEAKERS
    if low > high:
        raise InputError(f"min-speakers ({low}) must not be above max-speakers ({high}).")
    told = {"turns": kind.value, "speakers": [min_speakers, max_speakers]}
    if meetings is not None:
        told["scripts"] = digest(repr(meetings).encode())
    if kind == Turns.replay:
        source = ReplayedTurns(meetings, high)
        if duration_s > source.longest_s:
            raise InputError(
                f"no script lasts {duration_s:g} s: the longest lasts {source.longest_s:.0f} s."
            )
    elif kind == Turns.random:
        source = RandomTurns(low, high)
    elif meetings is None:
        source = FittedTurns.ami(high)
    else:
        source = FittedTurns(fit_turn_model(meetings), high)
    if min_speakers is not None:
        source = BoundedTurns(source, low, high)
    return source, told


def load_protocol(name: str, registry_yml: Path | None):
    """Protocol of a registered database, its audio found.

    Raises
    ------
    ValueError
        It has not been registered.
    """
    from pyannote.database import registry

    from .protocols import get_protocol, load_database

    if registry_yml is not None:
        load_database(registry_yml)
    # said of every file whose annotation is made for its audio: nothing to do about it
    warnings.filterwarnings("ignore", "Existing precomputed key .* has been modified")
    known = sorted(registry)
    if name not in known:
        among = f"choose one of {', '.join(known)}" if known else "--registry names none"
        raise InputError(f"protocol {name} is unknown: {among}.")
    return get_protocol(name)


def make(corpus: Corpus, ingredients: Ingredients, count: int, jobs: int) -> None:
    """Make the conversations that are missing, and tell how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from ..simulation.writing.workers import make_all

    ingredients.simulator()  # voices are decoded once, and bad input is told, before workers start
    missing = corpus.begin(count)
    speech_s = reused_s = 0.0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"), Remaining(),
    ]  # fmt: skip
    console = Console(stderr=True)
    done, began = count - len(missing), time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(corpus.subset, total=count, completed=done, speed="")
        try:
            for made in make_all(corpus, ingredients, missing, jobs):
                done += 1
                speech_s, reused_s = speech_s + made.speech_s, reused_s + made.reused_s
                audio_s = (done - count + len(missing)) * corpus.duration_s
                speed = audio_s / (time.monotonic() - began)
                progress.update(bar, completed=done, speed=f"{speed:.0f} x real time")
        except KeyboardInterrupt:
            progress.stop()
            there = count - len(corpus.begin(count))
            print(
                f"{there} of {count} conversations are there: the same command goes on.",
                file=sys.stderr,
            )
            raise typer.Exit(130) from None
    corpus.finish(count)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{count} conversations, {count * corpus.duration_s / 3600:.2f} h, of which "
        f"{len(missing)} were made now, in {minutes:.1f} min by {min(jobs, len(missing))} jobs."
    )
    if speech_s:
        print(f"Of their speech, {reused_s / speech_s:.1%} had to be heard twice.")
    print(f"{corpus.protocol} ({corpus.subset}) is in {corpus.folder / 'database.yml'}.")


def digest(content: bytes) -> str:
    """Short fingerprint of what conversations depend on."""
    return hashlib.sha256(content).hexdigest()[:16]


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
