"""Nothing calls home: commands and loading run where every connection is refused, and none is tried."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile

# Runs before any other code of a process: connections and look-ups are written down and refused.
WATCH = """
import socket, sys, atexit, time
tried = []
def refuse(*args, **kwargs):
    tried.append(args)
    raise OSError("no network")
socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = refuse
"""
ASKED = """
time.sleep(1.5)  # reports leave twice a second
sys.stderr.write(f"tried: {tried}")
"""


@pytest.fixture
def run(tmp_path, repository):
    """Run Python code, telemetry as pyannote.audio has it; return what was tried."""
    sound = 0.1 * np.random.default_rng(1).standard_normal(5 * 16000)
    soundfile.write(tmp_path / "meeting.wav", sound, 16000)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    environment.pop("PYANNOTE_METRICS_ENABLED", None)

    def run(code: str, end: str = ASKED) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WATCH + textwrap.dedent(code) + end],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr[done.stderr.rindex("tried: ") :]

    return run


def test_the_watch_sees_telemetry(run):
    """Otherwise the tests below would show nothing."""
    code = """
    from pyannote.audio.core import pipeline
    pipeline.track_pipeline_init(object())
    """
    assert run(code) != "tried: []"


def test_loading(run):
    code = """
    from pyannote.audio import Pipeline
    import pyannote_drz
    pipeline = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)
    pipeline("meeting.wav")
    """
    assert run(code) == "tried: []"


COMMANDS = [
    "from pyannote_drz.cli.main import run; sys.argv[1:] = ['diarize', 'meeting.wav', '--report', 'm.html']; run()",
    "import runpy; sys.argv[1:] = ['--help']; runpy.run_module('pyannote_drz.evaluation.evaluate', run_name='__main__')",
    "from pyannote_drz.cli.train import main; sys.argv[1:] = ['--help']; main()",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(run, command):
    code = f"""
    import os
    try:
        {command}
    except SystemExit as end:
        assert not end.code, end.code
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "false"
    """
    assert run(code) == "tried: []"
