"""`pyannote-audio benchmark` on our folder; its own reader asks for FFmpeg."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyannote_drz

DATA = Path(
    os.environ.get("PYANNOTE_DRZ_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)


def can_decode() -> bool:
    try:
        from torchcodec.decoders import AudioDecoder

        AudioDecoder(DATA / "ami_excerpts/audio" / "none.flac")
    except (ValueError, FileNotFoundError):
        return True  # the libraries are there, the file is not
    except (ImportError, OSError, RuntimeError):
        return False
    return True


@pytest.mark.skipif(not (DATA / "database.yml").is_file(), reason="no ../shared/data")
@pytest.mark.skipif(not can_decode(), reason="FFmpeg's libraries are missing")
def test_benchmark_writes_its_table(tmp_path):
    command = [
        *(sys.executable, "-m", "pyannote.audio", "benchmark", pyannote_drz.PRETRAINED),
        *("AMIExcerpts.SpeakerDiarization.only_words", tmp_path, "--subset", "development"),
        *("--registry", DATA / "database.yml"),
    ]
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "0"}
    subprocess.run([*map(str, command)], check=True, timeout=300, env=environment)
    assert list(tmp_path.glob("**/*.csv"))
