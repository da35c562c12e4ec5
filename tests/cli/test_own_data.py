"""The four commands of docs/own_data.md, as they stand there: from a folder to a pipeline."""

import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import soundfile
from hydra.core.global_hydra import GlobalHydra
from pyannote.audio import Pipeline
from typer.testing import CliRunner

import pyannote_drz
from pyannote_drz.cli import main, train
from pyannote_drz.evaluation import evaluate

RATE = 16000
# So that it takes seconds: two steps of two chunks, on little data.
SMALL = [
    "trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.num_sanity_val_steps=0",
    "task.batch_size=2", "task.num_workers=0", "task.chunks_per_epoch=4",
    "task.validation_conversations=1", "trainer.enable_model_summary=false",
]  # fmt: skip


def commands(page: Path) -> list[list[str]]:
    """Words of the commands in the first block of a page, but that which finds the weights."""
    block = re.search(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)[1]
    block = block.replace("\\\n", " ").replace("$pretrained", str(pyannote_drz.PRETRAINED))
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [words for words in lines if words and not words[0].startswith("pretrained=")]


def write_meeting(path: Path, seed: int) -> None:
    """Half a minute of two buzzing people, with labels of Audacity."""
    rng = np.random.default_rng(seed)
    time = np.arange(30 * RATE) / RATE
    audio, labels = 0.001 * rng.standard_normal(len(time)), []
    for k, start in enumerate(range(1, 28, 3)):
        who = k % 2
        pitch_hz = 100 + 90 * who + 7 * seed
        turn = slice(start * RATE, int((start + 2.4) * RATE))
        syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time[turn])
        buzz = sum(np.sin(2 * np.pi * h * pitch_hz * time[turn]) / h for h in range(1, 9))
        audio[turn] += 0.05 * syllables * buzz
        labels.append(f"{start}\t{start + 2.4}\tperson {who}\n")
    soundfile.write(path, audio, RATE)
    path.with_suffix(".txt").write_text("".join(labels))


def test_four_commands(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.CACHE", tmp_path / "cache")
    Path("meetings").mkdir()
    for seed in range(3):
        write_meeting(Path(f"meetings/day{seed}.wav"), seed)

    found = commands(repository / "docs" / "own_data.md")
    assert len(found) == 4
    prepare, before, learn, after = found

    assert prepare[0] == "pyannote-drz"
    done = CliRunner().invoke(main.app, prepare[1:])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "3 recordings (2 train, 1 development)" in done.output

    for words in (before, learn, after):
        if words is learn:
            assert words[0] == "pyannote-audio-train"
            monkeypatch.setattr(sys, "argv", [*words, *SMALL])
            try:
                train.main()
            finally:
                GlobalHydra.instance().clear()
            assert os.listdir("runs/meetings/pipeline")
            Pipeline.from_pretrained("runs/meetings/pipeline")
        else:
            assert words[:3] == ["python", "-m", "pyannote_drz.evaluate"]
            done = CliRunner().invoke(evaluate.app, words[3:])
            assert done.exit_code == 0, (done.output, done.exception)
            assert "### meetings.SpeakerDiarization.Own, development" in done.output
            assert "1 files, 30 s of audio" in done.output
