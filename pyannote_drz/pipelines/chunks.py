"""Chunks in batches: what the model writes of each, and whose voice each turn has.

    asks of one or more files > batches of equal length > turns and voice vectors of every chunk

Chunks that share prompts share what was heard of them: their keys and values are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..decoding import decode
from ..models.pix2seq import Pix2SeqDiarizer, Prompts, Voices
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
    prompts : tuple of (samples,) Tensor
        Voices of the first letters. Chunks with the very same tuple share what is heard of it.
    max_speakers : int
        Letters that may be used, prompted ones included.
    """

    waveform: Tensor
    prompts: tuple[Tensor, ...]
    max_speakers: int


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


def as_prompts(voices: list[tuple[Tensor, ...]], device: torch.device | str = "cpu") -> Prompts:
    """Pad voices to (batch, prompts, samples); a row may have fewer than others, or none."""
    num_prompts = max(len(row) for row in voices)
    rows = [[*row, *[torch.zeros(1)] * (num_prompts - len(row))] for row in voices]
    flat = pad_sequence([voice for row in rows for voice in row], batch_first=True)
    lengths = [[len(v) for v in row] + [0] * (num_prompts - len(row)) for row in voices]
    return Prompts(
        waveforms=flat.view(len(voices), num_prompts, -1).to(device),
        lengths=torch.tensor(lengths, device=device),
    )


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


class Writer:
    """Writes batches of chunks.

    Parameters
    ----------
    model : Pix2SeqDiarizer
        In evaluation mode.
    """

    def __init__(self, model: Pix2SeqDiarizer):
        self.model = model
        self._prompts: list[tuple[Tensor, ...]] = []  # those that were heard last …
        self._voices: Voices | None = None  # … and what was heard

    def _hear(self, prompts: list[tuple[Tensor, ...]]) -> Voices | None:
        """What is heard of the prompts of each chunk; None where nobody is prompted."""
        if not any(prompts):
            return None
        distinct = list({id(row): row for row in prompts}.values())
        if [id(row) for row in distinct] != [id(row) for row in self._prompts]:
            self._prompts = distinct
            self._voices = self.model.hear(as_prompts(distinct, self.model.device))
        index = {id(row): i for i, row in enumerate(distinct)}
        return self._voices.select([index[id(row)] for row in prompts])

    @torch.inference_mode()
    def __call__(self, asks: list[Ask], newcomer_bias: float = 0.0) -> list[Written]:
        """Write a batch of chunks of the same length; for `newcomer_bias` see `decode`."""
        model, vocabulary = self.model, self.model.vocabulary
        waveforms = torch.stack([ask.waveform for ask in asks]).to(model.device)
        memory = model.listen(waveforms, self._hear([ask.prompts for ask in asks]))
        max_speakers = torch.tensor([ask.max_speakers for ask in asks], device=model.device)
        tokens, probabilities = decode(model, memory, max_speakers, newcomer_bias)
        # The probability of a turn is the geometric mean of those of its three tokens.
        log_probabilities = probabilities.log().cpu()
        voice_sums = memory.voice_sums.float().cpu().numpy()
        nobody = (1 - memory.activity.float().sigmoid()).prod(-1)  # (batch, bins)
        speech = (1 - nobody).cpu().numpy()
        position_s = model.position_samples / model.hparams.sample_rate

        written = []
        for row, sums in enumerate(voice_sums):
            triplets = vocabulary.to_triplets(tokens[row].tolist())
            per_turn = log_probabilities[row, : 3 * len(triplets)].view(-1, 3).mean(1).exp()
            turns = [
                Turn(start * vocabulary.resolution, end * vocabulary.resolution, speaker, p)
                for (start, end, speaker), p in zip(triplets, per_turn.tolist(), strict=True)
            ]
            turns = without_unison(turns)
            voices = voices_of(turns, sums, position_s)
            written.append(Written(turns, voices, sums[-1], speech[row]))
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
        `Writer`, or whatever takes asks of the same length and returns as many `Written`.
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

        def kind(ask: Ask) -> tuple[int, bool]:
            return len(ask.waveform), bool(ask.prompts)

        batch: list[tuple[_Open, Ask]] = []
        for file in files:
            for ask in file.waiting[: batch_size - len(batch)]:
                if kind(ask) != kind(asking.waiting[0]):
                    break  # of a file, in order
                batch.append((file, ask))
        for (file, _), written in zip(batch, write([ask for _, ask in batch]), strict=True):
            file.written.append(written)
        for file in {id(file): file for file, _ in batch}.values():
            file.hook(file.step.name, None, total=len(file.step.asks), completed=len(file.written))
            file.go_on()
