"""Offline: all chunks at once, twice.

    pass 1   every chunk, without prompts          > link voices into people > best prompts
    pass 2   every chunk, prompted with its people > letters are people      > stitch

A file is a generator that asks for chunks to be written: see `chunks.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .chunks import Ask, Step, Written
from .linking import ChunkVoice, link, unit
from .prompts import Person, cut, remember
from .revision import revise
from .silences import loudness, spoken
from .stitching import Chunk, Turn, clip, merge, rejoin, seam, split


@dataclass(frozen=True)
class Settings:
    """What pipelines know about model and hyper-parameters.

    sample_rate : int, Hz
    duration : float, s, of a chunk
    context : float, s, heard beyond either end of what a chunk tells
    bin_s : float, s; audio that is shorter cannot be written
    num_letters : int, of the model
    threshold : float, least probability of a turn
    activity_threshold : float, least probability of speech within a turn, as a share of the highest
    min_duration_off : float, s
    linking_threshold : float, least cosine of a voice and its person, see `link`
    num_passes : int, 1 (no prompts) or 2
    """

    sample_rate: int
    duration: float
    context: float
    bin_s: float
    num_letters: int
    threshold: float
    activity_threshold: float
    min_duration_off: float
    linking_threshold: float
    num_passes: int


class Heard(NamedTuple):
    """A chunk, as it was written: turns in seconds of the file, and a voice vector of each."""

    turns: list[Turn]
    vectors: np.ndarray  # (turns, voice_dim)


class People(NamedTuple):
    """Who spoke when in a file, and everybody that is known of.

    turns : list of Turn, speakers are numbers of people
    known : list of Person
    vectors : (turns, voice_dim) array, summed voice vectors of each turn
    """

    turns: list[Turn]
    known: list[Person]
    vectors: np.ndarray


def in_file(written: Written, chunk: Chunk, settings: Settings) -> Heard:
    """Seconds of the chunk to seconds of the file, without what is not probable enough."""
    begin = chunk.start / settings.sample_rate
    turns, vectors = [], []
    speech, bin_s = written.speech, settings.bin_s
    silent = settings.activity_threshold * loudness(written.turns, speech, bin_s)
    for turn, voice in zip(written.turns, written.voices, strict=True):
        if turn.probability < settings.threshold:
            continue
        for part in spoken(turn, speech, silent, bin_s):
            turns.append(part._replace(start=begin + part.start, end=begin + part.end))
            vectors.append((part.end - part.start) / (turn.end - turn.start) * voice[:-1])
    order = sorted(range(len(turns)), key=turns.__getitem__)
    dim = written.voices.shape[1] - 1
    vectors = np.array([vectors[i] for i in order], dtype=np.float32).reshape(-1, dim)
    (turns,) = revise([[turns[i] for i in order]], [vectors])
    return Heard(turns, vectors)


def named(heard: Heard, who: dict[int, int]) -> Heard:
    """Letters to numbers of people; letters of nobody disappear."""
    kept = [i for i, turn in enumerate(heard.turns) if turn.speaker in who]
    turns = [heard.turns[i]._replace(speaker=who[heard.turns[i].speaker]) for i in kept]
    return Heard(turns, heard.vectors[kept])


def diarize(
    waveform: Tensor,
    settings: Settings,
    known: list[Person],
    min_people: int,
    max_people: float,
    hook: Callable,
) -> Generator[Step, list[Written], People]:
    """Who speaks when in a whole file.

    Parameters
    ----------
    waveform : (samples,) Tensor
    settings : Settings
    known : list of Person
        Numbered from 0; they are the first people, and are changed by what is heard of them.
    min_people, max_people : int or inf
        See `link`.
    hook : callable
        Given the step "people" when they are linked.
    """
    rate = settings.sample_rate
    chunks = split(
        len(waveform),
        duration=round(settings.duration * rate),
        context=round(settings.context * rate),
        tail=round(settings.bin_s * rate),  # too short to be written
    )
    num_letters = int(min(settings.num_letters, max_people))
    asks = [Ask(waveform[c.start : c.stop], (), num_letters) for c in chunks]
    written = yield Step("chunks", asks)
    heard = [in_file(w, c, settings) for w, c in zip(written, chunks, strict=True)]
    del written, asks

    who = _link(heard, settings, known, min_people, max_people)
    heard = [named(h, w) for h, w in zip(heard, who, strict=True)]
    heard, vectors = reconsider(heard, known)
    people = [known[n] if n < len(known) else Person(n) for n in range(len(vectors))]
    for person, vector in zip(people, vectors, strict=True):
        person.vector = vector
    emitted = stitch(chunks, heard, settings)

    def listen(start: float, end: float) -> Tensor:
        return waveform[round(start * rate) : round(end * rate)]

    for turns in emitted:
        for number in {turn.speaker for turn in turns}:
            remember(people[number], turns, listen)
    present = [person for person in people if person.speech > 0]
    hook("people", [person.number for person in present])

    if settings.num_passes > 1 and any(person.voice for person in present):
        heard = yield from hear_again(waveform, chunks, heard, present, settings)
        emitted = stitch(chunks, heard, settings)
    turns = merge((turn for some in emitted for turn in some), settings.min_duration_off)
    return People(turns, people, _vectors(turns, heard))


def _link(
    heard: list[Heard],
    settings: Settings,
    known: list[Person],
    min_people: int,
    max_people: float,
) -> list[dict[int, int]]:
    """Person of each letter of each chunk."""
    voices, places = [], []
    for c, (turns, vectors) in enumerate(heard):
        for letter in sorted({turn.speaker for turn in turns}):
            rows = [i for i, turn in enumerate(turns) if turn.speaker == letter]
            seconds = sum(turns[i].end - turns[i].start for i in rows)
            voices.append(ChunkVoice(c, vectors[rows].sum(0), seconds))
            places.append((c, letter))
    numbers = link(
        voices,
        settings.linking_threshold,
        min_people,
        max_people,
        [person.vector for person in known],
    )
    who: list[dict[int, int]] = [{} for _ in heard]
    for (c, letter), number in zip(places, numbers.tolist(), strict=True):
        who[c][letter] = number
    return who


def reconsider(heard: list[Heard], people: list[Person]) -> tuple[list[Heard], np.ndarray]:
    """Turns judged by the whole file and by what is known of people; all that is then known."""
    numbers = [turn.speaker for h in heard for turn in h.turns]
    num_people = max([*numbers, *(person.number for person in people)], default=-1) + 1
    totals = np.zeros((num_people, heard[0].vectors.shape[1]))
    for person in people:
        if person.vector is not None:
            totals[person.number] = person.vector
    turns = revise([h.turns for h in heard], [h.vectors for h in heard], totals)
    for some, (_, of_chunk) in zip(turns, heard, strict=True):
        for turn, vector in zip(some, of_chunk, strict=True):
            totals[turn.speaker] += vector
    return [h._replace(turns=some) for h, some in zip(heard, turns, strict=True)], totals


def hear_again(
    waveform: Tensor,
    chunks: list[Chunk],
    heard: list[Heard],
    present: list[Person],
    settings: Settings,
) -> Generator[Step, list[Written], list[Heard]]:
    """Pass 2: write every chunk once more, prompted with its people.

    Parameters
    ----------
    waveform : (samples,) Tensor
    chunks : list of Chunk
    heard : list of Heard
        Of pass 1; speakers are numbers of people.
    present : list of Person
    settings : Settings

    Returns
    -------
    heard : list of Heard
        Speakers are numbers of people.
    """
    asks, prompted = _prompted(waveform, chunks, heard, present, settings)
    written = yield Step("prompted chunks", asks)
    again = [in_file(w, c, settings) for w, c in zip(written, chunks, strict=True)]
    again = [
        named(new, _recognise(new, old, numbers))
        for new, old, numbers in zip(again, heard, prompted, strict=True)
    ]
    return reconsider(again, present)[0]


def _prompted(
    waveform: Tensor,
    chunks: list[Chunk],
    heard: list[Heard],
    present: list[Person],
    settings: Settings,
) -> tuple[list[Ask], list[list[int]]]:
    """Chunks with prompts, and the numbers of people that are prompted in each.

    Whoever a chunk has but cannot be prompted gets a free letter. Where there are more people than
    letters, those of the chunk and of its neighbours come first, then whoever speaks most.
    """
    seconds = [dict.fromkeys((person.number for person in present), 0.0) for _ in chunks]
    for of_chunk, (turns, _) in zip(seconds, heard, strict=True):
        for turn in turns:
            if turn.speaker in of_chunk:  # not only in what is left to a neighbour
                of_chunk[turn.speaker] += turn.end - turn.start
    prompts: dict[tuple[int, ...], tuple[Tensor, ...]] = {}
    asks, prompted = [], []
    for c, chunk in enumerate(chunks):
        around = seconds[max(c - 1, 0) : c + 2]
        ranked = sorted(
            present,
            key=lambda p: (
                -seconds[c][p.number],
                -sum(other[p.number] for other in around),
                -p.speech,
            ),
        )
        others = sum(1 for p in ranked if not p.voice and seconds[c][p.number] > 0)
        others = min(others, settings.num_letters - 1)
        chosen = [p for p in ranked if p.voice][: settings.num_letters - others]
        chosen.sort(key=lambda p: p.number)
        numbers = tuple(p.number for p in chosen)
        if numbers not in prompts:
            prompts[numbers] = cut(chosen, settings.sample_rate)
        asks.append(Ask(waveform[chunk.start : chunk.stop], prompts[numbers], len(chosen) + others))
        prompted.append(list(numbers))
    return asks, prompted


def _recognise(new: Heard, old: Heard, prompted: list[int]) -> dict[int, int]:
    """Person of each letter: prompted ones are known, others are who spoke then in pass 1."""
    who = dict(enumerate(prompted))
    letters = sorted({turn.speaker for turn in new.turns} - set(who))
    others = sorted({turn.speaker for turn in old.turns} - set(prompted))
    shared = np.zeros((len(letters), len(others)))
    for a in new.turns:
        for b in old.turns:
            if a.speaker in letters and b.speaker in others:
                both = min(a.end, b.end) - max(a.start, b.start)
                shared[letters.index(a.speaker), others.index(b.speaker)] += max(0.0, both)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        who[letters[i]] = others[j]
    return who


def stitch(chunks: list[Chunk], heard: list[Heard], settings: Settings) -> list[list[Turn]]:
    """What each chunk tells: its turns between two seams."""
    rate = settings.sample_rate
    turns = [list(h.turns) for h in heard]
    seams = [chunks[0].first / rate]
    for c, (left, right) in enumerate(pairwise(chunks)):
        both = right.start / rate, left.stop / rate
        # Half of the context stays, whichever way the seam moves.
        at = seam(turns[c], turns[c + 1], left.last / rate, settings.context / 2)
        turns[c], turns[c + 1] = rejoin(turns[c], turns[c + 1], at, both)
        seams.append(at)
    seams.append(chunks[-1].last / rate)
    return [clip(some, *edges) for some, edges in zip(turns, pairwise(seams), strict=True)]


def _vectors(turns: list[Turn], heard: list[Heard]) -> np.ndarray:
    """Summed voice vectors of turns of the file, from those of the chunks."""
    dim = heard[0].vectors.shape[1]
    vectors = np.zeros((len(turns), dim), dtype=np.float32)
    starts: dict[int, list[float]] = {}
    rows: dict[int, list[int]] = {}
    for row, turn in enumerate(turns):
        starts.setdefault(turn.speaker, []).append(turn.start)
        rows.setdefault(turn.speaker, []).append(row)
    for some, of_chunk in heard:
        for turn, vector in zip(some, of_chunk, strict=True):
            middle = (turn.start + turn.end) / 2
            at = np.searchsorted(starts.get(turn.speaker, []), middle, side="right") - 1
            if at >= 0 and middle <= turns[rows[turn.speaker][at]].end:
                vectors[rows[turn.speaker][at]] += vector
    return vectors


def divide(people: People, wanted: int) -> People:
    """Split the least certain people until there are `wanted` speakers, or nobody can be split.

    The least certain person is the one whose turns fall into the two most different halves.
    """
    turns, known, vectors = list(people.turns), list(people.known), people.vectors
    while len({turn.speaker for turn in turns}) < wanted:
        best = None  # (cosine, rows that leave)
        for number in sorted({turn.speaker for turn in turns}):
            rows = [i for i, turn in enumerate(turns) if turn.speaker == number]
            halves = _halves(vectors[rows])
            if halves is not None and (best is None or halves[0] < best[0]):
                best = (
                    halves[0],
                    [row for row, leaves in zip(rows, halves[1], strict=True) if leaves],
                )
        if best is None:
            break
        old = turns[best[1][0]].speaker
        newcomer = Person(len(known), vector=vectors[best[1]].sum(0))
        newcomer.speech = sum(turns[row].end - turns[row].start for row in best[1])
        known[old].speech -= newcomer.speech
        if known[old].vector is not None:
            rest = [i for i, t in enumerate(turns) if t.speaker == old and i not in set(best[1])]
            known[old].vector = vectors[rest].sum(0)
        known.append(newcomer)
        for row in best[1]:
            turns[row] = turns[row]._replace(speaker=newcomer.number)
            for sample in list(known[old].samples):
                if turns[row].start <= sample.start < turns[row].end:
                    known[old].samples.remove(sample)
                    newcomer.samples.append(sample)
    return People(turns, known, vectors)


def _halves(vectors: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Split (turns, voice_dim) vectors in two: cosine of the halves, and who is in the second."""
    if len(vectors) < 2:
        return None
    directions = unit(vectors)
    centred = directions - directions.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]  # where they differ most
    side = centred @ axis
    second = side > np.median(side)
    if not second.any():  # all alike: the last one leaves
        second[-1] = True
    for _ in range(10):
        first_sum, second_sum = vectors[~second].sum(0), vectors[second].sum(0)
        norms = [max(float(np.linalg.norm(v)), 1e-9) for v in (first_sum, second_sum)]
        closer = directions @ second_sum / norms[1] > directions @ first_sum / norms[0]
        if (closer == second).all() or closer.all() or not closer.any():
            break
        second = closer
    cosine = float(vectors[~second].sum(0) @ vectors[second].sum(0))
    scale = np.linalg.norm(vectors[~second].sum(0)) * np.linalg.norm(vectors[second].sum(0))
    return cosine / max(float(scale), 1e-9), second
