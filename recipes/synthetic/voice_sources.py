"""Voices of one source, and of all: two sets with as many people and as many seconds of each.

    python recipes/synthetic/voice_sources.py ../shared/data runs/sources

Writes two protocols whose difference is where voices come from and nothing else: `Sources`
(see SOURCES) in runs/sources/sources.yml, to be loaded after the database.yml of the data. People
are drawn, ranked by how long they are heard, and of each pair only as much is kept as the shorter
one has. Their development subset is that of all voices in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
import yaml
from pyannote.core import Annotation
from pyannote.database.util import load_lst, load_rttm

from pyannote_drz.drafts import draft_of

ONE = "commonvoice-6.1"  # 2015 of the 2592 training voices: the only one with as many as all others
SOURCES = ("One", "All")  # Sources.SpeakerDiarization.One and .All


class Voice(NamedTuple):
    """A file of one person."""

    uri: str
    turns: Annotation

    @property
    def seconds(self) -> float:
        return self.turns.get_timeline().duration()


def choose(voices: list[Voice], seed: int) -> dict[str, list[Voice]]:
    """Draw both sets, each ranked by seconds, the longest first.

    Parameters
    ----------
    voices : list of Voice
    seed : int

    Returns
    -------
    sets : dict
        "One": as many of source `ONE` as "All" has. "All": all of the other sources, and as many
        again of `ONE`.

    Raises
    ------
    ValueError
        If `ONE` has no twice as many voices as all others, or there are no others.
    """
    of_one = [voice for voice in voices if voice.uri.startswith(f"{ONE}--")]
    others = [voice for voice in voices if not voice.uri.startswith(f"{ONE}--")]
    if not others or len(of_one) < 2 * len(others):
        raise ValueError(
            f"{ONE} must have at least twice as many voices as all other sources together, which "
            f"have {len(others)}; it has {len(of_one)}."
        )
    rng = np.random.default_rng(seed)
    drawn = [of_one[k] for k in rng.permutation(len(of_one))[: 2 * len(others)]]
    sets = {"One": drawn, "All": others + drawn[: len(others)]}
    return {name: sorted(some, key=lambda v: (-v.seconds, v.uri)) for name, some in sets.items()}


def cut(voice: Voice, seconds: float) -> float:
    """Where a file ends, in seconds, of which so many seconds of speech are kept."""
    left = seconds
    for turn in voice.turns.get_timeline().support():
        if turn.duration >= left:
            return turn.start + left
        left -= turn.duration
    return voice.turns.get_timeline().extent().end


def write(data: Path, into: Path, seed: int = 0) -> tuple[Path, int, float]:
    """Write both protocols.

    Parameters
    ----------
    data : Path
        Folder with voices/train.lst, train.rttm and the development subset.
    into : Path
        Folder of the lists and of sources.yml.
    seed : int, optional

    Returns
    -------
    database : Path
        sources.yml, written last.
    people : int
    hours : float
        Of each set.
    """
    labels = load_rttm(data / "voices" / "train.rttm")
    voices = [
        Voice(uri, labels[uri]) for uri in load_lst(data / "voices" / "train.lst") if uri in labels
    ]
    sets = choose(voices, seed)
    kept_s = [min(a.seconds, b.seconds) for a, b in zip(*sets.values())]
    into.mkdir(parents=True, exist_ok=True)
    voices_of, of_set = (data / "voices").resolve(), {}
    for name, some in sets.items():
        lines = {
            "lst": [voice.uri for voice in some],
            "uem": [f"{v.uri} 1 0.000 {cut(v, s):.3f}" for v, s in zip(some, kept_s)],
        }
        for suffix, content in lines.items():
            with draft_of(into / f"{name}.{suffix}") as part:
                part.write_text("\n".join(sorted(content)) + "\n")
        of_set[name] = {
            "scope": "global",
            "train": {
                "uri": str((into / f"{name}.lst").resolve()),
                "annotation": str(voices_of / "train.rttm"),
                "annotated": str((into / f"{name}.uem").resolve()),
            },
            "development": {
                "uri": str(voices_of / "development.lst"),
                "annotation": str(voices_of / "development.rttm"),
                "annotated": str(voices_of / "development.uem"),
            },
        }
    content = {
        "Databases": {"Sources": str(voices_of / "audio" / "{uri}.opus")},
        "Protocols": {"Sources": {"SpeakerDiarization": of_set}},
    }
    database = into / "sources.yml"
    with draft_of(database) as part:
        part.write_text(yaml.safe_dump(content, sort_keys=False))
    return database, len(kept_s), sum(kept_s) / 3600


def main(data: Annotated[Path, typer.Argument(exists=True, file_okay=False)], into: Path) -> None:
    """Write both protocols, and tell how large they are."""
    database, people, hours = write(data, into)
    print(
        f"{database}: Sources.SpeakerDiarization.One and .All, {people} people, {hours:.2f} h each"
    )


if __name__ == "__main__":
    typer.run(main)
