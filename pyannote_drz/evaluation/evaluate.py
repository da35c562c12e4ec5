"""Score a pipeline, or anyone's RTTM, on pyannote.database protocols, beside four baselines.

    python -m pyannote_drz.evaluate PIPELINE [PROTOCOL ...] --registry database.yml
    python -m pyannote_drz.evaluate PIPELINE --peer "python sherpa_diarize.py" …
    python -m pyannote_drz.evaluate --rttm ANSWERS [PROTOCOL ...] --registry database.yml

Diarization error rate without collar, overlap scored, on the region that is annotated. A DER near
that of "one speaker, oracle activity" can come from finding speech well and telling no voices
apart, so the baselines are always printed. PyanNet alone is what the model hears, before it thinks.
"""

import json
import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from pyannote.core import Annotation
from pyannote.database import ProtocolFile, registry
from rich.console import Console
from rich.progress import track

from pyannote_drz.cli.border import run_command
from pyannote_drz.cli.protocols import get_protocol, load_database
from pyannote_drz.evaluation.scores import COLLAR, Score, baselines, score, summarize
from pyannote_drz.evaluation.systems import (
    Peer,
    Spent,
    pipeline_system,
    pyannet_system,
    rttm_system,
)
from pyannote_drz.io.audio import Audio
from pyannote_drz.io.outputs import check_outputs, write_output

DEFAULT_PROTOCOLS = [f"SimDev.SpeakerDiarization.chunks{n}" for n in (2, 3, 4)]
DEFAULT_PROTOCOLS += [f"AMIExcerpts.SpeakerDiarization.{name}" for name in ("only_words", "quiet")]


def protocol_files(name: str, subset: str) -> list[ProtocolFile]:
    """The files of one subset of a registered protocol, each with `audio` as a path.

    Raises
    ------
    ValueError
        If there is no such protocol, or if it has no such subset.
    """
    if name not in list(registry):
        known = ", ".join(sorted(registry))
        raise ValueError(f"there is no protocol {name!r} in the registry, which has: {known}.")
    if subset not in ("train", "development", "test"):
        raise ValueError(f"subset must be train, development or test, got {subset!r}.")
    protocol = get_protocol(name)
    try:
        return list(getattr(protocol, subset)())
    except (AttributeError, NotImplementedError) as error:
        raise ValueError(f"protocol {name!r} has no {subset!r} subset.") from error


def evaluate(
    files: list[ProtocolFile], diarize: Callable[[ProtocolFile], Annotation], progress: str = ""
) -> tuple[dict[str, list[Score]], Spent, float]:
    """Run a system on files, and score it and the baselines.

    Returns
    -------
    scores : dict of list of Score
        By system: "this system", then the baselines.
    spent : Spent
        What the system took.
    audio : float
        Seconds of audio that it was given.
    """
    scores: dict[str, list[Score]] = {}
    spent, audio = Spent(0.0, 0.0), 0.0
    pyannet = pyannet_system()
    for file in track(files, progress, disable=not progress, console=Console(stderr=True)):
        reference, uem, uri = file["annotation"], file["annotated"], file["uri"]
        audio += Audio().get_duration(file["audio"])
        start = Spent.now()
        hypothesis = diarize(file)
        spent += Spent.now() - start
        answers = {"this system": hypothesis, **baselines(reference, uem)}
        answers["PyanNet alone"] = pyannet(file)
        for name, answer in answers.items():
            scores.setdefault(name, []).append(score(reference, answer, uem, uri))
    return scores, spent, audio


def without_nan(value: object) -> object:
    """The same, with None for what is no number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [without_nan(inside) for inside in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def table(scores: dict[str, list[Score]]) -> str:
    """The summaries of several systems on the same files, as a Markdown table."""
    rows = [
        "| system | DER % | 95 % interval | miss | false alarm | confusion "
        f"| DER %, ±{COLLAR} s collar | speakers right % | false alarm, s a file |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, of_system in scores.items():
        s = {key: "–" if np.isnan(x) else f"{x:.1f}" for key, x in summarize(of_system).items()}
        rows.append(
            f"| {name} | {s['der']} | {s['der_low']} to {s['der_high']} "
            f"| {s['miss']} | {s['false_alarm']} | {s['confusion']} | {s['der_collar']} "
            f"| {s['right_speaker_count']} | {s['false_alarm_seconds_per_file']} |"
        )
    return "\n".join(rows)


def overview(protocols: dict[str, dict]) -> str:
    """One row for each protocol of a report, as a Markdown table."""
    rows = [
        "| | files | DER % | 95 % interval | one speaker, oracle activity | PyanNet alone | peer "
        "| speakers right % | false alarm, s a file | audio / CPU time | peer's audio / CPU time |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]

    def cell(value: float | None) -> str:
        return "–" if value is None or np.isnan(value) else f"{value:.1f}"

    for name, of in protocols.items():
        ours, oracle, pyannet, peer = (
            of["systems"].get(who, {}).get("summary", {})
            for who in ("this system", "one speaker, oracle activity", "PyanNet alone", "peer")
        )
        speeds = [
            s and of["audio_seconds"] / s for s in (of["cpu_seconds"], of["peer_cpu_seconds"])
        ]
        cells = [
            f"{name} | {len(of['systems']['this system']['files'])}", cell(ours["der"]),
            f"{cell(ours['der_low'])} to {cell(ours['der_high'])}", cell(oracle["der"]),
            cell(pyannet.get("der")), cell(peer.get("der")), cell(ours["right_speaker_count"]),
            cell(ours["false_alarm_seconds_per_file"]), *map(cell, speeds),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def speed(audio_s: float, spent: Spent) -> str:
    """How much faster than the audio."""
    by_cpu = audio_s / max(spent.cpu_s, 1e-3)
    return f"{audio_s / spent.wall_s:.1f} x real time by the clock, {by_cpu:.1f} x by CPU time"


def hardware(device: str) -> str:
    """One line on what ran: processor or accelerator, threads, versions."""
    if device.startswith("cuda"):
        what = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path("/proc/cpuinfo")  # Linux only; elsewhere Python's own word for it
        text = cpuinfo.read_text() if cpuinfo.is_file() else ""
        named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        what = named[1] if named else platform.processor() or platform.machine()
        what += f", {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{device}: {what}; Python {platform.python_version()}, torch {torch.__version__}"


Names = Annotated[list[str] | None, typer.Argument(metavar="[PIPELINE] [PROTOCOL]...")]
Registry = Annotated[Path, typer.Option("--registry", exists=True, dir_okay=False)]
Subset = Annotated[str, typer.Option(help="train, development or test.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps.")]
Rttm = Annotated[Path | None, typer.Option(exists=True, help="RTTM file or folder to score.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only each protocol's first files.")]
PeerCommand = Annotated[
    str | None, typer.Option(help="Command that takes audio files and prints their RTTM.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --json, whoever wrote it.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all figures, file by file.")]


def open_files(
    names: list[str] | None,
    registry_yml: Path,
    subset: str,
    rttm: Path | None,
    limit: int | None,
    device: str = "cpu",
) -> tuple[str, Callable[[ProtocolFile], Annotation], dict[str, list[ProtocolFile]]]:
    """What the command line asks to be scored.

    Returns
    -------
    system : str
    diarize : callable
    files : dict
        Files of each protocol.

    Raises
    ------
    typer.BadParameter
        Nothing is named, or what is named is not there.
    """
    names = list(names or [])
    if rttm is None and not names:
        raise typer.BadParameter("name a pipeline's folder first, or an RTTM with --rttm.")
    system = str(rttm or names.pop(0))
    load_database(registry_yml)
    try:
        files = {n: protocol_files(n, subset)[:limit] for n in names or DEFAULT_PROTOCOLS}
        if rttm:
            diarize = rttm_system(rttm, [f["uri"] for some in files.values() for f in some])
        else:
            diarize = pipeline_system(system, device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return system, diarize, files


def main(
    names: Names = None,
    registry_yml: Registry = Path("database.yml"),
    subset: Subset = "development",
    device: Device = "cpu",
    rttm: Rttm = None,
    peer: PeerCommand = None,
    limit: Limit = None,
    into: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Score a pipeline's folder, or an RTTM, on protocols, beside four baselines and a peer."""
    if into is not None:
        folder = Path((names or [""])[0])
        of_system = [] if rttm else folder.glob("**/*") if folder.is_dir() else [folder]
        check_outputs([into], [registry_yml, rttm, *of_system], overwrite)
    system, diarize, files = open_files(names, registry_yml, subset, rttm, limit, device)
    try:
        other = peer and Peer(peer)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    machine = hardware(device) if peer or not rttm else None
    what = {"system": system, "peer": peer, "hardware": machine}
    print("\n".join(f"{name}: {value}" for name, value in what.items() if value))
    report = {**what, "subset": subset, "protocols": {}}
    for name, some in files.items():
        scores, spent, audio = evaluate(some, diarize, progress=name)
        told = "" if rttm else f", {speed(audio, spent)}"
        of_peer = None
        if other:
            try:
                answers, of_peer = other.diarize(some)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
            scores["peer"] = [
                score(file["annotation"], answer, file["annotated"], file["uri"])
                for file, answer in zip(some, answers)
            ]
            told += f"; peer {speed(audio, of_peer)}"
            if not rttm:
                told += f": by CPU time we are {of_peer.cpu_s / spent.cpu_s:.1f} times as fast"
        speech = sum(s.speech for s in scores["this system"])
        print(f"\n### {name}, {subset}\n")
        print(f"{len(some)} files, {audio:.0f} s of audio, {speech:.0f} s of speech{told}\n")
        print(table(scores), flush=True)
        report["protocols"][name] = {
            "audio_seconds": audio,
            "wall_seconds": None if rttm else spent.wall_s,
            "cpu_seconds": None if rttm else spent.cpu_s,
            "peer_wall_seconds": of_peer and of_peer.wall_s,
            "peer_cpu_seconds": of_peer and of_peer.cpu_s,
            "systems": {
                who: {"summary": summarize(these), "files": [asdict(s) for s in these]}
                for who, these in scores.items()
            },
        }
    print(f"\n{overview(report['protocols'])}")
    if into:
        text = json.dumps(without_nan(report), indent=2, allow_nan=False) + "\n"
        write_output(into, text.encode())


app = typer.Typer(add_completion=False)
app.command()(main)

if __name__ == "__main__":
    run_command(app, "pyannote_drz.evaluate")
