"""Online: a stream is followed, chunk after chunk, each with prompts from its past.

    |............ heard before ............|---- step ----|-- lookahead --|
           features are kept, written anew | told now     | heard, not yet told

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

from ..models.encoders import FeatureEncoder, Features
from ..models.encoders.features import (
    BEFORE,
    BIN_SAMPLES,
    CONTEXT,
    POSITION_SAMPLES,
    SAMPLE_RATE,
    Blocks,
)
from ..models.encoders.level import Level
from ..prompting import NOBODY, POSITION_S
from .chunks import Chunk, ChunkRequest, ChunkResult
from .enrollment import Enrolled, identify
from .offline import Settings, cutter, in_file
from .output import Pix2SeqOutput, Track, annotate, confidence_of, make_output
from .prompts import choose, prompts_of, remember
from .stitching import Turn, clip, merge
from .tracking import Tracker

SHORTEST_STEP_S = BIN_SAMPLES / SAMPLE_RATE


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
        encoder: FeatureEncoder,
        decode: Callable[[list[ChunkRequest]], list[ChunkResult]],
        step: float,
        lookahead: float,
        enrolled: list[Enrolled],
        max_speakers: float,
        classes: Iterator[str],
        uri: str = "stream",
    ):
        self.latency = step + lookahead
        self.uri = uri
        self.names: dict[int, str] = {}
        self.turns: list[Turn] = []  # told; speakers are numbers
        self.tracker = Tracker(max_speakers, settings.clustering_threshold)
        self._settings, self._decode, self._classes = settings, decode, classes
        self._enrolled = list(enrolled)  # those who have not been heard yet
        self._scores: dict[int, dict[str, float]] = {}
        self._step = round(step * SAMPLE_RATE)  # samples
        self._lookahead = round(lookahead * SAMPLE_RATE)  # samples
        self._duration = int(heard_s(settings) / POSITION_S + 1e-6)  # positions
        self._received = self._told = 0  # samples
        self._level = Level()
        self._encoded = Blocks(encoder, self._level)
        # The last of the stream, from position `_start` on: a chunk and what is encoded before it.
        self._start = 0
        self._recent = torch.zeros(0)  # samples
        self._features = Features.silence(0).to(torch.float16)
        self._final = 0  # positions that no more audio can change
        self._updates = self._follow(blocks, sample_rate)

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        return next(self._updates)

    @property
    def output(self) -> Pix2SeqOutput:
        turns = merge(self.turns, self._settings.min_duration_off)
        speakers = self.tracker.speakers
        return make_output(turns, speakers, self.names, self.uri, SAMPLE_RATE, self._scores)

    def _follow(self, blocks: Iterable, sample_rate: int) -> Iterator[Update]:
        resample = None
        if sample_rate != SAMPLE_RATE:
            resample = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32")
        for block in blocks:
            samples = as_mono(block)
            if resample is not None:
                samples = torch.from_numpy(resample.resample_chunk(samples.numpy()))
            yield from self._receive(samples)
        if resample is not None:
            rest = resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            yield from self._receive(torch.from_numpy(rest))
        if self._told < self._received:
            yield self._tell(self._received)

    def _receive(self, samples: Tensor) -> Iterator[Update]:
        """Take samples in, as many as the next chunk needs at a time."""
        at = 0
        while at < len(samples):
            due = self._told + self._step + self._lookahead
            taken = samples[at : at + due - self._received]
            at += len(taken)
            self._received += len(taken)
            self._recent = torch.cat([self._recent, taken])
            if self._received == due:
                yield self._tell(self._told + self._step)

    def _encode(self) -> None:
        """Encode what is new, and what was heard without all that came after it."""
        at = self._start * POSITION_SAMPLES
        unheard = self._received - self._level.count
        self._level.hear(self._recent[len(self._recent) - unheard :])
        stop = -(-self._received // POSITION_SAMPLES)
        new = self._encoded.encode(self._recent, self._final, stop, self._start)
        known = self._features.part(0, self._final - self._start)
        self._features = Features.join([known, new.to(torch.float16)])
        self._final = max(self._final, self._received // POSITION_SAMPLES - CONTEXT)
        # What no chunk will hear again, nor what is encoded next.
        first = min(stop - self._duration, self._final - BEFORE)
        if first > self._start:
            self._recent = self._recent[first * POSITION_SAMPLES - at :].clone()
            features = self._features.part(first - self._start, None)
            self._features = Features(*(tensor.clone() for tensor in features))
            self._start = first

    def _tell(self, last: int) -> Update:
        """Write the chunk that ends with what was received last; tell up to sample `last`."""
        settings, tracker = self._settings, self.tracker
        self._encode()
        stop = self._start + self._features.num_positions
        start = max(stop - self._duration, self._start)
        span = start * POSITION_S, self._told / SAMPLE_RATE, last / SAMPLE_RATE

        most = int(min(settings.max_local_speakers, tracker.max_speakers))
        # While somebody else may come, a local speaker is kept for them.
        others = not tracker.full or len(tracker.speakers) > most
        num_prompts = min(most - others, settings.most_prompts)
        prompted = []
        if settings.num_passes > 1:
            prompted = choose(tracker.speakers, num_prompts, now=span[0])
        prompts = prompts_of(prompted, settings.duration) if prompted else NOBODY
        part = self._features.part(start - self._start, stop - self._start)
        (result,) = self._decode([ChunkRequest(part, most, prompts)])
        heard = in_file(result, Chunk(start, stop, start, stop), settings.threshold)
        recent = [turn for turn in self.turns[-MOST_TURNS:] if turn.end > span[0]]
        who = tracker.recognize(heard.turns, heard.embeddings, prompted, recent, span)

        turns, embeddings = [], []
        for turn, embedding in zip(heard.turns, heard.embeddings, strict=True):
            if turn.speaker in who:
                turn = turn._replace(speaker=who[turn.speaker].number)
                for new in clip([turn], *span[1:]):
                    turns.append(new)
                    # The share of the turn that is new.
                    embeddings.append((new.end - new.start) / (turn.end - turn.start) * embedding)
        order = sorted(range(len(turns)), key=turns.__getitem__)
        turns = [turns[i] for i in order]
        embeddings = np.array([embeddings[i] for i in order])
        cut = cutter(self._features, self._recent, self._start)

        def copied(start_s: float, end_s: float) -> tuple[Features, Tensor]:
            features, waveform = cut(start_s, end_s)
            return Features(*(tensor.clone() for tensor in features)), waveform.clone()

        remember(tracker.speakers, turns, embeddings, copied)
        turns = merge(turns)
        self._name(turns)
        self.turns += turns
        self._told = last
        diarization = annotate(turns, self.names, self.uri)
        return Update(span[1], span[2], diarization, confidence_of(turns))

    def _name(self, turns: list[Turn]) -> None:
        """Names of who is heard for the first time: once told, they stay."""
        for number in dict.fromkeys(turn.speaker for turn in turns):
            if number in self.names:
                continue
            known, scores = identify([self.tracker.speakers[number]], self._enrolled)
            self._scores |= scores
            self._enrolled = [one for one in self._enrolled if one.name != known.get(number)]
            self.names[number] = known.get(number) or next(self._classes)


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
        if not math.isfinite(value) or value < 0 or (name == "step" and value < SHORTEST_STEP_S):
            raise ValueError(f"{name} must be a number of seconds, got {value!r}.")
    if step + lookahead > heard_s(settings):
        raise ValueError(
            f"step and lookahead must fit into a chunk of {heard_s(settings):g} s, "
            f"got {step:g} and {lookahead:g} s."
        )
