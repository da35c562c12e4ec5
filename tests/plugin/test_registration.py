"""The package is quick to import, and its classes are where pyannote.audio lists its own."""

import subprocess
import sys

import pytest

LISTED = [
    ("pyannote.audio.tasks", "SyntheticPix2SeqDiarization"),
    ("pyannote.audio.models.segmentation", "Pix2SeqDiarizer"),
]


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_neither_torch_nor_pyannote_audio():
    code = "import sys, pyannote_drz.cli.main as m; print('torch' in sys.modules, m.__name__)"
    assert python(code) == "False pyannote_drz.cli.main"


@pytest.mark.parametrize("namespace, name", LISTED)
def test_listed_whichever_is_imported_first(namespace, name):
    listed = (
        f"import pyannote_drz; from {namespace} import *; import {namespace} as n; "
        f"assert {name} is pyannote_drz.{name} is n.{name}; assert n.__all__.count('{name}') == 1; "
        f"assert not hasattr(n, 'NoSuchName')"
    )
    python(listed)
    python(f"import {namespace}; {listed}")
