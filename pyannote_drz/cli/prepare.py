"""`pyannote-drz prepare`: recordings and labels become a protocol of pyannote.database.

OUT/
database.yml              protocol NAME.SpeakerDiarization.Own; audio stays where it is
train.lst development.lst
rttm/URI.rttm             turns, whatever format they came in
audio/URI.wav             links to recordings whose names a list could not have, see names.py
uem/URI.uem               what of a recording is annotated: all, where no UEM says otherwise
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Argument, Option

from ..io.atomic import atomic_write
from ..io.errors import InputError, one_line
from ..io.names import field_of, uri_of

if TYPE_CHECKING:  # what takes seconds to import is imported by the functions that need it
    from pyannote.core import Annotation, Timeline

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3")
# Extensions that many other files have: read only beside a recording of that name.
COMMON = (".txt", ".json")
SLACK_S = 0.5  # a last turn may outlast its recording by that much, and is cut: labels are by hand
# More "people" in one recording are words, or labels of something else; of the corpora that
# diarization is scored on, VoxConverse has the most: 21 in one recording (arXiv:2007.01216).
MOST_PEOPLE = 30
# What pyannote.database takes for placeholders and patterns in paths.
PATTERN = re.compile(r"[{}*]")
DRAFT = re.compile(r"\..*\.part")  # of somebody who was killed


def prepare(
    folder: Annotated[
        Path,
        Argument(exists=True, file_okay=False, help="Recordings and labels, subfolders included."),
    ],
    out: Annotated[
        Path | None, Option(help="Folder to write, new or empty. Defaults to FOLDER/protocol.")
    ] = None,
    name: Annotated[
        str | None, Option(help="Of the database. Defaults to the name of FOLDER.")
    ] = None,
    development: Annotated[
        float, Option(min=0, max=0.9, help="Share of recordings to validate on.")
    ] = 0.2,
    seed: Annotated[int, Option(min=0, help="Of the choice of these.")] = 0,
    same_names: Annotated[
        bool,
        Option(
            "--same-names",
            help="A name is one person in all recordings. Else, nobody is in two recordings.",
        ),
    ] = False,
    skip_bad: Annotated[
        bool, Option("--skip-bad", help="Leave out what has a problem, rather than stop.")
    ] = False,
) -> None:
    """Make a protocol to train and evaluate on of recordings and of who speaks when in them.

    Labels may be RTTM, label tracks of Audacity (.txt), Praat's TextGrid, ELAN's EAF, or JSON of
    pyannote-drz, pyannote.audio, WhisperX and NeMo (manifests, too), in files called as the
    recording or, where the format can say so, of any name. A UEM tells which part is annotated.
    """
    from ..simulation.writing.corpus import database_name

    folder = folder.expanduser().resolve()
    out = (folder / "protocol" if out is None else out).expanduser().resolve()
    name = database_name(folder) if name is None else name
    if name != database_name(Path(name)):
        raise InputError(f"--name must be letters, digits, '-' and '_', not '{name}'.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"'{out}' is there already: remove it, or choose another --out.")
    if found := PATTERN.search(str(out)):
        raise InputError(
            f"'{out}' holds '{found[0]}', a pattern to database.yml: choose another --out."
        )
    recordings, problems, notes = find(folder, out)
    for line in notes + problems:
        say(line)
    if problems and not skip_bad:
        raise InputError(
            f"nothing was written, because of {len(problems)} problems above: repair them, or "
            f"leave these files out with --skip-bad."
        )
    subsets = split(recordings, development, seed)
    if not same_names:
        recordings = [
            recording._replace(
                annotation=recording.annotation.rename_labels(
                    mapping={who: f"{recording.uri}/{who}" for who in recording.annotation.labels()}
                )
            )
            for recording in recordings
        ]
    write_protocol(out, folder, name, recordings, subsets)
    tell(recordings, subsets, same_names)
    print(f"{name}.SpeakerDiarization.Own is in {out / 'database.yml'}.")


class Recording(NamedTuple):
    """A recording, and who speaks when in it.

    uri : str
    path : Path
    duration_s : float
    annotation : Annotation
    annotated : Timeline
    """

    uri: str
    path: Path
    duration_s: float
    annotation: Annotation
    annotated: Timeline


# ---- what is there ------------------------------------------------------------------------------


def find(folder: Path, out: Path) -> tuple[list[Recording], list[str], list[str]]:
    """Recordings with their labels.

    Returns
    -------
    recordings : list of Recording
        By uri; those without problems.
    problems, notes : list of str
        What is wrong, and what was put right; a line each.
    """
    from ..io.columns import read_uem
    from .reading import READERS, read_annotations

    problems, notes = [], []
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and out not in p.parents)
    paths = [
        p for p in paths if not any(DRAFT.fullmatch(part) for part in p.relative_to(folder).parts)
    ]
    audio: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() in AUDIO:
            audio.setdefault(uri_of(path), []).append(path)
    labels: dict[str, list[tuple[Path, Annotation]]] = {}
    annotated: dict[str, Timeline] = {}
    for path in paths:
        kind = path.suffix.lower()
        if kind == ".uem":
            try:
                annotated.update(read_uem(path))
            except (ValueError, OSError) as error:
                problems.append(one_line(error))
        if kind not in READERS or (
            kind in COMMON and uri_of(path) not in audio and not manifest(path)
        ):
            continue
        try:
            found = read_annotations(path)
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
            continue
        if not any(found.values()):
            problems.append(f"'{path}' holds no turn.")
        if len(found) == 1 and uri_of(path) in audio and not set(found) & set(audio):
            [(uri, annotation)] = found.items()
            notes.append(f"'{path}' calls its recording '{uri}': taken for '{uri_of(path)}'.")
            found = {uri_of(path): annotation}
        for uri, annotation in found.items():
            there = [other.rename_tracks() for _, other in labels.get(uri, [])]
            if annotation and annotation.rename_tracks() not in there:  # said once is enough
                labels.setdefault(uri, []).append((path, annotation))
    for uri in sorted(set(labels) - set(audio)):
        problems.append(f"'{labels[uri][0][0]}' is of '{uri}', and there is no such recording.")
    recordings = []
    for uri, same in sorted(audio.items()):
        try:
            recording, note = check(uri, same, labels.get(uri, []), annotated.get(uri))
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
        else:
            recordings.append(recording)
            notes += note
    return recordings, problems, notes


def manifest(path: Path) -> bool:
    """Is it a manifest of NeMo, which names recordings inside?"""
    with open(path, "rb") as file:
        return b'"audio_filepath"' in file.read(4096)


def check(
    uri: str,
    audio: list[Path],
    labels: list[tuple[Path, Annotation]],
    annotated: Timeline | None,
) -> tuple[Recording, list[str]]:
    """One recording, fit to learn from, and notes on what was put right.

    Raises
    ------
    InputError
        It is not fit.
    """
    from pyannote.core import Segment, Timeline

    from ..io.audio import Audio

    path = audio[0]
    if len(audio) > 1:
        raise InputError(f"two recordings are called '{uri}': {audio[0]} and {audio[1]}.")
    if not labels:
        raise InputError(f"nothing tells who speaks in '{path}'.")
    if len(labels) > 1:
        raise InputError(f"both '{labels[0][0]}' and '{labels[1][0]}' tell who speaks in '{uri}'.")
    try:
        duration_s = Audio().get_duration(path)
    except ValueError as error:
        said = "is empty" if "no sample" in str(error) else f"cannot be read: {one_line(error)}"
        raise InputError(f"'{path}' {said.rstrip('.')}.") from error
    [(source, annotation)] = labels
    whole, extent, notes = Segment(0, duration_s), annotation.get_timeline().extent(), []
    if extent.end > duration_s + SLACK_S:
        raise InputError(
            f"'{source}' has turns until {extent.end:.1f} s, and '{path}' ends at "
            f"{duration_s:.1f} s."
        )
    if extent.end > duration_s:
        notes.append(f"'{source}': turns were cut at the end of the recording, {duration_s:.3f} s.")
    # Turns of one person that overlap or touch are one.
    annotation = annotation.crop(whole).support()
    people = annotation.labels()
    if len(people) > MOST_PEOPLE:
        raise InputError(
            f"'{source}' names {len(people)} people, such as {people[0]!r} and {people[1]!r}: are "
            f"these names?"
        )
    annotated = Timeline([whole]) if annotated is None else annotated.support().crop(whole)
    if not annotation.crop(annotated):
        raise InputError(f"nobody speaks in the part of '{path}' that is annotated.")
    return Recording(uri, path, duration_s, annotation, annotated), notes


# ---- what is made of it -------------------------------------------------------------------------


def split(recordings: list[Recording], development: float, seed: int) -> dict[str, list[str]]:
    """Uris to train and to validate on; recordings are not cut.

    Raises
    ------
    InputError
        There are too few.
    """
    import numpy as np

    needed = 2 if development else 1
    if len(recordings) < needed:
        raise InputError(
            f"{len(recordings)} recordings are left, and it takes {needed}: cut a long one in two."
        )
    count = max(1, round(development * len(recordings))) if development else 0
    order = np.random.default_rng(seed).permutation(len(recordings))
    chosen = set(order[: min(count, len(recordings) - 1)].tolist())
    subsets: dict[str, list[str]] = {"train": [], "development": []}
    for number, recording in enumerate(recordings):
        subsets["development" if number in chosen else "train"].append(recording.uri)
    return {subset: uris for subset, uris in subsets.items() if uris}


def write_protocol(
    out: Path, folder: Path, name: str, recordings: list[Recording], subsets: dict[str, list[str]]
) -> None:
    """Write `out`, all of it or nothing."""
    from .formats import rttm_of

    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as draft:
        for part in ("rttm", "uem"):
            (draft / part).mkdir(parents=True)
        for uri, _, _, annotation, annotated in recordings:
            name_there = field_of(uri)
            text(draft / "rttm" / f"{name_there}.rttm", rttm_of(annotation, uri))
            lines = [f"{name_there} 1 {start:.6f} {end:.6f}\n" for start, end in annotated]
            text(draft / "uem" / f"{name_there}.uem", "".join(lines))
        for recording in recordings:
            if is_linked(recording):
                link(recording, draft / "audio", out / "audio")
        for subset, uris in subsets.items():
            text(draft / f"{subset}.lst", "".join(f"{field_of(uri)}\n" for uri in uris))
        text(draft / "database.yml", database_yml(out, folder, name, recordings, subsets))


def is_linked(recording: Recording) -> bool:
    """Whether a protocol could not name the recording where it is."""
    path = recording.path
    return field_of(recording.uri) != path.stem or bool(PATTERN.search(str(path)))


def link(recording: Recording, folder: Path, later: Path) -> None:
    """Link a recording into a folder that will be called `later`; copy it where links are not."""
    folder.mkdir(exist_ok=True)
    there = folder / f"{field_of(recording.uri)}{recording.path.suffix}"
    try:
        there.symlink_to(os.path.relpath(recording.path, later))
    except OSError:  # Windows asks for a permission
        shutil.copyfile(recording.path, there)


def database_yml(
    out: Path, folder: Path, name: str, recordings: list[Recording], subsets: dict[str, list[str]]
) -> str:
    """What pyannote.database reads; audio by relative paths where `out` is inside `folder`."""
    import yaml

    inside = folder in out.parents
    audio = set()
    for recording in recordings:
        path = recording.path
        place = os.path.relpath(path.parent, out) if inside else path.parent
        audio.add(f"{'audio' if is_linked(recording) else place}/{{uri}}{path.suffix}")
    files = {"annotation": "rttm/{uri}.rttm", "annotated": "uem/{uri}.uem"}
    protocol = {
        "scope": "database",
        **{subset: {"uri": f"{subset}.lst", **files} for subset in subsets},
    }
    content = {
        "Databases": {name: sorted(audio)},
        "Protocols": {name: {"SpeakerDiarization": {"Own": protocol}}},
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def tell(recordings: list[Recording], subsets: dict[str, list[str]], same_names: bool) -> None:
    """What there is to learn from, and what is odd about it."""
    from ..evaluation.overlaps import overlap_of

    people = {uri: set(annotation.labels()) for uri, _, _, annotation, _ in recordings}
    counts = ", ".join(f"{len(uris)} {subset}" for subset, uris in subsets.items())
    total_s = sum(recording.duration_s for recording in recordings)
    speech_s = sum(r.annotation.get_timeline().support().duration() for r in recordings)
    overlap_s = sum(overlap_of(r.annotation).duration() for r in recordings)
    print(
        f"{len(recordings)} recordings ({counts}), {total_s / 3600:.2f} h, "
        f"{speech_s / 3600:.2f} h of speech, {overlap_s / speech_s:.1%} of it overlapped, "
        f"{len(set.union(*people.values()))} people."
    )
    for subset, uris in subsets.items():
        if all(len(people[uri]) == 1 for uri in uris):
            say(f"{subset}: one person in every recording. These are voices, no conversations.")
    if same_names and "development" in subsets:
        both = set.intersection(
            *(set.union(*(people[uri] for uri in uris)) for uris in subsets.values())
        )
        if both:
            say(
                f"{len(both)} people, such as {min(both)!r}, are in train and in development: "
                f"voices that were trained on are easier."
            )


def text(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def say(line: str) -> None:
    """What is no result goes to the other stream."""
    print(" ".join(line.split()), file=sys.stderr, flush=True)
