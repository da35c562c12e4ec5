"""Online: a stream is followed, chunk after chunk, each with prompts from its past.

    |............ heard before ............|---- step ----|-- lookahead --|
                 everything is heard again | emitted now  | heard, not yet told

What is said at a moment is told at most `step + lookahead` seconds later, and is never changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import soxr
import torch
from pyannote.core import Annotation
from torch import Tensor

from .chunks import Ask, Written
from .offline import Settings, in_file, named, reconsider
from .output import Pix2SeqOutput, Track, annotate, confidence_of, make_output
from .people import People
from .prompts import Person, choose
from .stitching import Chunk, Turn, clip, merge


class Update(NamedTuple):
    """News from a stream.

    start, end : float
        In seconds: what is told now, final.
    diarization : Annotation
        Turns between `start` and `end`. A turn that goes on comes in pieces.
    confidence : dict
        (segment, track) -> probability.
    """

    start: float
    end: float
    diarization: Annotation
    confidence: dict[Track, float]


class Stream:
    """Turns of a stream, as its blocks come in: iterate over it.

    Attributes
    ----------
    latency : float
        In seconds: nothing is told later than that after it was said, time of computing apart.
    output : Pix2SeqOutput
        All that was told so far.
    """

    def __init__(
        self,
        blocks: Iterable[Tensor | np.ndarray],
        sample_rate: int,
        settings: Settings,
        write: Callable[[list[Ask]], list[Written]],
        step: float,
        lookahead: float,
        known: list[Person],
        max_people: float,
        classes: Iterator[str],
        uri: str = "stream",
    ):
        self.latency = step + lookahead
        self.uri = uri
        self.names: dict[int, str] = {}
        self.turns: list[Turn] = []  # emitted, speakers are numbers of people
        self.people = People(max_people, settings.linking_threshold, known)
        self._settings, self._write, self._classes = settings, write, classes
        self._step = round(step * settings.sample_rate)  # samples
        self._lookahead = round(lookahead * settings.sample_rate)  # samples
        self._duration = round(heard_s(settings) * settings.sample_rate)  # samples
        self._recent = torch.zeros(0)  # the last samples, up to a chunk of them and a step
        self._received = self._emitted = 0  # samples
        self._updates = self._follow(blocks, sample_rate)

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        return next(self._updates)

    @property
    def output(self) -> Pix2SeqOutput:
        turns = merge(self.turns, self._settings.min_duration_off)
        rate = self._settings.sample_rate
        return make_output(turns, self.people.known, self.names, self.uri, rate)

    def _follow(self, blocks: Iterable, sample_rate: int) -> Iterator[Update]:
        rate = self._settings.sample_rate
        resample = None
        if sample_rate != rate:
            resample = soxr.ResampleStream(sample_rate, rate, 1, dtype="float32")
        for block in blocks:
            samples = as_mono(block)
            if resample is not None:
                samples = torch.from_numpy(resample.resample_chunk(samples.numpy()))
            yield from self._receive(samples)
        if resample is not None:
            rest = resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            yield from self._receive(torch.from_numpy(rest))
        if self._emitted < self._received:
            yield self._tell(self._received, self._received)

    def _receive(self, samples: Tensor) -> Iterator[Update]:
        """Take samples in, as many as the next chunk needs at a time."""
        at = 0
        while at < len(samples):
            due = self._emitted + self._step + self._lookahead
            taken = samples[at : at + due - self._received]
            at += len(taken)
            self._received += len(taken)
            self._recent = torch.cat([self._recent, taken])[-self._duration :]
            if self._received == due:
                yield self._tell(due, self._emitted + self._step)

    def _tell(self, stop: int, last: int) -> Update:
        """Write the chunk that ends with sample `stop`; emit up to `last`."""
        settings, people, rate = self._settings, self.people, self._settings.sample_rate
        chunk = Chunk(stop - len(self._recent), stop, self._emitted, last)
        start, first, end = chunk.start / rate, chunk.first / rate, chunk.last / rate

        num_letters = int(min(settings.num_letters, people.max_people))
        # While somebody else may come, a letter is kept for them.
        possible = people.possible
        others = not people.full or len(possible) > num_letters
        most = min(num_letters - others, settings.most_prompts)
        prompted = choose(possible, most, now=start) if settings.num_passes > 1 else []
        ask = Ask(self._recent, num_letters, settings.prompts(prompted))
        heard = in_file(self._write([ask])[0], chunk, settings)
        recent = [turn for turn in self.turns[-MOST_TURNS:] if turn.end > start]
        who = people.recognise(heard.turns, prompted, recent, (start, first, end), heard.vectors)

        heard = named(heard, {letter: person.number for letter, person in who.items()})
        heard, _ = reconsider([heard], people.known)
        turns, vectors = [], []
        for turn, vector in zip(*heard[0], strict=True):
            for part in clip([turn], first, end):
                turns.append(part)
                # The share of the turn that is new.
                vectors.append((part.end - part.start) / (turn.end - turn.start) * vector)

        def listen(begin: float, finish: float) -> Tensor:
            return self._recent[round(begin * rate) - chunk.start :][
                : round((finish - begin) * rate)
            ]

        people.remember(turns, listen, np.array(vectors))
        turns = merge(turns)
        for turn in turns:
            if turn.speaker not in self.names:
                name = people.known[turn.speaker].name
                self.names[turn.speaker] = next(self._classes) if name is None else name
        self.turns += turns
        self._emitted = last
        diarization = annotate(turns, self.names, self.uri)
        return Update(first, end, diarization, confidence_of(turns))


# Turns looked at for the context of a chunk: several times what the longest chunk can hold.
MOST_TURNS = 1000


def as_mono(block: Tensor | np.ndarray) -> Tensor:
    """(samples,) of a block, (channel, samples) or (samples,).

    Raises
    ------
    ValueError
        A block is something else, or has a sample that is not finite.
    """
    block = torch.as_tensor(block)
    if block.ndim not in (1, 2) or not block.is_floating_point():
        raise ValueError(
            f"a block must be floats, (samples,) or (channel, samples), "
            f"got {tuple(block.shape)} of {block.dtype}."
        )
    samples = (block.mean(0) if block.ndim == 2 else block).float().cpu()
    if not torch.isfinite(samples).all():
        raise ValueError("a block has a NaN or infinite sample.")
    return samples


def heard_s(settings: Settings) -> float:
    """Seconds of a stream that are heard at a time."""
    return settings.duration if settings.num_passes == 1 else settings.prompted_duration


def check_step(step: float, lookahead: float, settings: Settings) -> None:
    """Raise ValueError where a chunk could not hold a step and what is heard beyond."""
    for name, value in (("step", step), ("lookahead", lookahead)):
        if not math.isfinite(value) or value < 0 or (name == "step" and value < settings.bin_s):
            raise ValueError(f"{name} must be a number of seconds, got {value!r}.")
    if step + lookahead > heard_s(settings):
        raise ValueError(
            f"step and lookahead must fit into a chunk of {heard_s(settings):g} s, "
            f"got {step:g} and {lookahead:g} s."
        )
