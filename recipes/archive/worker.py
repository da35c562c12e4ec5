"""A worker of an archive: one pipeline, which hears batches of recordings and writes tables."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from recordings import fetch
from tables import DONE, Tables, part_of

from pyannote_drz.cli.formats import rttm_of
from pyannote_drz.io.audio import Audio
from pyannote_drz.io.errors import InputError, one_line
from pyannote_drz.io.names import uri_of
from pyannote_drz.models.encoders.features import WEIGHTS
from pyannote_drz.pipelines.output import Pix2SeqOutput
from pyannote_drz.pipelines.packaging import load_pretrained

# A recording that is heard alone, and whose worker dies nevertheless: once may be an accident.
MOST_DEATHS = 2


class Heard(NamedTuple):
    """What came of a recording: an output, or an error."""

    name: str
    duration: float = 0.0  # s
    output: Pix2SeqOutput | None = None
    error: str = ""


class Worker:
    """What Ray Data calls with batches; files that are bad are told, and stop nothing.

    Parameters
    ----------
    tables : Tables
    pipeline : Path
        A folder, on every machine.
    device : str
    threads : int

    Raises
    ------
    InputError
        The pipeline here is not the one that the tables are of.
    """

    def __init__(self, tables: Tables, pipeline: Path, device: str, threads: int):
        torch.set_num_threads(threads)
        here = model_of(pipeline)
        if here != tables.model:
            raise InputError(f"a worker has {here}, and the archive {tables.model}.")
        self.tables = tables
        self.pipeline = load_pretrained(pipeline).to(torch.device(device))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Hear a batch and write it down.

        Parameters
        ----------
        batch : dict of (recordings,) array
            `name` and `path`.

        Returns
        -------
        heard : dict of (recordings,) array
            `duration`, in seconds, and `failed`.
        """
        recordings = dict(zip(batch["name"].tolist(), batch["path"].tolist(), strict=True))
        part = part_of(list(recordings))
        # Whoever was here before has died: of one of these recordings, which is now looked for.
        before = self.tables.begun(part)
        if before:
            heard = [h for one in recordings.items() for h in self.alone(part, before, *one)]
        else:
            self.tables.begin(part, [""])
            heard = list(self.hear(recordings))
        self.write(part, heard)
        self.tables.finish(part)
        return {
            "duration": np.array([one.duration for one in heard]),
            "failed": np.array([one.output is None for one in heard]),
        }

    def alone(self, part: str, before: list[str], name: str, path: str) -> Iterator[Heard]:
        """Hear one recording of a batch whose worker has died."""
        if before.count(name) >= MOST_DEATHS:
            yield Heard(name, error=f"the worker that heard it died, {MOST_DEATHS} times.")
            return
        self.tables.begin(part, [*before, name])
        yield from self.hear({name: path})
        self.tables.begin(part, before)

    def hear(self, recordings: dict[str, str]) -> Iterator[Heard]:
        """Hear recordings together, which is faster than one by one."""
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of speech that is hard to hear, nobody reads them
            files = []
            for number, (name, path) in enumerate(recordings.items()):
                try:
                    local = fetch(path, Path(folder, str(number)))
                    duration = Audio().get_duration(local)
                    files.append({"audio": local, "uri": name, "duration": duration})
                except Exception as error:  # whatever its storage or its decoder says
                    yield Heard(name, error=one_line(error))
            done = 0
            try:
                for file, output in self.pipeline(list(files)):
                    done += 1
                    yield Heard(file["uri"], file["duration"], output)
            except Exception:  # of one, which is found by hearing them one by one
                for file in files[done:]:
                    try:
                        output = self.pipeline(file)
                    except Exception as error:
                        yield Heard(file["uri"], error=one_line(error))
                    else:
                        yield Heard(file["uri"], file["duration"], output)

    def write(self, part: str, heard: list[Heard]) -> None:
        """Write a batch: RTTM, tables, and last of all that it is done."""
        heard = sorted(heard)
        good = [one for one in heard if one.output is not None]
        for one in good:
            rttm = rttm_of(one.output.speaker_diarization, uri_of(one.name))
            self.tables.put(f"rttm/{one.name}.rttm", rttm.encode("utf-8", "backslashreplace"))
        rows = {
            "turns": [row for one in good for row in turns_of(one)],
            "speakers": [row for one in good for row in speakers_of(one)],
            "errors": [{"file": o.name, "error": o.error} for o in heard if o.output is None],
            DONE: [
                {
                    "file": one.name,
                    "duration": one.duration,
                    "speakers": len(one.output.speaker_diarization.labels()),
                    "turns": len(one.output.speaker_diarization),
                }
                for one in good
            ],
        }
        for table, some in rows.items():
            if some or table == DONE:
                self.tables.write(table, part, some)


def turns_of(heard: Heard) -> Iterator[dict]:
    """Rows of `turns`; times and confidence as rounded as in RTTM and `diarize --json`."""
    output = heard.output
    for segment, track, label in output.speaker_diarization.itertracks(yield_label=True):
        yield {
            "file": heard.name,
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "speaker": str(label),
            "confidence": round(output.confidence[segment, track], 4),
        }


def speakers_of(heard: Heard) -> Iterator[dict]:
    """Rows of `speakers`."""
    diarization = heard.output.speaker_diarization
    for label, embedding in zip(diarization.labels(), heard.output.speaker_embeddings, strict=True):
        yield {
            "file": heard.name,
            "speaker": str(label),
            "speech": round(diarization.label_duration(label), 3),
            "embedding": embedding.tolist(),
        }


def model_of(pipeline: Path) -> dict[str, str]:
    """Version of this package, and a checksum of all that the answers depend on."""
    checksum = hashlib.sha256()
    for folder, pattern in ((pipeline, "**/*"), (WEIGHTS, "*.safetensors")):
        for path in sorted(path for path in Path(folder).glob(pattern) if path.is_file()):
            checksum.update(path.relative_to(folder).as_posix().encode())
            checksum.update(path.read_bytes())
    return {"version": version("pyannote-drz"), "checksum": checksum.hexdigest()[:16]}
