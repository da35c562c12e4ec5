"""Material of conversations: voices of pyannote.database protocols, scripts in RTTM files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..simulation import VoiceFile

if TYPE_CHECKING:
    from pyannote.database.protocol import SpeakerDiarizationProtocol

# Where decoded voices are kept, so that the next run starts in seconds.
CACHE = Path(os.environ.get("PYANNOTE_DRZ_CACHE", "~/.cache/pyannote_drz")).expanduser()

SUBSETS = ("train", "development", "test")


def protocol_voices(protocol: SpeakerDiarizationProtocol, subset: str) -> list[VoiceFile]:
    """Voices of one subset of a protocol: at least two people, each heard alone somewhere.

    Raises
    ------
    ValueError
        There is no such subset, its labels have file scope, nobody is heard alone, or one person
        only is.
    FileNotFoundError
        Audio is missing.
    """
    name = protocol.name
    if subset not in SUBSETS:
        raise ValueError(f"subset must be {', '.join(SUBSETS[:-1])} or test, not '{subset}'.")
    try:
        files = list(getattr(protocol, subset)())
    except (AttributeError, NotImplementedError):
        raise ValueError(f"protocol {name} has no {subset} subset.") from None
    voices = list(voice_files(files))
    speakers = {voice.speaker for voice in voices}
    if not speakers and files and all(file["scope"] == "file" for file in files):
        raise ValueError(
            f"protocol {name} ({subset}) has labels of file scope, which do not tell people apart: "
            f"there are no voices to make conversations of."
        )
    if not speakers:
        raise ValueError(
            f"protocol {name} ({subset}) has no single-speaker speech: there are no voices to make "
            f"conversations of."
        )
    if len(speakers) == 1:
        raise ValueError(
            f"protocol {name} ({subset}) has one speaker only ({speakers.pop()}): conversations "
            f"take two."
        )
    return voices


def voice_files(files: Iterable[Mapping]) -> Iterator[VoiceFile]:
    """Who is heard alone, and where.

    Parameters
    ----------
    files : iterable of ProtocolFile
        Labels of file scope are left out: they do not tell people apart.

    Yields
    ------
    file : VoiceFile
        One for each speaker of each file. Its source is the file's "source" if it has one, the
        part of the URI before "--" if there is one, or else the database.
    """
    for file in files:
        scope = file["scope"]
        if scope == "file":
            continue
        annotation = file["annotation"].crop(file["annotated"])
        labels = annotation.labels()
        overlap = annotation.get_overlap() if len(labels) > 1 else None
        source = file.get("source") or _source(file["uri"], file["database"])
        for label in labels:
            alone = annotation.label_timeline(label)
            if overlap:
                alone = alone.extrude(overlap)
            regions = [(segment.start, segment.end) for segment in alone]
            if not regions:
                continue
            if not Path(file["audio"]).is_file():
                raise FileNotFoundError(f"audio of {file['uri']} is missing: {file['audio']}.")
            speaker = label if scope == "global" else f"{file['database']}|{label}"
            yield VoiceFile(file["audio"], speaker, source, regions)


def _source(uri: str, database: str) -> str:
    prefix, dashes, _ = uri.partition("--")
    return prefix if dashes else database


def rttm_paths(scripts: str | Path | Sequence[str | Path]) -> list[Path]:
    """RTTM files, those of folders included, sorted.

    Raises
    ------
    FileNotFoundError
        A path does not exist, or a folder holds no RTTM file.
    """
    paths = []
    for path in [scripts] if isinstance(scripts, (str, Path)) else scripts:
        found = sorted(Path(path).glob("**/*.rttm")) if Path(path).is_dir() else [Path(path)]
        if not found or not found[0].is_file():
            raise FileNotFoundError(f"no scripts (RTTM) at {path}.")
        paths += found
    return paths
