"""No command writes over what it reads, nor unasked over what it did not write; Ctrl-C ends it."""

import base64
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyannote_drz.cli.report import encode
from pyannote_drz.io import outputs
from pyannote_drz.io.errors import InputError
from pyannote_drz.io.names import field_of, name_of, uris_of
from pyannote_drz.io.outputs import check_outputs, write_output

REFERENCE = "SPEAKER m 1 0.5 2.5 <NA> <NA> Ann <NA> <NA>\n"


@pytest.fixture
def folder(tmp_path, monkeypatch, repository) -> Path:
    """Recordings, and a reference made by hand; caches are elsewhere."""
    monkeypatch.setattr(outputs, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PYANNOTE_DRZ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(repository))
    folder = tmp_path / "folder"
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    for name in ("m", "d1/m", "d2/m", "a b", "n.png", "caf\u00e9", "cafe\u0301"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.wav", noise, 16000)
    (folder / "m.rttm").write_text(REFERENCE)
    return folder


def diarize(folder, words, **more):
    command = [sys.executable, "-m", "pyannote_drz.cli.main", "diarize", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, **more
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# What is typed, and what is told; nothing is written.
REFUSED = [
    ("m.wav --reference m.rttm --out .", "'m.rttm' is an input, and would be written over"),
    ("m.wav --reference ./d1/../m.rttm --out d2/..", "is an input, and would be written over"),
    ("m.wav --out . --overwrite --reference m.rttm", "is an input, and would be written over"),
    ("m.wav --out .", "'m.rttm' is there already"),
    ("m.wav --known Ann=m.png --plot m.png", "'m.png' is an input, and would be written over"),
    ("d1/m.wav d2/m.wav", "'d1/m.wav' and 'd2/m.wav' are both called 'm'"),
    ("m.wav m.wav --json", "'m.wav' and 'm.wav' are both called 'm'"),
    ("caf\u00e9.wav cafe\u0301.wav", "are both called 'caf\u00e9'"),
    ("m.wav --report x.html --plot d1", "'d1' must be the name of a PNG file"),
    ("m.wav --channels both", "--channels must be mix, each, or a number from 1 up, not 'both'"),
    ("m.wav --channels 0", "--channels must be mix, each, or a number from 1 up, not '0'"),
]


@pytest.mark.parametrize("words, said", REFUSED)
def test_refused(folder, words, said):
    before = contents(folder)
    done = diarize(folder, words.split())
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert contents(folder) == before


def test_ours_is_replaced_and_others_only_when_asked(folder, tmp_path):
    paths = [folder / "a.rttm", folder / "b.rttm"]
    for path in paths:
        write_output(path, b"first")
    check_outputs(paths, [])
    write_output(paths[0], b"second")
    check_outputs(paths, [])
    paths[0].write_text("corrected by hand")
    with pytest.raises(InputError, match="a.rttm' is there already"):
        check_outputs(paths, [])
    check_outputs(paths, [], overwrite=True)
    with pytest.raises(InputError, match="is an input"):
        check_outputs(paths, [None, paths[1]], overwrite=True)
    link = folder / "link.rttm"
    link.symlink_to(paths[1])
    with pytest.raises(InputError, match="is an input"):
        check_outputs([link], [paths[1]], overwrite=True)
    hard = folder / "hard.rttm"
    os.link(paths[1], hard)
    with pytest.raises(InputError, match="is an input"):
        check_outputs([hard], [paths[1]], overwrite=True)


def test_without_a_cache_it_still_writes(folder, monkeypatch):
    monkeypatch.setattr(outputs, "CACHE", folder / "m.wav" / "cache")
    with pytest.warns(UserWarning, match="cannot be remembered"):
        write_output(folder / "x.rttm", b"x")
    assert (folder / "x.rttm").read_bytes() == b"x"


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "John Smith", "a_b", "a b", "100%", "100%20", "NA", "null", "None", "nan", "<NA>", "王 明",
    "tab\tbreak\n", "a\u2028b", "a\u00a0b", '"Bob', "O'Neil", ";;", "a{b}", "*", "%", "%%41", "é",
])  # fmt: skip
def test_names_survive_columns(name, tmp_path):
    from pyannote.core import Annotation, Segment
    from pyannote.database.util import load_rttm as theirs

    from pyannote_drz.cli.formats import rttm_of
    from pyannote_drz.cli.reading import load_rttm

    assert name_of(field_of(name)) == name
    annotation = Annotation()
    annotation[Segment(0, 1), 0] = name
    annotation[Segment(1, 2), 1] = "another"
    path = tmp_path / "x.rttm"
    path.write_text(rttm_of(annotation, name), encoding="utf-8")
    [(uri, found)] = load_rttm(path).items()
    assert uri == name and sorted(found.labels()) == sorted([name.strip(), "another"])
    [(uri, found)] = theirs(path).items()
    assert uri == field_of(name) and len(found.labels()) == 2


def test_composed_and_decomposed_names_are_one(tmp_path):
    assert field_of("cafe\u0301") == field_of("caf\u00e9")
    assert list(uris_of([tmp_path / "cafe\u0301.wav"])) == ["caf\u00e9"]


# ---- Ctrl-C -------------------------------------------------------------------------------------


def test_sound_of_the_report_is_whole_and_fast():
    noise = 0.1 * np.random.default_rng(0).standard_normal(60 * 16000).astype(np.float32)
    began = time.process_time()
    sound = base64.b64decode(encode(noise, 16000))
    assert time.process_time() - began < 2  # Opus takes longer
    assert sound == base64.b64decode(encode(noise, 16000))
    decoded, rate = soundfile.read(io.BytesIO(sound))
    assert rate == 16000 and len(decoded) == len(noise)


def test_ctrl_c_ends_the_sound_of_a_report(folder, tmp_path):
    """Half an hour of sound takes seconds; Ctrl-C ends it within one, and nothing is written."""
    code = """
import signal, sys, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells switch it off in the background
from pathlib import Path
from pyannote.core import Annotation
from pyannote_drz.cli import diarize, main
from pyannote_drz.cli.formats import Diarized
from pyannote_drz.pipelines.output import Pix2SeqOutput
def listen(file, *_):
    output = Pix2SeqOutput(Annotation(), Annotation())
    sound = np.random.default_rng(0).standard_normal(1800 * 16000).astype("float32")
    print("encoding", flush=True)
    return Diarized(file, file.stem, 1800.0, output), 0.1 * sound, None
diarize.diarize_one = listen
diarize.load_pipeline = lambda *_: type("P", (), {"set_num_speakers": lambda *_, **__: None})()
main.run()
"""
    words = ["diarize", "m.wav", "a b.wav", "--report", "pages", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "encoding\n"
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    rest = process.stdout.read()
    assert process.wait(60) == 130 and time.monotonic() - began < 5
    assert rest == "" and not list(folder.glob("pages/*"))
