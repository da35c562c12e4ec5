"""What archive.py promises, shown on two workers of this machine: kills, bad files, a restart.

    python recipes/archive/show.py ../shared/data/simulated_dev FOLDER

cuts 500 short recordings, breaks five more, and hears them three times: by one worker; by two of
whom one is killed, and then the whole run, which goes on when it is called again; and by two in
peace. All tables must be equal, and equal to what `pyannote-drz diarize` says of each file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import soundfile
import typer

from pyannote_drz.io.audio import Audio

RATE = 16000
SECONDS = (4.0, 8.0)
STEADY = (0.25, 0.95)  # share of a run in which speed is measured: without its start and its end
HERE = Path(__file__).parent


def cut_recordings(source: Path, folder: Path, count: int) -> None:
    """Write `count` short recordings and five that are broken, each in its own way."""
    rng, audio = np.random.default_rng(0), Audio(RATE, mono="downmix")
    paths = sorted(path for path in source.rglob("*.opus") if path.parent.name != "meetings")
    for number in range(count):
        samples = audio(paths[number % len(paths)])[0][0].numpy()
        length = round(rng.uniform(*SECONDS) * RATE)
        start = rng.integers(len(samples) - length)
        into = folder / f"{number % 7}" / f"{number:04d}.flac"
        into.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(into, samples[start : start + length], RATE)
    whole = into.read_bytes()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "noise.mp3").write_bytes(rng.bytes(5000))
    (folder / "text.ogg").write_text("not a sound\n")
    (folder / "torn.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")


def run(recordings: Path, out: Path, workers: int) -> subprocess.Popen:
    """Start the archive."""
    command = [sys.executable, HERE / "archive.py", recordings, out, "--workers", workers]
    return subprocess.Popen(list(map(str, command)))


def num_done(out: Path) -> int:
    """Batches that are done."""
    return len(list(out.glob("heard/[!_]*.parquet")))


def wait(driver: subprocess.Popen, out: Path, batches: int) -> None:
    """Until that many batches are done."""
    while num_done(out) < batches:
        if driver.poll() is not None:
            sys.exit(f"the archive ended after {num_done(out)} batches (status {driver.poll()}).")
        time.sleep(0.1)


def workers_of(driver: subprocess.Popen) -> list[int]:
    """Process ids of the driver's workers, as Linux lists them."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(stat[1])

    def is_below(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == driver.pid:
                return True
        return False

    return [p for p, name in names.items() if name.startswith(b"ray::MapWorker") and is_below(p)]


def speed(out: Path) -> float:
    """Seconds of audio per second, between `STEADY` shares of the batches."""
    parts = sorted(out.glob("heard/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    first, last = (int(share * len(parts)) for share in STEADY)
    took_s = parts[last].stat().st_mtime - parts[first].stat().st_mtime
    heard = pd.concat(pd.read_parquet(path) for path in parts[first + 1 : last + 1])
    return heard["duration"].sum() / took_s


def table(out: Path, name: str) -> pd.DataFrame:
    """A table of an archive, in an order that does not depend on who wrote it."""
    rows = pd.read_parquet(out / name)
    return rows.sort_values(list(rows.columns[:3])).reset_index(drop=True)


def is_same(one: Path, other: Path) -> bool:
    """Whether all tables of two archives are the same, and all RTTM."""
    for name in ("turns", "errors", "heard"):
        if not table(one, name).equals(table(other, name)):
            return False
    speakers = [table(out, "speakers") for out in (one, other)]
    embeddings = [np.stack(some.pop("embedding").to_list()) for some in speakers]
    same = speakers[0].equals(speakers[1]) and np.allclose(*embeddings, atol=1e-5)
    rttm = [
        {path.relative_to(out): path.read_bytes() for path in out.glob("rttm/**/*.rttm")}
        for out in (one, other)
    ]
    return same and rttm[0] == rttm[1]


def turns_alone(recordings: Path, folder: Path) -> pd.DataFrame:
    """What `pyannote-drz diarize` says of each recording, as the table has it."""
    rows = []
    files = sorted(recordings.glob("*/*.flac"))
    command = [sys.executable, "-m", "pyannote_drz.cli.main", "diarize", *files, "--json"]
    subprocess.run([*command, "--out", folder, "--quiet"], check=True)
    for file in files:
        for turn in json.loads((folder / f"{file.stem}.json").read_text())["diarization"]:
            rows.append({"file": str(file.relative_to(recordings)), **turn})
    order = ["file", "start", "end", "speaker", "confidence"]
    rows = pd.DataFrame(rows)[order].sort_values(order[:3]).reset_index(drop=True)
    return rows.astype({"confidence": np.float32})


def main(
    source: Annotated[Path, typer.Argument(help="Folder of audio to cut.")],
    folder: Annotated[Path, typer.Argument(help="To work in: it is emptied.")],
    count: Annotated[int, typer.Option(min=50)] = 500,
) -> None:
    """Show it."""
    if folder.exists() and not (folder / "recordings").is_dir():
        raise typer.BadParameter(f"'{folder}' holds something else.")
    shutil.rmtree(folder, ignore_errors=True)
    recordings, one, killed, two = (folder / n for n in ("recordings", "one", "killed", "two"))
    cut_recordings(source, recordings, count)
    run(recordings, one, 1).wait()
    run(recordings, two, 2).wait()
    speeds = speed(one), speed(two)
    print(
        f"one worker {speeds[0]:.1f} x real time, two {speeds[1]:.1f}: {speeds[1] / speeds[0]:.2f} "
        f"times as fast; tables are {'equal' if is_same(one, two) else 'NOT equal'}"
    )

    batches = num_done(one)
    driver = run(recordings, killed, 2)
    wait(driver, killed, batches // 5)
    victim = workers_of(driver)[0]
    os.kill(victim, signal.SIGKILL)
    print(f"worker {victim} killed after {num_done(killed)} of {batches} batches")
    wait(driver, killed, batches // 2)
    driver.kill()
    driver.wait()
    print(f"the run killed after {num_done(killed)} batches; it is called again")
    run(recordings, killed, 2).wait()
    print(f"killed and restarted: tables are {'equal' if is_same(one, killed) else 'NOT equal'}")
    print(table(killed, "errors")[["file", "error"]].to_string(index=False, max_colwidth=100))

    alone, turns = turns_alone(recordings, folder / "alone"), table(killed, "turns")
    times = ["file", "start", "end", "speaker"]
    same = turns[times].equals(alone[times])
    far = np.abs(turns["confidence"] - alone["confidence"]).max() if same else np.nan
    print(
        f"{len(turns)} turns of {count} files, {len(alone)} by diarize: "
        f"{'equal' if same else 'NOT equal'}, confidence within {far:.4f}"
    )


if __name__ == "__main__":
    typer.run(main)
