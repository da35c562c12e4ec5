"""`pyannote-audio-train`, from the command line to checkpoints."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf
from pyannote.audio import Model, Pipeline
from pyannote.audio.__main__ import app
from pyannote.core import Annotation
from typer.testing import CliRunner

from pyannote_drz.cli.train import CONFIG, parameter_groups

# Given to tasks and models by the command, or not to be told in YAML.
NOT_CONFIGURED = {"self", "protocol", "task", "augmentation", "metric"}
DEPRECATED = {"max_num_speakers", "loss"}  # arguments of pyannote.audio's SpeakerDiarization
NO_DEFAULT = {"cache", "checkpoint", "wav2vec"}  # None there, and of no use

QUIET = [
    "trainer.accelerator=cpu", "trainer.num_sanity_val_steps=0",
    "trainer.enable_model_summary=false",
]  # fmt: skip
TINY_TASK = [
    "protocol=CliToy.SpeakerDiarization.Voices",
    "task.duration=4", "task.chunks_per_epoch=8", "task.validation_conversations=2",
    "task.batch_size=4", "task.num_workers=0", *QUIET,
]  # fmt: skip
TINY = [
    *TINY_TASK,
    "model.dim=32", "model.num_layers=3", "model.num_heads=4",
]  # fmt: skip


def refused(command, capsys, *arguments: str) -> str:
    """What the command says when it exits without having done anything."""
    with pytest.raises(SystemExit) as exit:
        command(*arguments)
    assert exit.value.code not in (0, None)
    assert not Path("runs").exists()
    output = capsys.readouterr()
    said = f"{output.err}{exit.value.code}"
    assert "Traceback" not in said
    return said


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


@pytest.mark.parametrize("group", ["task", "model"])
def test_yaml_has_all_arguments_with_their_defaults(group):
    for choice in choices(group):
        cfg = OmegaConf.to_container(OmegaConf.load(CONFIG / group / f"{choice}.yaml"))
        parameters = inspect.signature(get_object(cfg.pop("_target_"))).parameters
        assert set(cfg) == set(parameters) - NOT_CONFIGURED - DEPRECATED, choice
        for name, value in cfg.items():
            if not isinstance(value, dict) and name not in NO_DEFAULT:
                assert value == parameters[name].default, (choice, name)


@pytest.mark.parametrize(
    "group",
    ["task", "model", "optimizer", "scheduler", "trainer", "logger", "preprocessor"],
)
def test_every_choice_composes(group):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        for choice in choices(group):
            cfg = compose("config", overrides=[f"{group}={choice}"])
            assert callable(get_object(cfg[group]._target_))


def test_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        command("--help")
    said = capsys.readouterr().out
    assert "SyntheticPix2SeqDiarization" in said and "Pix2SeqDiarizer" in said


def test_unknown_key_is_refused(command, capsys):
    assert "task.durations" in refused(command, capsys, "task.durations=3")


def test_unknown_argument_is_refused(command, capsys, database):
    said = refused(command, capsys, f"registry={database}", *TINY, "+task.durations=3")
    assert "durations" in said


def test_missing_protocol_is_refused(command, capsys, database):
    said = refused(command, capsys, f"registry={database}")
    assert "protocol= is missing" in said and "CliToy.SpeakerDiarization.Voices" in said


def test_unknown_protocol_is_refused(command, capsys):
    assert "No.Such.Protocol" in refused(command, capsys, "protocol=No.Such.Protocol")


def test_missing_registry_is_refused(command, capsys):
    assert "no-such.yml" in refused(command, capsys, "registry=no-such.yml", *TINY)


def test_refusal_spares_what_was_there(command, capsys):
    Path("mine").mkdir()
    for folder in (Path("."), Path("mine/run"), Path("mine")):
        refused(command, capsys, "protocol=No.Such.Protocol", f"hydra.run.dir={folder}")
        Path("mine").mkdir(exist_ok=True)
    Path("mine/notes.txt").write_text("kept")
    refused(command, capsys, "protocol=No.Such.Protocol", "hydra.run.dir=mine")
    assert Path("mine/notes.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_impossible_folder_is_refused(command, capsys, name):
    Path("taken").write_text("a file")
    sweep = ["--multirun"] if name == "sweep" else []
    said = refused(command, capsys, *sweep, f"hydra.{name}.dir=taken/run", "protocol=X.Y.Z")
    assert f"hydra.{name}.dir cannot be 'taken/run'" in said
    assert Path("taken").read_text() == "a file"


def test_fast_dev_run(command, database):
    command(f"registry={database}", *TINY, "trainer=fast_dev_run", "hydra.run.dir=fast")
    assert not list(Path("fast").glob("*.ckpt"))


@pytest.mark.parametrize(
    "override",
    [
        "resume=no-such.ckpt",
        "ema=1.5",
        "last_every_minutes=0",
        "task.prompt_ratio=2",
        "trainer.precision=7-bit",
        "scheduler.warmup_steps=-1",
        "task.scripts=no-such.rttm",
    ],
)
def test_bad_value_is_refused(command, capsys, database, override):
    said = refused(command, capsys, f"registry={database}", *TINY, override)
    assert override.split("=")[1] in said


def test_train_resume_and_begin_again(command, capsys, database):
    tiny = [f"registry={database}", *TINY]
    run = Path("run")

    command(*tiny, f"hydra.run.dir={run}", "trainer.max_steps=3")
    said = capsys.readouterr().out
    assert f"{run / 'best.ckpt'} (DiarizationErrorRate" in said
    assert list(run.glob("events.*")) and (run / "config.yaml").is_file()
    first = torch.load(run / "last.ckpt", weights_only=False)
    assert first["global_step"] == 3
    average, current = first["state_dict"], first["current_model_state"]
    assert any(not torch.equal(average[name], current[name]) for name in average)

    # The same folder again is refused, and left as it is.
    with pytest.raises(SystemExit, match="resume=auto"):
        command(*tiny, f"hydra.run.dir={run}", "trainer.max_steps=6")
    assert torch.load(run / "last.ckpt", weights_only=False)["global_step"] == 3

    # It goes on where it stopped, with its optimizer, schedule and average.
    command(*tiny, f"hydra.run.dir={run}", "trainer.max_steps=6", "resume=auto")
    said = capsys.readouterr().out
    assert "Continuing from" in said and "step 4 " in said and "step 2 " not in said
    second = torch.load(run / "last.ckpt", weights_only=False)
    assert second["global_step"] == 6
    assert second["averaging_state"]["n_averaged"] == 6
    assert second["lr_schedulers"][0]["last_epoch"] == 6
    steps = [state["step"] for state in second["optimizer_states"][0]["state"].values()]
    assert max(steps) == 6

    # What is kept loads as any model of pyannote.audio, and is a pipeline already.
    model = Model.from_pretrained(run / "best.ckpt", strict=False)
    assert model(torch.randn(1, 1, 16000)).shape[-1] == 8
    pipeline = Pipeline.from_pretrained(run / "pipeline")
    assert torch.equal(pipeline.model.bin_key.weight, model.bin_key.weight)
    noise = torch.randn(1, 5 * 16000, generator=torch.Generator().manual_seed(1))
    output = pipeline({"waveform": 0.1 * noise, "sample_rate": 16000})
    assert isinstance(output.speaker_diarization, Annotation)

    # pyannote-audio strip leaves what a model needs.
    stripped = CliRunner().invoke(app, ["strip", str(run / "best.ckpt"), "stripped.bin"])
    assert stripped.exit_code == 0, stripped.output
    assert Path("stripped.bin").stat().st_size < 0.6 * (run / "best.ckpt").stat().st_size
    assert torch.equal(
        Model.from_pretrained("stripped.bin", strict=False).bin_key.weight, model.bin_key.weight
    )

    # Another run may begin with either: its size is theirs, its chunks and speakers are its own.
    begin = [f"registry={database}", *TINY_TASK, "model=Pretrained", "trainer.max_steps=1",
             "optimizer.lr=1e-9", "task.duration=3", "task.max_speakers=5"]  # fmt: skip
    for number, folder in enumerate([run / "best.ckpt", run / "pipeline"]):
        command(*begin, f"model.checkpoint={folder}", f"hydra.run.dir=next{number}")
        begun = torch.load(f"next{number}/last.ckpt", weights_only=False)
        weights = begun["state_dict"]
        torch.testing.assert_close(weights["bin_key.weight"], model.bin_key.weight.detach())
        assert weights["speaker.weight"].shape == (5, 32)
        assert begun["hyper_parameters"]["dropout"] == 0.1

    # A hyper-parameter may change, unless weights depend on it.
    begin.append(f"model.checkpoint={run / 'pipeline'}")
    dropout = "model.hyper_parameters={dropout: 0.3}"
    command(*begin, dropout, "hydra.run.dir=dropout")
    begun = torch.load("dropout/last.ckpt", weights_only=False)
    assert begun["hyper_parameters"]["dropout"] == 0.3
    said = refused(command, capsys, *begin, "model.hyper_parameters={dim: 48}")
    assert "does not fit" in said and "(48" in said
    said = refused(command, capsys, *begin, "model.hyper_parameters={size: 48}")
    assert "has no size, but dim, dropout" in said


@pytest.mark.parametrize(
    "checkpoint, said",
    [
        ("no-such.ckpt", "no such checkpoint"),
        (".", "has no model.safetensors"),
        ("old", "'old/pytorch_model.bin', an older pickle, which is only read where it is named"),
        ("two", "has several models: two/a, two/b"),
        ("text.ckpt", "'text.ckpt' is no checkpoint"),
        ("other.ckpt", "has no 'state_dict'"),
    ],
)
def test_bad_checkpoint_is_refused(command, capsys, database, checkpoint, said):
    for folder in ("two/a", "two/b", "old"):
        Path(folder).mkdir(parents=True)
        Path(folder, "pytorch_model.bin" if folder == "old" else "model.safetensors").touch()
    Path("text.ckpt").write_text("no pickle")
    torch.save({"weights": 1}, "other.ckpt")
    begin = [f"registry={database}", *TINY_TASK, "model=Pretrained"]
    assert said in refused(command, capsys, *begin, f"model.checkpoint={checkpoint}")


def test_checkpoint_of_an_earlier_model_is_refused(command, capsys, database):
    architecture = {"module": "pyannote_drz.models.pix2seq", "class": "Pix2SeqDiarizer"}
    content = {"state_dict": {}, "pyannote.audio": {"architecture": architecture},
               "hyper_parameters": {"dim": 32, "num_mels": 20}}  # fmt: skip
    torch.save(content, "old.ckpt")
    begin = [f"registry={database}", *TINY_TASK, "model=Pretrained"]
    said = refused(command, capsys, *begin, "model.checkpoint=old.ckpt")
    assert "old.ckpt is of another Pix2SeqDiarizer" in said and "'num_mels'" in said


def test_missing_checkpoint_is_refused(command, capsys, database):
    said = refused(command, capsys, f"registry={database}", *TINY_TASK, "model=Pretrained")
    assert "model.checkpoint must be given" in said


def test_sweep(command, database):
    end = ["trainer.max_steps=1", "hydra.sweep.dir=sweep"]
    command("-m", "seed=1,2", f"registry={database}", *TINY, *end)
    for number, seed in enumerate([1, 2]):
        assert Path(f"sweep/{number}/last.ckpt").is_file()
        assert OmegaConf.load(f"sweep/{number}/config.yaml").seed == seed


def test_as_a_program(tmp_path, repository):
    """The real thing, in its own process: one sentence and a bad exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "pyannote_drz.cli.train", "protocol=No.Such.Protocol"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "protocol No.Such.Protocol is unknown: registry= names none."
    )
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_lr_ratios():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    groups = parameter_groups(model, 0.1, {"0.b": 0.0, "0.": 0.5})
    found = {
        tuple(parameter.shape): (group["lr"], group.get("weight_decay"))
        for group in groups
        for _, parameter in group["params"]
    }
    assert found == {(3, 2): (0.05, None), (3,): (0.0, 0.0), (4, 3): (0.1, None), (4,): (0.1, 0.0)}
    with pytest.raises(ValueError, match="begins with 'stem'"):
        parameter_groups(model, 0.1, {"stem": 0.5})
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        parameter_groups(model, 0.1, {"0.": -1})
