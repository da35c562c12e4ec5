"""Tables of an archive: what was heard, in Parquet, in parts that are whole or not there.

    OUT/model.json       what it is heard with; a run that goes on must have the same
    OUT/rttm/…           an RTTM for each recording
    OUT/turns/           who spoke when
    OUT/speakers/        an embedding of each speaker of each recording
    OUT/errors/          recordings that cannot be heard, and why
    OUT/heard/           recordings that are done; a part is written last of all of its batch's
    OUT/begun/           batches under way

One run writes at a time. Each folder is one table to whatever reads Parquet:
`pandas.read_parquet("OUT/turns")`.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from pyannote_drz.io.errors import InputError
from pyannote_drz.models.encoders.campplus import EMBEDDING_DIM

MODEL = [("version", pa.string()), ("checksum", pa.string())]  # of every row
SCHEMAS = {
    "turns": pa.schema(
        [
            ("file", pa.string()),
            ("start", pa.float64()),  # s
            ("end", pa.float64()),
            ("speaker", pa.string()),
            ("confidence", pa.float32()),
            *MODEL,
        ]
    ),
    "speakers": pa.schema(
        [
            ("file", pa.string()),
            ("speaker", pa.string()),
            ("speech", pa.float64()),  # s
            ("embedding", pa.list_(pa.float32(), EMBEDDING_DIM)),
            *MODEL,
        ]
    ),
    "errors": pa.schema([("file", pa.string()), ("error", pa.string()), *MODEL]),
    "heard": pa.schema(
        [
            ("file", pa.string()),
            ("duration", pa.float64()),  # s
            ("speakers", pa.int32()),
            ("turns", pa.int32()),
            *MODEL,
        ]
    ),
}
DONE = "heard"  # a part of any table counts where this one has it, too
DRAFT = "_"  # readers of Parquet leave out files whose names begin so


class Tables:
    """Tables in a folder, of this machine or wherever fsspec reaches.

    Parameters
    ----------
    root : str
    model : dict of str
        Version and checksum: the columns of `MODEL`.
    """

    def __init__(self, root: str, model: dict[str, str]):
        self.fs, self.root = url_to_fs(root)
        self.model = model

    def open(self, retry: bool = False) -> set[str]:
        """Make the tables, or go on with them; what a killed run has left half done is removed.

        Parameters
        ----------
        retry : bool, optional
            Forget errors: these recordings are not done.

        Returns
        -------
        done : set of str
            Recordings that are in the tables.

        Raises
        ------
        InputError
            What is there is no archive, or was heard with another model.
        """
        note = self.path("model.json")
        if self.fs.exists(note):
            before = json.loads(self.fs.cat_file(note))
            if before != self.model:
                was, now = (f"{m['version']} ({m['checksum']})" for m in (before, self.model))
                raise InputError(
                    f"'{self.root}' was heard with {was}, and this is {now}: name another folder."
                )
        elif self.fs.exists(self.root) and self.fs.ls(self.root, detail=False):
            raise InputError(f"'{self.root}' holds something else than an archive.")
        else:
            self.put("model.json", json.dumps(self.model).encode())
        for name in ("begun", *(["errors"] if retry else [])):
            if self.fs.exists(self.path(name)):
                self.fs.rm(self.path(name), recursive=True)
        finished = {posixpath.basename(path) for path in self.parts(DONE)}
        for name in SCHEMAS:
            for path in self.parts(name):
                if posixpath.basename(path) not in finished:  # a draft, or one of a batch not done
                    self.fs.rm_file(path)
        return {row["file"] for name in (DONE, "errors") for row in self.read(name, ["file"])}

    def path(self, name: str) -> str:
        return posixpath.join(self.root, name)

    def parts(self, table: str) -> list[str]:
        """Paths of the parts of a table, and of its drafts."""
        folder = self.path(table)
        return self.fs.find(folder) if self.fs.exists(folder) else []

    def read(self, table: str, columns: list[str] | None = None) -> list[dict]:
        """Rows of a table."""
        if not self.parts(table):
            return []
        return pq.read_table(self.path(table), columns=columns, filesystem=self.fs).to_pylist()

    def write(self, table: str, part: str, rows: list[dict]) -> None:
        """Write a part of a table, of rows without the model's columns."""
        buffer = pa.BufferOutputStream()
        rows = [row | self.model for row in rows]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[table]), buffer)
        self.put(f"{table}/{part}.parquet", buffer.getvalue().to_pybytes())

    def put(self, name: str, content: bytes) -> None:
        """Write a file, all of it or nothing."""
        folder, name = posixpath.split(self.path(name))
        self.fs.makedirs(folder, exist_ok=True)
        draft = posixpath.join(folder, DRAFT + name)
        self.fs.pipe_file(draft, content)
        self.fs.mv(draft, posixpath.join(folder, name))

    # ---- what is under way: who takes a batch over from a worker that died is told here ---------

    def begun(self, part: str) -> list[str]:
        """What was begun of a batch that nobody finished: see `begin`."""
        path = self.path(f"begun/{part}.json")
        return json.loads(self.fs.cat_file(path)) if self.fs.exists(path) else []

    def begin(self, part: str, begun: list[str]) -> None:
        """Note that a batch is begun: "" stands for all of it, a name for one recording.

        It counts as not done from now on, if it was done before.
        """
        self.put(f"begun/{part}.json", json.dumps(begun).encode())
        done = self.path(f"{DONE}/{part}.parquet")
        if self.fs.exists(done):
            self.fs.rm_file(done)

    def finish(self, part: str) -> None:
        """A batch is done, and so is its note."""
        self.fs.rm_file(self.path(f"begun/{part}.json"))


def part_of(names: Sequence[str]) -> str:
    """Name of the part that some recordings make: the same whoever writes it, and how often."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:20]
