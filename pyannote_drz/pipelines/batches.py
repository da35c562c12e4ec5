"""Batches: chunks of many files are written together.

A file is a generator: it yields steps, is sent what was written, and returns its output.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .chunks import ChunkRequest, ChunkResult


class Step(NamedTuple):
    """A step of a file: chunks to be written, and the name that hooks are given."""

    name: str
    requests: list[ChunkRequest]


Job = Generator[Step, list[ChunkResult], Any]


def no_hook(*args, **kwargs) -> None:
    """Progress that is shown to nobody."""


@dataclass
class _Open:
    """A job under way."""

    job: Job
    hook: Callable
    step: Step | None = None
    results: list[ChunkResult] = field(default_factory=list)
    output: Any = None

    @property
    def waiting(self) -> list[ChunkRequest]:
        return [] if self.step is None else self.step.requests[len(self.results) :]

    def go_on(self) -> None:
        """Send what was written, until there is more to write or all is done."""
        while self.step is None or len(self.results) == len(self.step.requests):
            try:
                self.step = self.job.send(None if self.step is None else self.results)
            except StopIteration as stop:
                self.step, self.output = None, stop.value
                return
            self.results = []
            self.hook(self.step.name, None, total=len(self.step.requests), completed=0)


def run(
    jobs: Iterable[tuple[Job, Callable]],
    decode: Callable[[list[ChunkRequest]], list[ChunkResult]],
    batch_size: int,
) -> Iterator[Any]:
    """Write the chunks of many files together.

    Parameters
    ----------
    jobs : iterable of (job, hook)
        Files are opened only when those that are open cannot fill a batch.
    decode : callable
        `decode_chunks` of a model, or whatever takes requests of the same length and returns as
        many results.
    batch_size : int
        Chunks written at once, at most.

    Yields
    ------
    output : object
        What each job returned, in order.
    """
    jobs = iter(jobs)
    files: list[_Open] = []  # in order
    exhausted = False
    while files or not exhausted:
        while not exhausted and sum(len(file.waiting) for file in files) < batch_size:
            opened = next(jobs, None)
            if opened is None:
                exhausted = True
                break
            files.append(_Open(*opened))
            files[-1].go_on()
        while files and files[0].step is None:
            yield files.pop(0).output
        first = next((file for file in files if file.waiting), None)
        if first is None:
            continue

        batch: list[tuple[_Open, ChunkRequest]] = []
        for file in files:
            for request in file.waiting[: batch_size - len(batch)]:
                if request.num_positions != first.waiting[0].num_positions:
                    break  # of a file, in order
                batch.append((file, request))
        results = decode([request for _, request in batch])
        for (file, _), result in zip(batch, results, strict=True):
            file.results.append(result)
        for file in {id(file): file for file, _ in batch}.values():
            total, completed = len(file.step.requests), len(file.results)
            file.hook(file.step.name, None, total=total, completed=completed)
            file.go_on()
