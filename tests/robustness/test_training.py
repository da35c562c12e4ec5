"""Every value of a training is checked at the door, by its name, before anything is read or built."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pyannote.database.protocol import SpeakerDiarizationProtocol

from pyannote_drz.cli.settings import check_settings
from pyannote_drz.cli.train import CONFIG
from pyannote_drz.io.errors import InputError
from pyannote_drz.simulation import RandomTurns
from pyannote_drz.tasks.material import plain_turns
from pyannote_drz.tasks.pix2seq import SyntheticPix2SeqDiarization

# What is typed, and what is told after its name.
BAD_SETTINGS = [
    *((f"{name}={value}", "valid integer")
      for name in ("task.batch_size", "task.num_workers", "trainer.max_steps", "model.num_layers")
      for value in ("1.5", "many", "true", "[1]")),
    ("task.batch_size=0", "greater than or equal to 1, got 0"),
    ("task.batch_size=null", "valid integer, got None"),
    ("task.batch_size=1000000000", "less than or equal to"),
    ("task.num_workers=-1", "greater than or equal to 0, got -1"),
    ("task.pin_memory=maybe", "valid boolean"),
    ("task.duration=0", "greater than"),
    ("task.duration=nan", "finite number, got nan"),
    ("trainer.max_steps=-7", "greater than or equal to -1"),
    ("trainer.max_epochs=x", "valid integer"),
    ("trainer.accumulate_grad_batches=0", "greater than"),
    ("trainer.gradient_clip_val=nan", "finite number"),
    ("trainer.val_check_interval=0", "greater than"),
    ("trainer.limit_val_batches=x", "valid"),
    ("trainer.devices=-2", "greater than"),
    *((f"optimizer.lr={value}", "input should be")
      for value in ("0", "-1", "nan", "inf", "fast", "null", "true", "1e9")),
    ("optimizer.betas=0.9", "valid tuple"),
    ("optimizer.betas=[0.9,1]", "less than or equal to"),
    ("optimizer.weight_decay=-1", "greater than"),
    ("model.num_layers=0", "greater than or equal to 1"),
    ("model.num_layers=1000000000", "less than or equal to 256"),
    ("model.dim=1000000", "less than or equal to"),
    ("model.dropout=1", "less than or equal to"),
    ("scheduler.warmup_steps=1.5", "valid integer"),
    ("scheduler.final_ratio=nan", "finite number"),
    ("seed=-1", "greater than or equal to 0"),
    ("ema=1", "less than"),
    ("patience=0", "greater than"),
    ("last_every_minutes=nan", "finite number"),
    ("registry=5", "valid string, got 5"),
    ("protocol=5", "valid string, got 5"),
]  # fmt: skip


def settings(*overrides: str):
    """Configuration, but for what knows the run's folder, which only a run has."""
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("config", overrides=overrides)
    OmegaConf.set_struct(cfg, False)
    cfg.pop("logger")
    cfg.task.cache = None
    return cfg


@pytest.mark.parametrize("override, said", BAD_SETTINGS)
def test_bad_setting(override, said):
    name, _ = override.split("=")
    with pytest.raises(InputError, match=f"^{re.escape(name)}.*: .*{said}"):
        check_settings(settings(override))


def test_lr_ratios():
    with pytest.raises(InputError, match="lr_ratios.blocks.: input should be a finite number"):
        check_settings(settings("lr_ratios={blocks.: nan}"))


@pytest.mark.parametrize("group", ["task", "model", "optimizer", "scheduler", "trainer"])
def test_every_default_is_allowed(group):
    for path in sorted(Path(CONFIG, group).glob("*.yaml")):
        cfg = settings(f"{group}={path.stem}")
        if "checkpoint" in cfg.model:
            cfg.model.checkpoint = "x.ckpt"
        check_settings(cfg)


# Arguments of the task, and what is told.
BAD_ARGUMENTS = [
    ({"batch_size": 0}, "batch_size: input should be greater than or equal to 1, got 0"),
    ({"batch_size": "8"}, "batch_size: input should be a valid integer, got '8'"),
    ({"num_workers": 1.5}, "num_workers: input should be a valid integer"),
    ({"duration": float("inf")}, "duration: input should be a finite number"),
    ({"duration": 1000}, "duration: input should be less than or equal to 60"),
    ({"min_duration": 0.5}, "min_duration: input should be greater than or equal to 1"),
    ({"min_duration": 40.0}, "min_duration must be at most duration (30.0 s), got 40.0 s"),
    ({"max_speakers": 1}, "max_speakers: input should be greater than or equal to 2"),
    ({"max_speakers": 27}, "max_speakers: input should be less than or equal to 26"),
    ({"chunks_per_epoch": 0}, "chunks_per_epoch: input should be greater"),
    ({"validation_conversations": -1}, "validation_conversations: input should be greater"),
    ({"prompt_ratio": float("nan")}, "prompt_ratio: input should be a finite number"),
    ({"fitted_ratio": 0.7, "other_ratio": 0.7}, "must not sum to more than 1"),
    ({"speeds": "fast"}, "speeds: 'str' instances are not allowed"),
    ({"speeds": [0.0]}, "speeds.0: input should be greater"),
    ({"random_turns": 5}, "random_turns: input should be a valid dictionary"),
    ({"random_turns": {"mood": 1}}, "random_turns: TypeError: got an unexpected keyword argument"),
    ({"random_turns": {"silence_max": -1}}, "random_turns: silence_max: input should be greater"),
    ({"random_turns": {"max_speakers": 9}}, "random_turns.max_speakers (9) must not be above"),
    ({"simulation": {"rooms": 5}}, "rooms must be parameters and their values, not 5"),
    ({"simulation": {"mood": 5}}, "SimulationConfig has no parameter 'mood'"),
    ({"simulation": 5}, "simulation: input should be a valid dictionary, got 5"),
    ({"objective": {"eos_weight": float("nan")}}, "eos_weight: input should be a finite number"),
    ({"objective": {"time_noise_bins": 1.5}}, "time_noise_bins: input should be a valid integer"),
    ({"objective": {"mood": 1}}, "Objective has no parameter 'mood'"),
    ({"noise": 5}, "noise: input should be a valid string"),
    ({"real_ratio": 0.5}, "real_ratio=0.5 needs conversations"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, said", BAD_ARGUMENTS)
def test_bad_argument(arguments, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        SyntheticPix2SeqDiarization(SpeakerDiarizationProtocol(), **arguments)
    assert "\n" not in str(caught.value)


def test_fewer_letters_than_plain_turns_have_people():
    assert RandomTurns().max_speakers == 4 and plain_turns({}, 2).max_speakers == 2
