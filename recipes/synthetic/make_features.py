"""Fill a folder with features of simulated conversations, for `task.features` to learn from.

    python recipes/synthetic/make_features.py features.yaml DATA FOLDER --hours 30

Seventy to a hundred times real time on a core. Shards that are there are left as they are: a run
that was stopped goes on, and several (`--worker 0 --workers 2`) share the work.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict

from pyannote_drz.cli.protocols import get_protocol, load_database
from pyannote_drz.io.checked import Share, checked, number, span, whole
from pyannote_drz.io.errors import InputError, one_line
from pyannote_drz.models.encoders import FeatureEncoder, Features
from pyannote_drz.tasks.pix2seq import SyntheticPix2SeqDiarization
from pyannote_drz.tasks.shards import Encoded, save_shard, shard_key

ROWS = 32  # conversations of a shard: 10 MB for 30 s each
AT_ONCE_S = 240.0  # seconds rendered and encoded at once


class Durations(BaseModel):
    """How long conversations of one kind are, and how many of all are of it."""

    model_config = ConfigDict(extra="forbid")

    share: Share
    seconds: span(1, 3600)


class Settings(BaseModel):
    """Content of the YAML."""

    model_config = ConfigDict(extra="forbid")

    protocol: str
    task: dict
    durations: list[Durations]
    seed: whole(0)


def load_settings(path: Path) -> dict:
    """Settings, as they are written.

    Raises
    ------
    InputError
        The file holds something else.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is no YAML: {one_line(error)}.") from error
    found = checked(Settings, settings, f"'{path}'")
    if not sum(kind.share for kind in found.durations) > 0:
        raise InputError(f"'{path}': durations: no share is above 0.")
    return settings


def draw_duration(rng: np.random.Generator, durations: list[dict]) -> float:
    """A duration in whole seconds, of one of the kinds {share, seconds: [low, high]}."""
    shares = np.array([kind["share"] for kind in durations])
    low, high = durations[rng.choice(len(shares), p=shares / shares.sum())]["seconds"]
    return float(rng.integers(low, high + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", type=Path, help="YAML: protocol, task, durations, seed")
    parser.add_argument("data", type=Path, help="folder of database.yml, scripts and noise")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--database", type=Path, help="instead of DATA/database.yml: trim_voices.py"
    )
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        fill(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"make_features.py: {one_line(error)}")


def fill(arguments: argparse.Namespace) -> None:
    """Make the shards that are missing."""
    checked(number(1e-3, 1e6), arguments.hours, "--hours", exact=True)
    checked(whole(1, 10_000), arguments.workers, "--workers", exact=True)
    checked(whole(0, arguments.workers - 1), arguments.worker, "--worker", exact=True)
    settings = load_settings(arguments.settings)
    load_database(arguments.database or arguments.data / "database.yml")
    description = dict(settings)
    if arguments.database is not None:  # other references of the same voices
        description["database"] = arguments.database.read_text(encoding="utf-8")
    key = shard_key(description)
    task = make_task(settings, arguments.data)
    encoder = FeatureEncoder()

    arguments.out.mkdir(parents=True, exist_ok=True)
    made_s, index, began = 0.0, 0, time.monotonic()
    while made_s < 3600 * arguments.hours:
        rng = np.random.default_rng([settings["seed"], index])
        duration_s = draw_duration(rng, settings["durations"])
        made_s += ROWS * duration_s
        path = arguments.out / f"{key}-{index:05d}.safetensors"
        if index % arguments.workers == arguments.worker and not path.exists():
            save_shard(path, conversations(task, encoder, duration_s, [settings["seed"], index]))
            speed = made_s / arguments.workers / (time.monotonic() - began)
            print(f"{path.name} {duration_s:g} s, {made_s / 3600:.2f} h, x {speed:.0f}", flush=True)
        index += 1


def make_task(settings: dict, data: Path) -> SyntheticPix2SeqDiarization:
    """Task of the settings, set up; of a database that is loaded."""
    protocol = get_protocol(settings["protocol"])
    options = dict(settings["task"])
    for name in ("scripts", "noise"):
        if name in options:
            options[name] = data / options[name]
    task = SyntheticPix2SeqDiarization(protocol, validation_conversations=1, **options)
    task.setup()
    return task


def conversations(task, encoder, duration_s: float, seed: list[int]) -> list[Encoded]:
    """Conversations of a shard, drawn, rendered and encoded."""
    done: list[Encoded] = []
    at_once = max(1, int(AT_ONCE_S / duration_s))
    for first in range(0, ROWS, at_once):
        drawn = [
            task.simulator.draw(np.random.default_rng([*seed, row]), duration_s, False)
            for row in range(first, min(first + at_once, ROWS))
        ]
        batch = task.simulator.render(drawn, torch.device("cpu"))
        with torch.inference_mode():
            features = encoder(batch.waveforms)
        for row, turns in enumerate(batch.turns):
            heard = Features(*(tensor[row] for tensor in features))
            voices = batch.voices[row]
            done.append(Encoded(heard, turns, voices[voices >= 0].tolist()))
    return done


if __name__ == "__main__":
    main()
