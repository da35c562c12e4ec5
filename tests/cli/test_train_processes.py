"""`pyannote-audio-train` in two processes (gloo), with the task of another package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from pyannote.audio import Pipeline

from pyannote_drz.cli.train import main

TINY = [
    "protocol=CliToy.SpeakerDiarization.Voices",
    "task.duration=4", "task.chunks_per_epoch=8", "task.validation_conversations=2",
    "task.batch_size=4", "task.num_workers=0",
    "model.dim=32", "model.num_layers=3", "model.num_heads=4",
    "trainer.accelerator=cpu", "trainer.num_sanity_val_steps=0",
    "trainer.enable_model_summary=false",
]  # fmt: skip

# A task that writes down what each process has learnt from, step by step.
DIARY = """
from pathlib import Path

from pyannote_drz.tasks.pix2seq import SyntheticPix2SeqDiarization


class Diary(SyntheticPix2SeqDiarization):
    def __init__(self, protocol, diary, **arguments):
        super().__init__(protocol, **arguments)
        self.diary = Path(diary)

    def make_batch(self, drawn, stage):
        batch = super().make_batch(drawn, stage)
        if stage == "train":
            with self.diary.with_suffix(f".{self.model.global_rank}").open("a") as file:
                for what, turns in zip(drawn.cuts, batch.turns, strict=True):
                    times = sum(turn.start_s + 2 * turn.end_s for turn in turns)
                    file.write(f"{what.seed[-1]}:{what.num_positions}:{times:.4f} ")
                file.write("\\n")
        return batch
"""
GROUP = """
defaults: [SyntheticPix2SeqDiarization, _self_]
_target_: other_package.Diary
diary: ???
"""


@pytest.fixture
def other_package(tmp_path) -> Path:
    """A folder with `other_package`, which has a task and a group file for it."""
    package = tmp_path / "site" / "other_package"
    (package / "conf" / "task").mkdir(parents=True)
    (package / "__init__.py").write_text(DIARY)
    (package / "conf" / "__init__.py").touch()
    (package / "conf" / "task" / "Diary.yaml").write_text(GROUP)
    return package.parent


def run(cwd: Path, *arguments: str, path: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment["PYANNOTE_DRZ_CACHE"] = str(cwd / "cache")
    environment.pop("PL_GLOBAL_SEED", None)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pyannote_drz.cli.train", *arguments],
        cwd=cwd, capture_output=True, text=True, env=environment,
    )  # fmt: skip


def test_same_batches_in_one_process_and_in_two(
    tmp_path, database, repository, other_package, monkeypatch
):
    begin = [
        f"registry={database}", *TINY, "hydra.searchpath=[pkg://other_package.conf]", "task=Diary",
        "task.min_duration=2", "task.prompt_ratio=0.5", "task.chunks_per_epoch=16",
        "trainer.max_epochs=1",
    ]  # fmt: skip

    # In this process, and in two others.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(other_package))
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.CACHE", tmp_path / "cache")
    alone = ["task.diary=alone", "hydra.run.dir=run1", "trainer.limit_val_batches=0"]
    monkeypatch.setattr(sys, "argv", ["pyannote-audio-train", *begin, *alone])
    try:
        main()
    finally:
        GlobalHydra.instance().clear()
    done = run(
        tmp_path, *begin, "task.diary=pair", "hydra.run.dir=run2", "task.batch_size=2",
        "trainer.devices=2", path=f"{repository}:{other_package}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    expected = [line.split() for line in Path("alone.0").read_text().splitlines()]
    first, second = (Path(f"pair.{rank}").read_text().splitlines() for rank in range(2))
    found = [f"{one} {other}".split() for one, other in zip(first, second, strict=True)]
    assert found == expected and [len(step) for step in found] == [4, 4, 4, 4]
    told = [window.split(":", 1)[1] for step in found for window in step]
    assert len({window for window in told if not window.endswith(":0.0000")}) > 12  # nothing twice
    assert torch.load("run2/best.ckpt", weights_only=False)["global_step"] == 4
    assert Pipeline.from_pretrained("run2/pipeline").instantiated


def test_spawned_workers(tmp_path, database, repository):
    """As on Windows and macOS; simulate's workers are always spawned."""
    (tmp_path / "main.py").write_text(
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    from pyannote_drz.cli.train import main\n"
        "    main()\n"
    )
    words = [f"registry={database}", *TINY, "task.num_workers=1", "trainer.fast_dev_run=true"]
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    environment["PYANNOTE_DRZ_CACHE"] = str(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "main.py", *words],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_sweep_in_several_processes_is_refused(tmp_path, database, repository):
    begin = ["-m", f"registry={database}", *TINY, "seed=1,2", "hydra.sweep.dir=sweep"]
    done = run(tmp_path, *begin, "trainer.devices=2", path=str(repository))
    assert done.returncode != 0
    assert "sweep with trainer.devices=1" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "sweep" / "0").exists()
