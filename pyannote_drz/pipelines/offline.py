"""Offline: all chunks at once, twice.

    pass 1   every chunk, without prompts      > link voices into people > best prompts
    pass 2   shorter chunks, after the prompts > letters are people      > stitch

A file is a generator that asks for chunks to be written: see `chunks.run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..prompting import Prompts, lay_out, room_for
from .chunks import Ask, Step, Written
from .linking import ChunkVoice, link
from .prompts import PROMPTS_SHARE, Person, cut, remember
from .revision import revise
from .silences import loudness, spoken
from .stitching import Chunk, Turn, clip, merge, rejoin, seam, split

# People with less speech, in seconds and as a share of all, are not prompted: most of them are
# mistakes of pass 1. 10, 20 and 40 s are the same on SimDev meetings, and better than 0 s.
LITTLE_S, LITTLE_SHARE = 10.0, 0.05


@dataclass(frozen=True)
class Settings:
    """What pipelines know about model and hyper-parameters.

    sample_rate : int, Hz
    duration : float, s, of a window: a chunk, or prompts and a chunk
    context : float, s, heard beyond either end of what a chunk tells
    position_s : float, s, of an audio position
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
    position_s: float
    bin_s: float
    num_letters: int
    threshold: float
    activity_threshold: float
    min_duration_off: float
    linking_threshold: float
    num_passes: int

    @property
    def prompted_duration(self) -> float:
        """Of a chunk that shares its window with prompts, in seconds."""
        positions = math.ceil(PROMPTS_SHARE * self.duration / self.position_s - 1e-6)
        return self.duration - positions * self.position_s

    @property
    def most_prompts(self) -> int:
        """People that a window has letters and room for."""
        return min(self.num_letters, room_for(PROMPTS_SHARE * self.duration))

    def split(self, num_samples: int, duration: float, context: float) -> list[Chunk]:
        """Cover a file with chunks; `duration` and `context` are seconds."""
        return split(
            num_samples,
            duration=round(duration * self.sample_rate),
            context=round(context * self.sample_rate),
            tail=round(self.bin_s * self.sample_rate),  # too short to be written
        )

    def prompts(self, people: list[Person]) -> Prompts:
        """What a window begins with; person k becomes letter k."""
        voices = cut(people, self.sample_rate, self.duration)
        return lay_out(voices, self.sample_rate, round(self.position_s * self.sample_rate))


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
    chunks = settings.split(len(waveform), settings.duration, settings.context)
    num_letters = int(min(settings.num_letters, max_people))
    asks = [Ask(waveform[c.start : c.stop], num_letters) for c in chunks]
    written = yield Step("chunks", asks)
    heard = [in_file(w, c, settings) for w, c in zip(written, chunks, strict=True)]
    del written, asks

    who = _link(heard, settings, known, min_people, max_people)
    heard = [named(h, w) for h, w in zip(heard, who, strict=True)]
    heard, vectors = reconsider(heard, known)
    people = [known[n] if n < len(known) else Person(n) for n in range(len(vectors))]
    for person, vector in zip(people, vectors, strict=True):
        person.vector = vector

    def listen(start: float, end: float) -> Tensor:
        return waveform[round(start * rate) : round(end * rate)]

    turns = stitch(chunks, heard, settings)
    vectors = _vectors(turns, heard)
    remember(people, turns, listen, vectors)
    present = [person for person in people if person.speech > 0]
    hook("people", [person.number for person in present])

    # A file of one chunk has nobody to keep apart from chunk to chunk.
    if settings.num_passes > 1 and len(chunks) > 1 and any(p.voice for p in present):
        chunks, heard = yield from hear_again(waveform, turns, present, settings)
        turns = stitch(chunks, heard, settings)
        vectors = _vectors(turns, heard)
    return People(turns, people, vectors)


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
    waveform: Tensor, before: list[Turn], present: list[Person], settings: Settings
) -> Generator[Step, list[Written], tuple[list[Chunk], list[Heard]]]:
    """Pass 2: write the file once more, every chunk prompted with its people.

    Parameters
    ----------
    waveform : (samples,) Tensor
    before : list of Turn
        Of pass 1; speakers are numbers of people.
    present : list of Person
    settings : Settings

    Returns
    -------
    chunks : list of Chunk
        Shorter than those of pass 1, to leave room for prompts.
    heard : list of Heard
        Speakers are numbers of people.
    """
    rate = settings.sample_rate
    duration = settings.prompted_duration
    # At least half of a chunk is told, however short it is beside its prompts.
    chunks = settings.split(len(waveform), duration, min(settings.context, duration / 4))
    old = [
        [t for t in before if t.end > c.start / rate and t.start < c.stop / rate] for c in chunks
    ]
    asks, prompted = _prompted(waveform, chunks, old, present, settings)
    written = yield Step("prompted chunks", asks)
    again = [in_file(w, c, settings) for w, c in zip(written, chunks, strict=True)]
    again = [
        named(new, _recognise(new.turns, turns, numbers))
        for new, turns, numbers in zip(again, old, prompted, strict=True)
    ]
    return chunks, reconsider(again, present)[0]


def _prompted(
    waveform: Tensor,
    chunks: list[Chunk],
    old: list[list[Turn]],
    present: list[Person],
    settings: Settings,
) -> tuple[list[Ask], list[list[int]]]:
    """Chunks with prompts, and the numbers of people that are prompted in each.

    Whoever a chunk has but is not prompted gets a free letter. Where there are more people than
    letters, those of the chunk and of its neighbours come first, then whoever speaks most.
    """
    little = min(LITTLE_S, LITTLE_SHARE * sum(person.speech for person in present))
    heard_well = {
        person.number
        for person in present
        if person.voice and (person.speech >= little or person.enrolled is not None)
    }
    seconds = [dict.fromkeys((person.number for person in present), 0.0) for _ in chunks]
    for of_chunk, turns in zip(seconds, old, strict=True):
        for turn in turns:
            of_chunk[turn.speaker] += turn.end - turn.start
    prompts: dict[tuple[int, ...], Prompts] = {}
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
        others = sum(1 for p in ranked if p.number not in heard_well and seconds[c][p.number] > 0)
        others = min(others, settings.num_letters - 1)
        most = min(settings.num_letters - others, settings.most_prompts)
        chosen = [p for p in ranked if p.number in heard_well][:most]
        chosen.sort(key=lambda p: p.number)
        numbers = tuple(p.number for p in chosen)
        if numbers not in prompts:
            prompts[numbers] = settings.prompts(chosen)
        num_letters = max(1, len(chosen) + others)
        asks.append(Ask(waveform[chunk.start : chunk.stop], num_letters, prompts[numbers]))
        prompted.append(list(numbers))
    return asks, prompted


def _recognise(new: list[Turn], old: list[Turn], prompted: list[int]) -> dict[int, int]:
    """Person of each letter: prompted ones are known, others are who spoke then in pass 1."""
    who = dict(enumerate(prompted))
    letters = sorted({turn.speaker for turn in new} - set(who))
    others = sorted({turn.speaker for turn in old} - set(prompted))
    shared = np.zeros((len(letters), len(others)))
    for a in new:
        for b in old:
            if a.speaker in letters and b.speaker in others:
                both = min(a.end, b.end) - max(a.start, b.start)
                shared[letters.index(a.speaker), others.index(b.speaker)] += max(0.0, both)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        who[letters[i]] = others[j]
    return who


def stitch(chunks: list[Chunk], heard: list[Heard], settings: Settings) -> list[Turn]:
    """Turns of the file: those of each chunk between two seams, merged."""
    rate = settings.sample_rate
    turns = [list(h.turns) for h in heard]
    seams = [chunks[0].first / rate]
    for c, (left, right) in enumerate(pairwise(chunks)):
        both = right.start / rate, left.stop / rate
        # Half of the context stays, whichever way the seam moves.
        context = (left.stop - left.last) / rate
        at = seam(turns[c], turns[c + 1], left.last / rate, context / 2)
        turns[c], turns[c + 1] = rejoin(turns[c], turns[c + 1], at, both)
        seams.append(at)
    seams.append(chunks[-1].last / rate)
    told = (clip(some, *edges) for some, edges in zip(turns, pairwise(seams), strict=True))
    return merge((turn for some in told for turn in some), settings.min_duration_off)


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
