"""Diarize an archive, on as many cores or machines as there are: Ray Data shares it out.

    python recipes/archive/archive.py RECORDINGS OUT                 # all cores of this machine
    python recipes/archive/archive.py table.csv s3://bucket/out      # anything fsspec reaches
    python recipes/archive/archive.py … --address auto --workers 64  # a cluster that runs

OUT has RTTM files and tables in Parquet (tables.py). A run that was killed goes on with what is
missing when it is called again. Nothing is sent to anybody. More: docs/archive.md.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported: it tells nobody of this run
os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
# Ray warns of actors as Ray Data makes them, at every start.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
import typer
from ray.data import ActorPoolStrategy, DataContext
from recordings import find_recordings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tables import DONE, Tables, part_of
from worker import Worker, model_of

import pyannote_drz
from pyannote_drz.cli.border import run_command
from pyannote_drz.io.errors import InputError

STORE_BYTES = 2**28  # of Ray's object store: names and numbers pass through it, never audio


def start_ray(address: str | None, workers: int, threads: int) -> None:
    """Start Ray on this machine, or join a cluster that runs.

    Raises
    ------
    InputError
        This machine has fewer cores than are asked for: Ray would wait for them forever.
    """
    cores, asked = os.cpu_count() or 1, workers * threads
    if address is None and asked > cores:
        raise InputError(
            f"{workers} workers of {threads} threads ask for {asked} cores, and there are {cores}."
        )
    here = {}
    if address is None:
        here = {"num_cpus": cores, "object_store_memory": STORE_BYTES}
        here["_node_ip_address"] = "127.0.0.1"  # nobody else can reach it
    variables = {name: "0" for name in ("RAY_USAGE_STATS_ENABLED", "PYANNOTE_METRICS_ENABLED")}
    ray.init(
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        # The files beside this one are imported by workers, which may be elsewhere.
        runtime_env={"working_dir": str(Path(__file__).parent), "env_vars": variables},
        **here,
    )
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def hear(
    recordings: dict[str, str],
    tables: Tables,
    pipeline: Path,
    workers: int,
    threads: int,
    device: str,
    batch: int,
) -> Iterator[dict]:
    """Hear recordings, `batch` of them together, in whatever order they are done.

    A batch is a block of Ray Data, and passes as names: workers read audio themselves, a batch at a
    time, so that memory does not grow with the archive. A worker that dies is started again, and
    its batch with it.

    Yields
    ------
    heard : dict
        `duration` and whether it `failed`, of one recording.
    """
    rows = [{"name": name, "path": path} for name, path in recordings.items()]
    batches = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // batch))
    heard = batches.map_batches(
        Worker,
        batch_size=None,  # a block as it is
        compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(tables, pipeline, device, threads),
        num_cpus=threads,
        num_gpus=1 if device.startswith("cuda") else 0,
    )
    return heard.iter_rows()


def refuse(names: list[str], tables: Tables) -> None:
    """Tell recordings whose names are no text, which no table could hold, and no RTTM."""
    told = "its name is no text that can be printed: rename it."
    shown = [name.encode("unicode_escape", "backslashreplace").decode() for name in names]
    part = part_of(names)
    tables.write("errors", part, [{"file": name, "error": told} for name in shown])
    tables.write(DONE, part, [])


def main(
    source: Annotated[str, typer.Argument(help="Folder, bucket, or table with a column 'path'.")],
    out: Annotated[str, typer.Argument(help="Folder or bucket for RTTM files and tables.")],
    pipeline: Annotated[
        Path, typer.Option(help="Folder of a pipeline, on every machine.")
    ] = pyannote_drz.PRETRAINED,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pipelines. As many as fit this machine, else.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores of each: one is best.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, or cuda: one GPU for each worker.")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Recordings that are heard together.")] = 8,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; auto finds it.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Hear those with errors again.")] = False,
) -> None:
    """Diarize an archive."""
    if not out.partition("://")[1]:
        out = os.path.abspath(out)  # workers have folders of their own
    recordings = find_recordings(source)
    tables = Tables(out, model_of(pipeline.absolute()))
    done = tables.open(retry)
    missing = {name: path for name, path in recordings.items() if name not in done}
    if strange := [name for name in missing if not name.isprintable()]:
        refuse(strange, tables)
        missing = {name: path for name, path in missing.items() if name.isprintable()}
    console = Console(stderr=True)
    console.print(f"{len(recordings)} recordings, {len(recordings) - len(missing)} of them done")
    if not missing:
        return
    workers = workers or max(1, (os.cpu_count() or 1) // threads)
    start_ray(address, workers, threads)
    failed, heard_s, began = 0, 0.0, time.monotonic()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[s]}"),
    )
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("", total=len(missing), s="")
        for one in hear(missing, tables, pipeline.absolute(), workers, threads, device, batch):
            failed += bool(one["failed"])
            heard_s += one["duration"]
            speed = heard_s / (time.monotonic() - began)
            told = f"{heard_s / 3600:.2f} h, {speed:.0f} x real time, {failed} failed"
            bars.update(bar, advance=1, description=told)
    took_s = time.monotonic() - began
    ray.shutdown()
    print(
        f"{len(missing)} recordings, {heard_s / 3600:.2f} h, heard in {took_s:.1f} s by {workers} "
        f"workers: {heard_s / took_s:.1f} x real time; {failed} failed"
        + (f", see {tables.path('errors')}" if failed else "")
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    run_command(app, "archive.py")
