"""Turns: who speaks when, before anybody is cast.

A script is a `list[Turn]` sorted by (start, end, speaker). A source of scripts is anything with
`sample(rng, duration_s) -> list[Turn]`.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ...io.checked import Share, checks_arguments, number, span, whole
from ...io.columns import lines_of, rttm_fields
from ...io.errors import InputError

MERGE_GAP_S = 0.5  # same-speaker gaps below are closed: costs 0.03 % DER on AMI (DESIGN §2)
MIN_TURN_S = 0.05  # shorter remains at a window's edge hold no phone (about 80 ms): left out


class Turn(NamedTuple):
    """One stretch of one speaker's speech."""

    start_s: float
    end_s: float
    speaker: int


class TurnSource(Protocol):
    """What `Simulator` asks of a source of scripts."""

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the turns of a conversation of that duration, in seconds."""
        ...


def merge_gaps(turns: Iterable[Turn], gap_s: float = MERGE_GAP_S) -> list[Turn]:
    """Close the gaps under `gap_s`, and the overlaps, between turns of the same speaker."""
    merged: list[Turn] = []
    last: dict[int, int] = {}  # speaker -> position of its latest turn in `merged`
    for turn in sorted(turns):
        k = last.get(turn.speaker)
        if k is not None and turn.start_s - merged[k].end_s < gap_s:
            merged[k] = merged[k]._replace(end_s=max(merged[k].end_s, turn.end_s))
        else:
            last[turn.speaker] = len(merged)
            merged.append(turn)
    return sorted(merged)


def cut_window(turns: Iterable[Turn], start_s: float, duration_s: float) -> list[Turn]:
    """Script of a window: turns clipped to it, gaps merged, speakers renumbered by arrival."""
    inside = []
    for start, end, speaker in turns:
        start, end = max(start - start_s, 0.0), min(end - start_s, duration_s)
        if end - start >= MIN_TURN_S:
            inside.append(Turn(start, end, speaker))
    inside = merge_gaps(inside)
    names = {s: n for n, s in enumerate(dict.fromkeys(turn.speaker for turn in inside))}
    return sorted(turn._replace(speaker=names[turn.speaker]) for turn in inside)


class RandomTurns:
    """Plain random turns, in the manner of nanodrz, cut from a longer virtual conversation.

    Parameters
    ----------
    min_speakers, max_speakers : int
        People in the virtual conversation, drawn uniformly; a window may hold fewer.
    silence_max : float
        Longest silence between two turns, in seconds.
    interrupt_max : float
        Longest overlap of a turn with the one before, in seconds.
    turn_s : (float, float)
        Range of turn lengths, log-uniform. AMI's p5..p95 is 0.22..17 s (ANCHORS §2.7).
    backchannel_share : float
        Probability that somebody else says something short during a turn. On AMI 0.37 of the
        transitions (ANCHORS §2.7).
    """

    BACKCHANNEL_S = (0.2, 1.0)  # AMI: 41 % of the segments are shorter than 1 s (ANCHORS §2.7)
    LEAD_S = 30.0  # virtual conversation before the window: longer than the longest turn

    @checks_arguments
    def __init__(
        self,
        min_speakers: whole(1, 1000) = 1,
        max_speakers: whole(1, 1000) = 4,
        silence_max: number(0, 3600) = 2.0,
        interrupt_max: number(0, 3600) = 1.5,
        turn_s: span(0.05, 3600) = (0.5, 12.0),
        backchannel_share: Share = 0.2,
    ):
        if min_speakers > max_speakers:
            raise InputError(
                f"min_speakers must not be above max_speakers, got {min_speakers} and "
                f"{max_speakers}."
            )
        self.min_speakers, self.max_speakers = min_speakers, max_speakers
        self.silence_max, self.interrupt_max = silence_max, interrupt_max
        self.turn_s, self.backchannel_share = turn_s, backchannel_share

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        num_speakers = int(rng.integers(self.min_speakers, self.max_speakers + 1))
        low, high = np.log(self.turn_s)
        begin = rng.uniform(0.0, self.LEAD_S)
        turns: list[Turn] = []
        speaker, now = int(rng.integers(num_speakers)), 0.0
        while now < begin + duration_s:
            end = now + float(np.exp(rng.uniform(low, high)))
            turns.append(Turn(now, end, speaker))
            if num_speakers > 1:
                step = int(rng.integers(1, num_speakers))
                if rng.random() < self.backchannel_share:
                    length = rng.uniform(*self.BACKCHANNEL_S)
                    if end - now > 2 * length:
                        at = rng.uniform(now + length / 2, end - length)
                        turns.append(Turn(at, at + length, (speaker + step) % num_speakers))
                speaker = (speaker + int(rng.integers(1, num_speakers))) % num_speakers
            gap = rng.uniform(-self.interrupt_max, self.silence_max)
            now = max(end + gap, now + self.turn_s[0])  # time always moves on
        return cut_window(turns, begin, duration_s)


class ReplayedTurns:
    """Random windows of real references, to be re-voiced with other speakers.

    Parameters
    ----------
    meetings : list of list of Turn
        Speakers are any integers. Longer meetings are drawn in proportion, among those as long
        as the window.
    max_speakers : int
        A window with more speakers is drawn again.
    """

    def __init__(self, meetings: Sequence[Sequence[Turn]], max_speakers: int = 8):
        self.meetings = [merge_gaps(turns) for turns in meetings if len(turns)]
        if not self.meetings:
            raise ValueError(f"no turns to replay in the {len(meetings)} meetings given.")
        if max_speakers < 1:
            raise ValueError(f"max_speakers must be at least 1, not {max_speakers}.")
        self.max_speakers = max_speakers
        self._starts = [np.array([t.start_s for t in m]) for m in self.meetings]
        self._ends = [np.array([t.end_s for t in m]) for m in self.meetings]
        self._lengths_s = np.array([e.max() for e in self._ends])  # from time 0 of the file
        self.longest_s = float(self._lengths_s.max())  # a longer window ends in silence

    @classmethod
    def from_rttm(cls, paths: Iterable[str | Path], max_speakers: int = 8) -> "ReplayedTurns":
        """Read RTTM files; every (uri, file) is a meeting."""
        return cls(read_rttm(paths), max_speakers)

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        shares = self._lengths_s * (self._lengths_s >= min(duration_s, self.longest_s))
        shares = np.cumsum(shares) / shares.sum()
        for _ in range(100):
            k = int(np.searchsorted(shares, rng.random()))
            begin = rng.uniform(0.0, max(self._lengths_s[k] - duration_s, 0.0))
            near = (self._starts[k] < begin + duration_s) & (self._ends[k] > begin)
            turns = cut_window(
                [self.meetings[k][i] for i in np.flatnonzero(near)], begin, duration_s
            )
            if len({turn.speaker for turn in turns}) <= self.max_speakers:
                return turns
        raise ValueError(
            f"no window of {duration_s} s with at most {self.max_speakers} speakers was found."
        )


class MixedTurns:
    """Draws from several sources, in proportion to their weights."""

    def __init__(self, sources: Sequence[TurnSource], weights: Sequence[float]):
        if len(sources) != len(weights) or not sources:
            raise ValueError(f"{len(sources)} sources cannot have {len(weights)} weights.")
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"weights must be positive, not {list(weights)}.")
        self.sources = list(sources)
        self._shares = np.cumsum(weights) / np.sum(weights)

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        k = int(np.searchsorted(self._shares, rng.random()))
        return self.sources[k].sample(rng, duration_s)


class BoundedTurns:
    """Scripts of another source that have so many speakers; others are drawn again.

    Raises
    ------
    ValueError
        By `sample`, if the source has no such script in `TRIES`.
    """

    TRIES = 1000

    def __init__(self, source: TurnSource, min_speakers: int, max_speakers: int):
        if not 0 <= min_speakers <= max_speakers:
            raise ValueError(
                f"speakers must satisfy 0 <= min <= max, not {min_speakers} and {max_speakers}."
            )
        self.source, self.min_speakers, self.max_speakers = source, min_speakers, max_speakers

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        """Draw the script of one window."""
        for _ in range(self.TRIES):
            turns = self.source.sample(rng, duration_s)
            if self.min_speakers <= len({turn.speaker for turn in turns}) <= self.max_speakers:
                return turns
        raise ValueError(
            f"none of {self.TRIES} scripts of {duration_s:g} s has {self.min_speakers} to "
            f"{self.max_speakers} speakers."
        )


def read_rttm(paths: Iterable[str | Path]) -> list[list[Turn]]:
    """Turns of every uri in the RTTM files.

    Raises
    ------
    InputError
        If a SPEAKER line cannot be read; its number is told.
    """
    meetings: dict[tuple[str, str], list[Turn]] = {}
    names: dict[tuple[str, str, str], int] = {}
    for path in map(Path, paths):
        try:
            lines = lines_of(path)
        except UnicodeError as error:
            raise InputError(f"'{path}' is no text in UTF-8 or UTF-16.") from error
        for row, line in enumerate(lines, 1):
            if line.split(None, 1)[:1] != ["SPEAKER"]:
                continue
            try:
                uri, start, length, label = rttm_fields(line)
                start, length = float(start), float(length)
                if not (0 <= start and 0 <= length and math.isfinite(start + length)):
                    raise ValueError("no stretch of a recording")
            except ValueError as error:
                raise InputError(
                    f"{path}, line {row} is not RTTM: '{line:.120}' ({error})."
                ) from None
            if length > 0:
                speaker = names.setdefault((str(path), uri, label), len(names))
                turns = meetings.setdefault((str(path), uri), [])
                turns.append(Turn(start, start + length, speaker))
    return list(meetings.values())
