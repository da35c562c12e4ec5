"""Chunks in batches: what the model writes of each, and whose voice each turn has.

    asks of one or more files > batches of equal length > turns and voice vectors of every chunk

A chunk that is prompted is written in one window with its prompts; what is told of it begins with
the chunk itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..decoding import decode
from ..models.pix2seq import Pix2SeqDiarizer
from ..prompting import NOBODY, Prompts
from .stitching import Turn, alone

# What a voice counts that is only heard together with others: it decides when nothing else does.
OVERLAPPED = 0.01


# s; turns of two people whose starts and ends are that near are one turn, written again: a model
# that has begun to repeat itself gives everybody the whole chunk. Of 66816 turns of AMI train, 150
# are like that, and 17 of those last longer than 1 s.
UNISON_S = 0.1


class Ask(NamedTuple):
    """One chunk to be written.

    waveform : (samples,) Tensor
    max_speakers : int
        Letters that may be used, prompted ones included.
    prompts : Prompts, optional
        Voices of the first letters.
    """

    waveform: Tensor
    max_speakers: int
    prompts: Prompts = NOBODY

    @property
    def num_samples(self) -> int:
        """Of the window: prompts and chunk."""
        return len(self.prompts.waveform) + len(self.waveform)


class Written(NamedTuple):
    """What was written of one chunk.

    turns : list of Turn
        In seconds from the beginning of the chunk; speakers are letters, counted from 0.
    voices : (turns, voice_dim + 1) array
        Summed unit voice vectors over the seconds of each turn in which nobody else speaks, as
        `Memory.voice_sums` has them, and the summed weights, in audio positions.
    whole : (voice_dim + 1,) array
        The same, over the whole chunk.
    speech : (bins,) array
        Probability that anybody speaks, by the activity head.
    """

    turns: list[Turn]
    voices: np.ndarray
    whole: np.ndarray
    speech: np.ndarray


def voices_of(turns: list[Turn], voice_sums: np.ndarray, position_s: float) -> np.ndarray:
    """Pool voice vectors over the parts of turns in which nobody else speaks.

    Parameters
    ----------
    turns : list of Turn
        In seconds from the beginning of the chunk.
    voice_sums : (positions + 1, voice_dim + 1) array
        Cumulated, see `Memory`.
    position_s : float
        Duration of an audio position, in seconds.

    Returns
    -------
    voices : (turns, voice_dim + 1) array
    """
    voices = np.zeros((len(turns), voice_sums.shape[1]), dtype=np.float32)
    last = len(voice_sums) - 1
    for row, turn in enumerate(turns):
        for start, end in alone(turn, turns):
            # Whole positions only: one at an edge hears somebody else, or nobody.
            first = min(int(np.ceil(start / position_s - 1e-6)), last)
            stop = min(int(end / position_s + 1e-6), last)
            if first < stop:
                voices[row] += voice_sums[stop] - voice_sums[first]
        if not voices[row].any():  # nowhere alone: better than nothing
            first = min(int(turn.start / position_s), last)
            stop = min(int(np.ceil(turn.end / position_s)), last)
            voices[row] = OVERLAPPED * (voice_sums[stop] - voice_sums[first])
    return voices


def without_unison(turns: list[Turn]) -> list[Turn]:
    """Turns without those that begin and end together with an earlier one."""
    kept: list[Turn] = []
    for turn in turns:
        if not any(
            abs(turn.start - other.start) <= UNISON_S and abs(turn.end - other.end) <= UNISON_S
            for other in kept
        ):
            kept.append(turn)
    return kept


@torch.inference_mode()
def write(model: Pix2SeqDiarizer, asks: list[Ask], newcomer_bias: float = 0.0) -> list[Written]:
    """Write a batch of windows of the same length.

    Parameters
    ----------
    model : Pix2SeqDiarizer
        In evaluation mode.
    asks : list of Ask
    newcomer_bias : float, optional
        See `decode`.

    Returns
    -------
    written : list of Written
    """
    vocabulary, rate = model.vocabulary, model.hparams.sample_rate
    windows = [torch.cat([ask.prompts.waveform, ask.waveform]) for ask in asks]
    memory = model.listen(torch.stack(windows).to(model.device))
    max_speakers = torch.tensor([ask.max_speakers for ask in asks], device=model.device)
    given = [vocabulary.from_triplets(vocabulary.given(a.prompts.spans))[:-1] for a in asks]
    tokens, probabilities = decode(model, memory, max_speakers, newcomer_bias, given=given)
    # The probability of a turn is the geometric mean of those of its three tokens.
    log_probabilities = probabilities.log().cpu()
    voice_sums = memory.voice_sums.float().cpu().numpy()
    nobody = (1 - memory.activity.float().sigmoid()).prod(-1)  # (batch, bins)
    speech = (1 - nobody).cpu().numpy()
    position_s = model.position_samples / rate

    written = []
    for row, ask in enumerate(asks):
        begin = len(ask.prompts.waveform)  # samples; of the chunk, in its window
        begin_bin = begin // model.bin_samples
        sums = voice_sums[row, begin // model.position_samples :]
        sums = sums - sums[:1]
        triplets = vocabulary.to_triplets(tokens[row].tolist())
        per_turn = log_probabilities[row, : 3 * len(triplets)].view(-1, 3).mean(1).exp()
        bin_s = vocabulary.resolution
        turns = [
            Turn(max(start - begin_bin, 0) * bin_s, (end - begin_bin) * bin_s, speaker, p)
            for (start, end, speaker), p in zip(triplets, per_turn.tolist(), strict=True)
            if end > begin_bin  # those of prompts are over before
        ]
        turns = without_unison(turns)
        voices = voices_of(turns, sums, position_s)
        written.append(Written(turns, voices, sums[-1], speech[row, begin_bin:]))
    return written


class Step(NamedTuple):
    """A step of a file: chunks to be written, and the name that hooks are given."""

    name: str
    asks: list[Ask]


# What a file is to the batches: it yields steps, is sent what was written, returns its output.
Job = Generator[Step, list[Written], Any]


@dataclass
class _Open:
    """A job under way."""

    job: Job
    hook: Callable
    step: Step | None = None
    written: list[Written] = field(default_factory=list)
    output: Any = None

    @property
    def waiting(self) -> list[Ask]:
        return [] if self.step is None else self.step.asks[len(self.written) :]

    def go_on(self) -> None:
        """Send what was written, until there is more to write or all is done."""
        while self.step is None or len(self.written) == len(self.step.asks):
            try:
                self.step = self.job.send(None if self.step is None else self.written)
            except StopIteration as stop:
                self.step, self.output = None, stop.value
                return
            self.written = []
            self.hook(self.step.name, None, total=len(self.step.asks), completed=0)


def run(
    jobs: Iterable[tuple[Job, Callable]],
    write: Callable[[list[Ask]], list[Written]],
    batch_size: int,
) -> Iterator[Any]:
    """Write the chunks of many files together.

    Parameters
    ----------
    jobs : iterable of (job, hook)
        Files are opened only when those that are open cannot fill a batch.
    write : callable
        `write` of a model, or whatever takes asks of the same length and returns as many `Written`.
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
        asking = next((file for file in files if file.waiting), None)
        if asking is None:
            continue

        batch: list[tuple[_Open, Ask]] = []
        for file in files:
            for ask in file.waiting[: batch_size - len(batch)]:
                if ask.num_samples != asking.waiting[0].num_samples:
                    break  # of a file, in order
                batch.append((file, ask))
        for (file, _), written in zip(batch, write([ask for _, ask in batch]), strict=True):
            file.written.append(written)
        for file in {id(file): file for file, _ in batch}.values():
            file.hook(file.step.name, None, total=len(file.step.asks), completed=len(file.written))
            file.go_on()
