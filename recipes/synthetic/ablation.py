"""What do turn-taking and noise teach? The same small model and steps, other conversations.

    python recipes/synthetic/ablation.py ../shared/data runs/ablation

Every run is a folder: an interrupted ablation goes on where it was. DER on development files, no
collar, overlap scored.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

QUIET = (
    "task.simulation={bleed_share: 0, rooms: {room_share: 0}, "
    "noise: {floor_share: 0, recorded_share: 0, burst_share: 0}}"
)
SETS = {
    "SimDev chunks2": "SimDev.SpeakerDiarization.chunks2",
    "chunks3": "SimDev.SpeakerDiarization.chunks3",
    "chunks4": "SimDev.SpeakerDiarization.chunks4",
    "AMI excerpts": "AMIExcerpts.SpeakerDiarization.only_words",
}
# Small enough for minutes on one core. Factors are few, and learn twenty times as fast.
MODEL = [
    "model.dim=128", "model.num_layers=4", "model.dropout=0",
    "lr_ratios={audio_factors: 20, token_factors: 20, evidence_factors: 20}",
]  # fmt: skip
BATCH_SIZE, DURATION_S = 16, 10


def conditions(data: Path) -> dict[str, list[str]]:
    """Overrides of every condition, by name: other turns, and no noise."""
    scripts = [f"task.scripts={data}/ami/only_words/rttms/train", "task.scripts_ratio=1"]
    noise = f"task.noise={data}/noise/manifest.csv"
    return {
        "plain random turns": [noise],
        "fitted turns": ["task.fitted_ratio=1", noise],
        "replayed AMI turns": [*scripts, noise],
        "replayed, without rooms and noise": [*scripts, QUIET],
    }


def run(*command: str) -> None:
    """Run a command of this package with this Python; its output goes to ours."""
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "0"}
    subprocess.run([sys.executable, "-W", "ignore", *command], check=True, env=environment)


def main(
    data: Annotated[Path, typer.Argument(help="Folder of voices, noise, scripts.")],
    runs: Path,
    steps: int = 600,
    seeds: int = 2,
):
    """Train and score every condition; print the table."""
    figures: dict[str, list[list[float]]] = {}
    for name, overrides in conditions(data).items():
        for seed in range(1, seeds + 1):
            folder = runs / f"{name.replace(',', '').replace(' ', '-')}-{seed}"
            if not (folder / "best.ckpt").is_file():
                run(
                    "-m", "pyannote_drz.cli.train",
                    f"registry={data}/database.yml", "protocol=Voices.SpeakerDiarization.Voices",
                    "task=SyntheticPix2SeqDiarization", "model=Pix2SeqDiarizer", *MODEL,
                    f"task.duration={DURATION_S}", f"task.batch_size={BATCH_SIZE}",
                    f"task.chunks_per_epoch={steps * BATCH_SIZE}", "task.num_workers=1",
                    "task.prompt_ratio=0", "task.other_ratio=0",
                    "task.validation_conversations=8", *overrides,
                    "optimizer.lr=2e-3", "scheduler.warmup_steps=50", "ema=0.99",
                    "trainer.accelerator=cpu", "trainer.precision=bf16-mixed",
                    f"trainer.max_steps={steps}", "trainer.num_sanity_val_steps=0",
                    f"seed={seed}", f"hydra.run.dir={folder}", "resume=auto",
                )  # fmt: skip
            scores = folder / "scores.json"
            if not scores.is_file():
                package = str(Path(__file__).with_name("package.py"))
                run(package, str(folder / "best.ckpt"), str(folder / "pipeline"), "--context", "2")
                run(
                    "-m", "pyannote_drz.evaluate", str(folder / "pipeline"), *SETS.values(),
                    "--registry", f"{data}/database.yml", "--json", str(scores),
                )  # fmt: skip
            report = json.loads(scores.read_text())["protocols"]
            rows = [report[p]["systems"]["this system"]["summary"]["der"] for p in SETS.values()]
            figures.setdefault(name, []).append(rows)

    hours = steps * BATCH_SIZE * DURATION_S / 3600
    print(f"\n{steps} steps of {BATCH_SIZE} chunks of {DURATION_S} s ({hours:.0f} h), DER %:\n")
    print("| learnt from | " + " | ".join(SETS) + " |")
    print("|---|" + "--:|" * len(SETS))
    for name, rows in figures.items():
        cells = [" / ".join(f"{der:.1f}" for der in column) for column in np.transpose(rows)]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
