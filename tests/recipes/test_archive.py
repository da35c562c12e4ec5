"""An archive: every recording once, whoever dies; what cannot be heard is told, stops nobody."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from pyannote_drz.demo import find_sample

import pyannote_drz
from pyannote_drz.io.errors import InputError
from pyannote_drz.pipelines.packaging import load_pretrained

pytest.importorskip("pyarrow", reason="needs pyannote-drz[archive]")
import pandas as pd

RATE = 16000


@pytest.fixture(scope="module")
def archive(repository):
    """The recipe's modules, which find each other as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository / "recipes" / "archive")
        import recordings
        import tables
        import worker

        yield recordings, tables, worker
    for name in ("recordings", "tables", "worker", "people"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four seconds each of a call, in two folders, and two files that are no audio."""
    folder = tmp_path_factory.mktemp("recordings")
    samples, rate = soundfile.read(find_sample()[0])
    for k, name in enumerate(("a.wav", "b.flac", "more/a.wav", "more/c.wav")):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, samples[5 * k * rate : (5 * k + 4) * rate], rate)
    (folder / "empty.wav").touch()
    (folder / "more" / "text.mp3").write_text("not a sound")
    return folder


GOOD, BAD = ["a.wav", "b.flac", "more/a.wav", "more/c.wav"], ["empty.wav", "more/text.mp3"]


@pytest.fixture(scope="module")
def expected(folder):
    """What the pipeline says of each file, as rows of the table."""
    pipeline, rows = load_pretrained(pyannote_drz.PRETRAINED), []
    for name in GOOD:
        output = pipeline(folder / name)
        for segment, _, who in output.speaker_diarization.itertracks(yield_label=True):
            rows.append((name, round(segment.start, 3), round(segment.end, 3), who))
    assert rows
    return sorted(rows)


@pytest.fixture(scope="module")
def model(archive):
    return archive[2].model_of(pyannote_drz.PRETRAINED)


def heard(out) -> list[tuple]:
    turns = pd.read_parquet(out / "turns")
    return sorted(turns[["file", "start", "end", "speaker"]].itertuples(index=False, name=None))


# ---- what is in an archive ----------------------------------------------------------------------


def test_folder(archive, folder):
    found = archive[0].find_recordings(str(folder))
    assert list(found) == sorted(GOOD + BAD)
    assert archive[0].fetch(found["a.wav"], folder / "nowhere") == folder / "a.wav"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table(archive, folder, tmp_path, kind):
    """Relative paths begin where the table is; others are called by all of their path."""
    rows = pd.DataFrame({"path": ["b.wav", "x/../a.wav", str(folder / "a.wav"), "b.wav"]})
    table = tmp_path / f"table.{kind}"
    rows.to_csv(table) if kind == "csv" else rows.to_parquet(table)
    found = archive[0].find_recordings(str(table))
    elsewhere = str(folder / "a.wav").lstrip("/")
    assert sorted(found) == sorted(["a.wav", "b.wav", elsewhere])


def test_bucket(archive, tmp_path):
    """Any file system of fsspec: here one in memory, whose recordings are copied to be heard."""
    import fsspec

    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/archive/x/a.wav", b"sound")
    found = archive[0].find_recordings("memory://archive")
    assert found == {"x/a.wav": "memory:///archive/x/a.wav"}
    copy = archive[0].fetch(found["x/a.wav"], tmp_path / "0")
    assert copy == tmp_path / "0" / "a.wav" and copy.read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nowhere", None, "neither a folder nor a table"),
        ("a.csv", "file\na.wav\n", "no column 'path', but file"),
        ("b.csv", "path,x\na.wav,1\n,2\n", "no path in row 2"),
        ("c.parquet", "path", "is no table"),
        ("d.csv", "path\n", "has no recording"),
    ],
)
def test_bad_sources(archive, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        archive[0].find_recordings(str(tmp_path / name))


# ---- tables -------------------------------------------------------------------------------------


def test_what_is_half_done_is_done_again(archive, tmp_path):
    _, tables, _ = archive
    store = tables.Tables(str(tmp_path / "out"), {"version": "1", "checksum": "a"})
    assert store.open() == set()
    turn = {"file": "a.wav", "start": 0.0, "end": 1.0, "speaker": "A", "confidence": 0.5}
    store.write("turns", "whole", [turn])
    store.write("errors", "whole", [{"file": "b.wav", "error": "torn"}])
    store.write("heard", "whole", [{"file": "a.wav", "duration": 2.0, "speakers": 1, "turns": 1}])
    store.write("turns", "half", [turn | {"file": "c.wav"}])  # its worker was killed here
    (tmp_path / "out" / "heard" / "_half.parquet").write_bytes(b"PAR1")
    store.begin("half", [""])
    assert store.open() == {"a.wav", "b.wav"}
    assert heard(tmp_path / "out") == [("a.wav", 0.0, 1.0, "A")]
    assert store.begun("half") == []
    assert store.open(retry=True) == {"a.wav"}


def test_another_model_or_another_folder(archive, tmp_path):
    _, tables, _ = archive
    tables.Tables(str(tmp_path / "out"), {"version": "1", "checksum": "a"}).open()
    with pytest.raises(InputError, match=r"was heard with 1 \(a\), and this is 1 \(b\)"):
        tables.Tables(str(tmp_path / "out"), {"version": "1", "checksum": "b"}).open()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").touch()
    with pytest.raises(InputError, match="something else"):
        tables.Tables(str(tmp_path / "letters"), {"version": "1", "checksum": "a"}).open()


# ---- workers ------------------------------------------------------------------------------------


def batch_of(folder, names) -> dict:
    return {"name": np.array(names), "path": np.array([str(folder / name) for name in names])}


def test_worker_writes_what_the_pipeline_says(archive, folder, model, expected, tmp_path):
    _, tables, worker = archive
    store = tables.Tables(str(tmp_path), model)
    store.open()
    listen = worker.Worker(store, pyannote_drz.PRETRAINED, "cpu", 1)
    told = listen(batch_of(folder, [*GOOD, *BAD]))
    assert told["failed"].sum() == 2 and told["duration"].sum() == 16
    assert heard(tmp_path) == expected
    assert set(pd.read_parquet(tmp_path / "errors")["file"]) == set(BAD)
    speakers = pd.read_parquet(tmp_path / "speakers")
    assert set(zip(speakers["file"], speakers["speaker"])) == {(row[0], row[3]) for row in expected}
    assert np.linalg.norm(np.stack(speakers["embedding"]), axis=1) == pytest.approx(1, abs=1e-5)
    assert (tmp_path / "rttm" / "more" / "a.wav.rttm").read_text().startswith("SPEAKER a 1 ")
    assert store.open() == {*GOOD, *BAD}


def test_a_file_that_kills_its_workers_is_told(archive, folder, model, expected, tmp_path):
    """First a batch, then a recording of it alone, twice: its worker died each time."""
    _, tables, worker = archive
    store = tables.Tables(str(tmp_path), model)
    names = GOOD[:2]
    store.begin(tables.part_of(names), ["", names[0], names[0]])
    worker.Worker(store, pyannote_drz.PRETRAINED, "cpu", 1)(batch_of(folder, names))
    assert heard(tmp_path) == [row for row in expected if row[0] == names[1]]
    (error,) = pd.read_parquet(tmp_path / "errors").itertuples()
    assert error.file == names[0] and "died" in error.error


def test_a_worker_of_another_model_refuses(archive, tmp_path):
    _, tables, worker = archive
    store = tables.Tables(str(tmp_path), {"version": "0", "checksum": "other"})
    with pytest.raises(InputError, match="other"):
        worker.Worker(store, pyannote_drz.PRETRAINED, "cpu", 1)


def test_ray_goes_on_with_what_is_missing(archive, repository, folder, model, expected, tmp_path):
    pytest.importorskip("ray", reason="needs pyannote-drz[archive]")
    _, tables, worker = archive
    store = tables.Tables(str(tmp_path), model)
    store.open()
    worker.Worker(store, pyannote_drz.PRETRAINED, "cpu", 1)(batch_of(folder, GOOD[:1]))
    script = repository / "recipes" / "archive" / "archive.py"
    command = [sys.executable, script, folder, tmp_path, "--workers", 1, "--batch", 2]
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    for told in ("6 recordings, 1 of them done", "6 recordings, 6 of them done"):
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0 and told in done.stderr, done.stderr
    assert heard(tmp_path) == expected
    assert set(pd.read_parquet(tmp_path / "errors")["file"]) == set(BAD)
    assert not list(tmp_path.glob("begun/*"))


# ---- people -------------------------------------------------------------------------------------


def test_people_are_joined_over_files_not_within(archive):
    pytest.importorskip("faiss", reason="needs pyannote-drz[archive]")
    import people

    rng = np.random.default_rng(0)
    voices = rng.standard_normal((5, 192))
    who = np.tile(np.arange(5), 4)
    embeddings = voices[who] + 0.3 * rng.standard_normal((20, 192))
    embeddings = np.float32(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    files = [f"file{k // 5}" for k in range(20)]
    assert people.join(embeddings, files, 0.5).tolist() == who.tolist()
    # The same voice twice in a recording: told apart there, it stays so.
    again = people.join(embeddings[[0, 5, 0]], ["x", "y", "x"], 0.5)
    assert again.tolist() == [0, 0, 1]
