"""One name for each person in a whole archive: speakers of all its recordings, joined by voice.

    python recipes/archive/people.py OUT

OUT is what archive.py wrote. Its table `people` says which person each speaker of each recording
is; whoever is heard too shortly is nobody. Voices are biometric data: see docs/safety.md first.
"""

from __future__ import annotations

import json
from typing import Annotated

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from fsspec.core import url_to_fs
from tables import Tables

from pyannote_drz.cli.border import run_command
from pyannote_drz.io.errors import InputError

NEIGHBOURS = 64  # of each speaker that are looked at: a person is found through any of them
LEAST_SPEECH_S = 3.0  # s; embeddings of less are of little use


def join(embeddings: np.ndarray, files: list[str], threshold: float) -> np.ndarray:
    """Who of many speakers are the same person.

    Two clusters are joined, most similar speakers first, if the cosine of their means is above the
    threshold and they share no recording: there, the pipeline has told them apart.

    Parameters
    ----------
    embeddings : (speakers, dim) float32 array
        Unit vectors.
    files : list of str
        The recording of each speaker.
    threshold : float
        Cosine.

    Returns
    -------
    people : (speakers,) array of int
        Numbered by their first speaker.
    """
    count = len(embeddings)
    # Exact: an hour for a million speakers on two cores, and the same whoever counts.
    cosines, near = faiss.knn(
        embeddings, embeddings, min(NEIGHBOURS, count), metric=faiss.METRIC_INNER_PRODUCT
    )
    first, column = np.nonzero(cosines > threshold)
    second = near[first, column]
    order = np.lexsort((second, first, -cosines[first, column]))
    leader, sums = np.arange(count), embeddings.astype(np.float64)
    heard_in = [{file} for file in files]

    def lead(speaker: int) -> int:
        while leader[speaker] != speaker:
            leader[speaker] = leader[leader[speaker]]
            speaker = leader[speaker]
        return speaker

    for edge in order:
        one, other = sorted((lead(first[edge]), lead(second[edge])))
        if one == other or not heard_in[one].isdisjoint(heard_in[other]):
            continue
        norms = np.linalg.norm(sums[one]) * np.linalg.norm(sums[other])
        if sums[one] @ sums[other] > threshold * norms:
            leader[other] = one
            sums[one] += sums[other]
            heard_in[one] |= heard_in[other]
    leaders = np.array([lead(speaker) for speaker in range(count)])
    return np.unique(leaders, return_inverse=True)[1]


def main(
    out: Annotated[str, typer.Argument(help="What archive.py wrote.")],
    threshold: Annotated[
        float, typer.Option(min=-1, max=1, help="Cosine: higher means more people.")
    ] = 0.5,
) -> None:
    """Join speakers over all recordings of an archive."""
    fs, place = url_to_fs(out)
    if not fs.exists(f"{place}/model.json"):
        raise InputError(f"'{out}' is no archive: it has no model.json.")
    tables = Tables(out, json.loads(fs.cat_file(f"{place}/model.json")))
    rows = [row for row in tables.read("speakers") if row["speech"] >= LEAST_SPEECH_S]
    rows.sort(key=lambda row: (row["file"], row["speaker"]))
    if not rows:
        raise InputError(f"'{out}' has no speaker who is heard for {LEAST_SPEECH_S:g} s.")
    embeddings = np.array([row["embedding"] for row in rows], dtype=np.float32)
    people = join(embeddings, [row["file"] for row in rows], threshold)
    table = pa.table(
        {
            "file": [row["file"] for row in rows],
            "speaker": [row["speaker"] for row in rows],
            "person": [f"PERSON_{person:06d}" for person in people],
            "speech": [row["speech"] for row in rows],
        }
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    tables.put("people.parquet", buffer.getvalue().to_pybytes())
    print(
        f"{len(rows)} speakers of {len({row['file'] for row in rows})} recordings are "
        f"{people.max() + 1} people: {tables.path('people.parquet')}"
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    run_command(app, "people.py")
