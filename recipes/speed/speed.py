"""How fast diarizers are, side by side, on the same recordings, on whatever device there is.

    python recipes/speed/speed.py --registry ../shared/data/database.yml        # all of it: hours
    python recipes/speed/speed.py --longest 600                                 # up to 10 minutes
    python recipes/speed/speed.py --device cuda --system "ours, one pass" --system …

Prints x real time by the clock and by CPU time, peak memory, time to load and DER of each system on
each recording (cases.py), and where the time goes. Each is measured in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from cases import Case, make_cases
from hear import LOOKAHEAD_S, PYANNOTE, SHERPA, STEP_S, SYSTEMS
from pyannote.core import Annotation, Segment, Timeline
from pyannote_drz.evaluate import Score, hardware, score

HERE = Path(__file__).parent
PEER = HERE.parents[2] / "shared" / "peers" / "sherpa_diarize.py"
HEAD = (
    "| system | x real time, clock | x real time, CPU | peak memory, GB | of it loaded | load, s "
    "| DER % | people |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)


def told(system: str) -> str:
    """Name of a system in tables."""
    if system == "ours, online":
        return f"{system}, steps of {STEP_S:g} s, latency {STEP_S + LOOKAHEAD_S:g} s"
    if system == PYANNOTE:
        return f"{system}, segmentation-3.0, CAM++"
    return system


def measure(system: str, case: Case, options: list[str], threads: int) -> dict:
    """What hear.py tells.

    Raises
    ------
    RuntimeError
        It failed; with the last line that it said.
    """
    command = [sys.executable, str(HERE / "hear.py"), system, *map(str, case.files), *options]
    done = subprocess.run(
        [*command, "--threads", str(threads)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "PYANNOTE_METRICS_ENABLED": "0"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def scores_of(case: Case, turns: dict[str, list]) -> list[Score]:
    """Errors on every recording: no collar, overlap scored."""
    scores, seconds = [], case.seconds / len(case.files)
    for uri, reference in case.references.items():
        answer = Annotation(uri=uri)
        for track, (start, end, who) in enumerate(turns.get(uri, [])):
            answer[Segment(start, end), track] = who
        scores.append(score(reference, answer, Timeline([Segment(0, seconds)]), uri))
    return scores


def row(system: str, case: Case, took: dict) -> str:
    """One line of the table of a case."""
    scores = scores_of(case, took["turns"])
    rate = 100 * sum(s.error for s in scores) / sum(s.speech for s in scores)
    people = f"{sum(s.speakers for s in scores)} of {sum(s.reference_speakers for s in scores)}"
    memory = f"{took['peak_gb']:.2f}"
    if "gpu_gb" in took:
        memory += f", GPU {took['gpu_gb']:.2f}"
    cells = [
        told(system), f"{case.seconds / took['wall_s']:.1f}",
        f"{case.seconds / max(took['cpu_s'], 1e-3):.1f}", memory, f"{took['loaded_gb']:.2f}",
        f"{took['load_s']:.1f}", f"{rate:.1f}", people,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def stages(name: str, case: Case, took: dict) -> str:
    """Where the time went, in milliseconds for a second of audio, and what share of all that is."""
    known = sum(took["stages"].values())
    parts = took["stages"] | {"other": max(took["wall_s"] - known, 0.0)}
    cells = [
        f"{step} {1000 * s / case.seconds:.2f} ({100 * s / took['wall_s']:.0f} %)"
        for step, s in parts.items()
        if s >= 0.005 * took["wall_s"]
    ]
    return f"| {name} | {case.name} | {', '.join(cells)} |"


def main(
    registry: Annotated[
        Path | None, typer.Option(exists=True, help="database.yml of voices; else one sample.")
    ] = None,
    longest: Annotated[float, typer.Option(min=30, help="Longest recording, in seconds.")] = 14400,
    systems: Annotated[list[str] | None, typer.Option("--system", help="All, else.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of each.")] = os.cpu_count() or 1,
    device: Annotated[str, typer.Option(help="Of all but sherpa-onnx: cpu, cuda, mps.")] = "cpu",
    pipeline: Annotated[Path | None, typer.Option(exists=True, help="The packaged, else.")] = None,
    peer: Annotated[Path, typer.Option(help="sherpa-onnx's script.")] = PEER,
    patience: Annotated[
        float, typer.Option(help="Seconds: what would take longer is left out.")
    ] = 3600,
    work: Annotated[Path, typer.Option(help="Folder of the recordings; kept.")] = Path("speed"),
) -> None:
    """Measure all systems on all recordings."""
    systems = systems or SYSTEMS
    if unknown := set(systems) - set(SYSTEMS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is none of {', '.join(SYSTEMS)}.")
    options = ["--device", device, "--peer", str(peer)]
    options += ["--pipeline", str(pipeline)] if pipeline else []
    cases = make_cases(registry, work, longest)
    print(f"{date.today()}, {hardware(device)}; {threads} threads each\n")
    speeds: dict[str, float] = {}  # of the last case
    missing: dict[str, str] = {}
    of_stages = []
    for case in cases:
        print(f"### {case.name}\n\n{HEAD}")
        for system in systems:
            if system in missing:
                continue
            expected = case.seconds / speeds.get(system, float("inf"))
            if expected > patience:
                print(f"| {told(system)} | left out: about {expected / 60:.0f} min |" + " |" * 6)
                continue
            try:
                took = measure(system, case, options, threads)
            except RuntimeError as error:
                missing[system] = str(error)
                continue
            speeds[system] = case.seconds / took["wall_s"]
            print(row(system, case, took), flush=True)
            if system != SHERPA:  # which tells no stages
                of_stages.append(stages(told(system), case, took))
        print()
    for system, error in missing.items():
        print(f"{told(system)} could not be run here: {error}\n")
    print("### Milliseconds by stage, for a second of audio\n")
    print("\n".join(["| system | recording | |", "|---|---|---|", *of_stages]))


if __name__ == "__main__":
    typer.run(main)
