"""Offline: all chunks of a file at once; and once more, with prompts, where that is asked for.

    features > chunks > cluster their local speakers > reassign turns > stitch > best prompts
             > shorter chunks, after the prompts     > stitch

A file is a generator that yields chunks to be written: see `batches.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..models.encoders import Features
from ..models.encoders.features import POSITION_SAMPLES
from ..prompting import POSITION_S, PROMPTS_SHARE, Prompts, room_for, whole_positions
from .agglomerative import LEAST_S
from .batches import Step
from .chunks import Chunk, ChunkRequest, ChunkResult, split
from .clustering import cluster, within_chunks
from .embeddings import embed
from .prompts import Cut, Speaker, prompts_of, remember
from .reassignment import reassign
from .stitching import Turn, stitch

# Speakers with less speech, in seconds and as a share of all, are not prompted: most of them are
# mistakes of pass 1.
LITTLE_S, LITTLE_SHARE = 10.0, 0.05
# s; whoever speaks for less, and never alone, is taken for an echo of somebody else. What the model
# tells beside one voice alone lasts 0.2 to 1.4 s.
ECHO_S = 1.5
MOST_TRIES = 10  # to find as many speakers as are asked for


@dataclass(frozen=True)
class Settings:
    """What pipelines know about model and hyper-parameters.

    duration : float, s, of a window: a chunk, or prompts and a chunk
    context : float, s, heard beyond either end of what a chunk tells
    max_local_speakers : int, of a window
    threshold : float, least probability of a turn
    min_duration_off : float, s
    clustering_threshold : float, least cosine of two clusters that are merged
    num_passes : int, 1 (no prompts) or 2
    """

    duration: float
    context: float
    max_local_speakers: int
    threshold: float
    min_duration_off: float
    clustering_threshold: float
    num_passes: int

    @property
    def prompted_duration(self) -> float:
        """Of a chunk that shares its window with prompts, in seconds."""
        positions = int(self.duration / POSITION_S + 1e-6)
        return (positions - int(PROMPTS_SHARE * positions + 1e-6)) * POSITION_S

    @property
    def most_prompts(self) -> int:
        """Speakers that a window has room for."""
        return min(self.max_local_speakers, room_for(PROMPTS_SHARE * self.duration))

    def split(self, num_positions: int, duration: float, context: float) -> list[Chunk]:
        """Cover a file with chunks; `duration` and `context` are seconds."""
        return split(
            num_positions, int(duration / POSITION_S + 1e-6), int(context / POSITION_S + 1e-6)
        )


class Diarization(NamedTuple):
    """Who spoke when in a file.

    turns : list of Turn, of global speakers
    speakers : list of Speaker, by number
    """

    turns: list[Turn]
    speakers: list[Speaker]


def diarize(
    features: Features,
    waveform: Tensor,
    settings: Settings,
    min_speakers: int,
    max_speakers: float,
    hook: Callable,
) -> Generator[Step, list[ChunkResult], Diarization]:
    """Who speaks when in a whole file.

    Parameters
    ----------
    features : Features
        (positions, …)
    waveform : (samples,) Tensor
        Whose parts go into the output as prompts.
    settings : Settings
    min_speakers, max_speakers : int or inf
        See `cluster`.
    hook : callable
        Given the step "clustering" when local speakers are clustered.
    """
    chunks = settings.split(features.num_positions, settings.duration, settings.context)
    most = int(min(settings.max_local_speakers, max_speakers))
    results = yield Step(
        "chunks", [ChunkRequest(features.part(c.start, c.stop), most) for c in chunks]
    )
    of_chunks = [
        in_file(result, chunk, settings.threshold)
        for result, chunk in zip(results, chunks, strict=True)
    ]
    tries = []
    for fewest in range(min_speakers, min_speakers + MOST_TRIES):
        labels = label_turns(of_chunks, settings.clustering_threshold, fewest, max_speakers)
        labels = reassign(of_chunks, labels)
        named = [
            [turn._replace(speaker=label) for turn, label in zip(turns, some, strict=True)]
            for (turns, _), some in zip(of_chunks, labels, strict=True)
        ]
        tries.append(stitch(chunks, named, settings.min_duration_off))
        # Whoever is only heard in the context of chunks is lost when they are stitched.
        if min_speakers <= num_speakers(tries[-1]):
            break
    turns = next((t for t in tries if min_speakers <= num_speakers(t) <= max_speakers), tries[0])
    hook("clustering", sorted({turn.speaker for turn in turns}))
    speakers = speakers_of(turns, features, waveform)
    if settings.num_passes > 1 and any(s.stretches for s in speakers):
        chunks, again = yield from prompted_pass(features, turns, speakers, settings)
        again = stitch(chunks, again, settings.min_duration_off)
        if num_speakers(again) >= min_speakers:
            turns, speakers = again, speakers_of(again, features, waveform)
    return Diarization(turns, speakers)


def num_speakers(turns: list[Turn]) -> int:
    return len({turn.speaker for turn in turns})


def in_file(result: ChunkResult, chunk: Chunk, threshold: float) -> ChunkResult:
    """Seconds of the chunk to seconds of the file, without what is not probable enough."""
    begin = chunk.start * POSITION_S
    kept = [row for row, turn in enumerate(result.turns) if turn.probability >= threshold]
    kept.sort(key=lambda row: result.turns[row])
    turns = [result.turns[row] for row in kept]
    turns = [t._replace(start=begin + t.start, end=begin + t.end) for t in turns]
    return ChunkResult(turns, result.embeddings[kept])


def label_turns(
    of_chunks: list[ChunkResult], threshold: float, min_speakers: int, max_speakers: float
) -> list[list[int]]:
    """Global speaker of each turn of each chunk.

    Local speakers are clustered; or turns, where there must be more speakers than any chunk told.
    """
    chunk = np.concatenate([np.full(len(turns), c) for c, (turns, _) in enumerate(of_chunks)])
    embeddings = np.concatenate([embeddings for _, embeddings in of_chunks])
    local = np.array([turn.speaker for turns, _ in of_chunks for turn in turns], dtype=int)
    items, item = np.unique(np.stack([chunk, local]), axis=1, return_inverse=True)
    item = item.ravel()
    if items.shape[1] < min_speakers:
        item, items = np.arange(len(local)), np.stack([np.arange(len(local)), local])
    sums = np.zeros((items.shape[1], embeddings.shape[1]))
    np.add.at(sums, item, embeddings)
    if len(np.unique(item)) > min_speakers:
        item = within_chunks(sums, items[0])[item]
        kept, item = np.unique(item, return_inverse=True)
        items, sums = items[:, kept], np.zeros((len(kept), embeddings.shape[1]))
        np.add.at(sums, item, embeddings)
    # Who speaks for long is somebody, even if never alone.
    spoken = [turn.end - turn.start for turns, _ in of_chunks for turn in turns]
    long = np.bincount(item, spoken, len(sums)) >= ECHO_S
    sums[long, -1] = np.maximum(sums[long, -1], LEAST_S)
    labels = cluster(sums, items[0], threshold, min_speakers, max_speakers)[item].tolist()
    edges = np.cumsum([0, *(len(turns) for turns, _ in of_chunks)])
    return [labels[first:stop] for first, stop in zip(edges, edges[1:])]


def speakers_of(turns: list[Turn], features: Features, waveform: Tensor) -> list[Speaker]:
    """What the file tells of its speakers; their numbers are those of turns."""
    speakers = [Speaker(k) for k in range(max((t.speaker for t in turns), default=-1) + 1)]
    remember(speakers, turns, embed(turns, features), cutter(features, waveform))
    return speakers


def cutter(features: Features, waveform: Tensor, start: int = 0) -> Cut:
    """Seconds of a recording, whose features and waveform begin at position `start`."""

    def cut(start_s: float, end_s: float) -> tuple[Features, Tensor]:
        first, stop = whole_positions(start_s, end_s)
        rate = POSITION_SAMPLES / POSITION_S
        at = start * POSITION_S
        samples = waveform[round((start_s - at) * rate) : round((end_s - at) * rate)]
        return features.part(first - start, stop - start), samples

    return cut


# ---- the prompted pass --------------------------------------------------------------------------


def prompted_pass(
    features: Features, before: list[Turn], speakers: list[Speaker], settings: Settings
) -> Generator[Step, list[ChunkResult], tuple[list[Chunk], list[list[Turn]]]]:
    """Write the file once more, every chunk prompted with its speakers.

    Parameters
    ----------
    features : Features
    before : list of Turn
        Of pass 1.
    speakers : list of Speaker
    settings : Settings

    Returns
    -------
    chunks : list of Chunk
        Shorter than those of pass 1, to leave room for prompts.
    turns : list of list of Turn
        Of each chunk, in seconds of the file; of global speakers.
    """
    duration = settings.prompted_duration
    # At least half of a chunk is told, however short it is beside its prompts.
    chunks = settings.split(features.num_positions, duration, min(settings.context, duration / 4))
    old = [
        [t for t in before if t.end > c.start * POSITION_S and t.start < c.stop * POSITION_S]
        for c in chunks
    ]
    requests, prompted = _prompted(features, chunks, old, speakers, settings)
    results = yield Step("prompted chunks", requests)
    again = []
    for result, chunk, turns, numbers in zip(results, chunks, old, prompted, strict=True):
        new = in_file(result, chunk, settings.threshold).turns
        who = _recognize(new, turns, numbers)
        again.append([t._replace(speaker=who[t.speaker]) for t in new if t.speaker in who])
    return chunks, again


def _prompted(
    features: Features,
    chunks: list[Chunk],
    old: list[list[Turn]],
    speakers: list[Speaker],
    settings: Settings,
) -> tuple[list[ChunkRequest], list[list[int]]]:
    """Chunks with prompts, and the numbers of the speakers that are prompted in each.

    Whoever a chunk has but is not prompted may be written as a new local speaker. Where there are
    more speakers than may be prompted, those of the chunk and of its neighbours come first, then
    whoever speaks most.
    """
    little = min(LITTLE_S, LITTLE_SHARE * sum(speaker.speech for speaker in speakers))
    heard_well = {s.number for s in speakers if s.stretches and s.speech >= little}
    seconds = [dict.fromkeys(range(len(speakers)), 0.0) for _ in chunks]
    for of_chunk, turns in zip(seconds, old, strict=True):
        for turn in turns:
            of_chunk[turn.speaker] += turn.end - turn.start
    prompts: dict[tuple[int, ...], Prompts] = {}
    requests, prompted = [], []
    for c, chunk in enumerate(chunks):
        around = seconds[max(c - 1, 0) : c + 2]
        ranked = sorted(
            range(len(speakers)),
            key=lambda k: (
                -seconds[c][k],
                -sum(other[k] for other in around),
                -speakers[k].speech,
            ),
        )
        others = sum(1 for k in ranked if k not in heard_well and seconds[c][k] > 0)
        others = min(others, settings.max_local_speakers - 1)
        most = min(settings.max_local_speakers - others, settings.most_prompts)
        numbers = tuple(sorted([k for k in ranked if k in heard_well][:most]))
        if numbers not in prompts:
            prompts[numbers] = prompts_of([speakers[k] for k in numbers], settings.duration)
        part = features.part(chunk.start, chunk.stop)
        requests.append(ChunkRequest(part, max(1, len(numbers) + others), prompts[numbers]))
        prompted.append(list(numbers))
    return requests, prompted


def _recognize(new: list[Turn], old: list[Turn], prompted: list[int]) -> dict[int, int]:
    """Global speaker of each local one: prompted ones are known, others spoke then in pass 1."""
    who = dict(enumerate(prompted))
    local = sorted({turn.speaker for turn in new} - set(who))
    others = sorted({turn.speaker for turn in old} - set(prompted))
    shared = np.zeros((len(local), len(others)))
    for a in new:
        for b in old:
            if a.speaker in local and b.speaker in others:
                both = min(a.end, b.end) - max(a.start, b.start)
                shared[local.index(a.speaker), others.index(b.speaker)] += max(0.0, both)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        who[local[i]] = others[j]
    return who
