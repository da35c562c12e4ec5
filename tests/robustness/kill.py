"""Kill commands at random instants, run them again, and compare with who was not disturbed.

    python tests/robustness/kill.py FOLDER --kills 20 [--seed 0] [--only train]

Every command is killed `--kills` times (SIGKILL), `CHAIN` times in the same folder, one after the
other, before it may end: so what is left behind by several is met, too. Prints a line a command.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

CHAIN = 4  # kills before a command may end
REPOSITORY = Path(__file__).resolve().parents[2]
RATE = 16000
VOICES = "Kill.SpeakerDiarization.Voices"
PYTHON = [sys.executable, "-W", "ignore"]
DRZ = [*PYTHON, "-m", "pyannote_drz.cli.main"]

FEATURES = f"""
protocol: {VOICES}
seed: 0
durations: [{{share: 1.0, seconds: [2, 3]}}]
task: {{cache: cache, simulation: {{similar_share: 0.0}}}}
"""
TINY = (
    f"registry=../data/database.yml protocol={VOICES} hydra.run.dir=run resume=auto ~logger "
    "model.dim=16 model.num_layers=1 model.num_heads=2 task.duration=2 task.batch_size=2 "
    "task.validation_conversations=2 task.num_workers=0 task.chunks_per_epoch=8 task.cache=cache "
    "task.simulation={similar_share:0.0} trainer.max_steps=12 trainer.accelerator=cpu "
    "last_every_minutes=0.001"
)


class Command(NamedTuple):
    """What is run, and what it writes.

    words : list of str
    results : callable
        Of the folder that it ran in: what must be equal.
    """

    words: list[str]
    results: Callable[[Path], dict[str, str]]


def contents(*patterns: str) -> Callable[[Path], dict[str, str]]:
    """Checksums of files."""

    def results(folder: Path) -> dict[str, str]:
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.is_file()
        }

    return results


def weights(folder: Path) -> dict[str, str]:
    """Checksums of what a run has learnt, and of its pipeline."""
    import torch

    found = contents("run/pipeline/**/*")(folder)
    for name in ("last.ckpt", "best.ckpt"):
        content = torch.load(folder / "run" / name, weights_only=False)
        found[f"{name}: step"] = str(content["global_step"])
        for key, value in content["state_dict"].items():
            found[f"{name}: {key}"] = hashlib.sha256(value.numpy().tobytes()).hexdigest()
    return found


COMMANDS = {
    "diarize": Command(
        [*DRZ, "diarize", *(f"../data/meeting{k}.wav" for k in range(3)), "--out", "out",
         "--rttm", "--json", "--report", "pages"],
        contents("out/*", "pages/*"),
    ),
    "simulate": Command(
        [*DRZ, "simulate", VOICES, "out", "--registry", "../data/database.yml", "--hours", "0.02",
         "--duration", "6", "--jobs", "1", "--cache", "cache"],
        contents("out/**/*"),
    ),
    "prepare": Command([*DRZ, "prepare", "own", "--out", "own/protocol"], contents("own/protocol/**/*")),
    "make_features": Command(
        [*PYTHON, str(REPOSITORY / "recipes/synthetic/make_features.py"), "../data/features.yaml",
         "../data", "out", "--hours", "0.08"],
        contents("out/*"),
    ),
    "train": Command([*PYTHON, "-m", "pyannote_drz.cli.train", *TINY.split(" ")], weights),
}  # fmt: skip


def make_data(folder: Path) -> None:
    """Voices that nobody has, as a protocol, and three meetings of theirs."""
    folder.mkdir(parents=True)
    time_s = np.arange(6 * RATE) / RATE
    uris = {}
    for subset in ("train", "development"):
        uris[subset] = [f"{subset}{k}" for k in range(4)]
        for k, uri in enumerate(uris[subset]):
            rng = np.random.default_rng([k, subset == "train"])
            buzz = sum(
                np.sin(2 * np.pi * rng.uniform(90, 250) * h * time_s) / h for h in range(1, 9)
            )
            voice = 0.05 * buzz * (0.55 + 0.45 * np.sin(8 * np.pi * time_s))
            soundfile.write(
                folder / f"{uri}.wav", voice + 1e-4 * rng.standard_normal(len(voice)), RATE
            )
        files = uris[subset]
        text = {
            "lst": "".join(f"{uri}\n" for uri in files),
            "rttm": "".join(f"SPEAKER {u} 1 0.2 5.6 <NA> <NA> {u} <NA> <NA>\n" for u in files),
            "uem": "".join(f"{uri} 1 0 6\n" for uri in files),
        }
        for kind, content in text.items():
            (folder / f"{subset}.{kind}").write_text(content)
    subsets = "".join(
        f"        {s}: {{uri: {s}.lst, annotation: {s}.rttm, annotated: {s}.uem}}\n" for s in uris
    )
    (folder / "database.yml").write_text(
        "Databases:\n  Kill: '{uri}.wav'\nProtocols:\n  Kill:\n    SpeakerDiarization:\n"
        f"      Voices:\n        scope: global\n{subsets}"
    )
    (folder / "features.yaml").write_text(FEATURES)
    for k in range(3):
        voices = [soundfile.read(folder / f"train{(k + i) % 4}.wav")[0] for i in range(3)]
        soundfile.write(folder / f"meeting{k}.wav", np.concatenate(voices), RATE)


def make_own(folder: Path, data: Path) -> None:
    """Recordings and labels, for `prepare`, which reads and writes the same folder."""
    folder.mkdir(parents=True)
    for k in range(40):
        (folder / f"r{k}.wav").write_bytes((data / f"train{k % 4}.wav").read_bytes())
        (folder / f"r{k}.rttm").write_text(f"SPEAKER r{k} 1 0.2 5 <NA> <NA> A <NA> <NA>\n")


def start(command: Command, folder: Path) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1",
        "PYANNOTE_DRZ_CACHE": str(folder / "cache"), "PYANNOTE_METRICS_ENABLED": "0",
    }  # fmt: skip
    environment.pop("PL_GLOBAL_SEED", None)
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            command.words, cwd=folder, env=environment, stdout=log, stderr=log
        )  # fmt: skip


def finish(command: Command, folder: Path) -> dict[str, str]:
    """Run to the end; what was written, and what should not be there.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    process = start(command, folder)
    if status := process.wait(timeout=1800):
        told = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"status {status}: {' '.join(told)}")
    left = [str(p.relative_to(folder)) for p in folder.rglob("*.part") if "written" not in p.parts]
    return {**command.results(folder), **{f"left behind: {name}": "" for name in left}}


def torment(name: str, work: Path, kills: int, rng: random.Random) -> tuple[int, int, list[str]]:
    """Kill a command that many times.

    Returns
    -------
    killed : int
        Kills that met it alive.
    chains : int
        Times that it could end.
    wrong : list of str
        What was different then.
    """
    command, prepared = COMMANDS[name], name == "prepare"
    if prepared:
        make_own(work / f"{name}-0" / "own", work / "data")
    begun = time.monotonic()
    expected = finish(command, work / f"{name}-0")
    took_s = time.monotonic() - begun
    killed, chains, wrong = 0, 0, []
    while killed < kills:
        chains += 1
        folder = work / f"{name}-{chains}"
        if prepared:
            make_own(folder / "own", work / "data")
        for _ in range(min(CHAIN, kills - killed)):
            process = start(command, folder)
            try:
                process.wait(timeout=rng.uniform(0, took_s))
                break  # it was faster: nothing is left to kill
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
        try:
            if prepared and (folder / "own" / "protocol").exists():
                found = command.results(folder)
            else:
                found = finish(command, folder)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{folder.name}: {error}")
            continue
        different = sorted(k for k in {*expected, *found} if expected.get(k) != found.get(k))
        if different:
            wrong.append(f"{folder.name}: {len(different)} differ, such as {different[0]}")
    return killed, chains, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="new; all is written there")
    parser.add_argument("--kills", type=int, default=20, help="of every command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(COMMANDS), action="append")
    arguments = parser.parse_args()
    work = arguments.folder.resolve()
    make_data(work / "data")
    failed = False
    for name in arguments.only or COMMANDS:
        begun = time.monotonic()
        killed, chains, wrong = torment(name, work, arguments.kills, random.Random(arguments.seed))
        failed |= bool(wrong)
        print(
            f"{name}: killed {killed} times, ended {chains} times, of which {len(wrong)} wrong, "
            f"{time.monotonic() - begun:.0f} s",
            *wrong, sep="\n  ", flush=True,
        )  # fmt: skip
    sys.exit(failed)


if __name__ == "__main__":
    main()
