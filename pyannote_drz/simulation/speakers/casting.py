"""Casting: whose voice plays whom, and which pieces of it fill which turn."""

from collections.abc import Sequence

import numpy as np

from ..slices import FADE, SAMPLE_RATE, SLICE
from ..turn_taking.turns import Turn
from .voices import VoiceBank

MIN_REST_S = 0.3  # what is left of a piece is used later if it is about a word or longer
MIN_FILL_S = 0.15  # a shorter hole at a turn's end stays: the length of a stop closure
REUSE_S = 5.0  # seconds that pass before a piece may be heard again, if it has to be
SHORT_S = 1.0  # backchannels are filled by pieces of about their length
REPEATS = 3  # as often somebody's speech may be heard for the sake of likeness
MANY = 10  # when no voice has enough speech, one of this many longest ones is taken


class Utterances:
    """One voice's pieces in the order in which a conversation uses them.

    Speech runs on from turn to turn in its natural order, from a random piece on; nothing is
    heard twice while something is left.

    Parameters
    ----------
    bank : VoiceBank
    voice : int
    rng : Generator
    join_s : (float, float)
        Silence between two pieces of a turn, drawn uniformly.
    piece_sd_db : float
        Standard deviation of the level from piece to piece.

    Attributes
    ----------
    reused_s : float
        Seconds that had to be heard twice.
    """

    def __init__(
        self,
        bank: VoiceBank,
        voice: int,
        rng: np.random.Generator,
        join_s: tuple[float, float],
        piece_sd_db: float,
    ):
        pieces = bank.pieces_of(voice)
        shift = int(rng.integers(len(pieces)))
        order = np.roll(np.arange(len(pieces)), -shift)
        columns = (pieces[name][order].tolist() for name in ("start", "length", "utterance"))
        liveliness = 10 ** (rng.normal(0.0, piece_sd_db, len(order)) / 20)
        self.gain = (pieces["gain"][order] * liveliness).tolist()
        self.start, self.length, self.utterance = columns
        self.left = list(range(len(order)))  # pieces not used yet, in order
        self.rest: tuple[int, int, int] | None = None  # (piece, start, length) after a cut
        self.used_at: dict[int, float] = {}  # piece -> position of its latest use, in samples
        self.reused_s = 0.0
        self.rng, self.join_s = rng, join_s

    def next(self, wanted: int, position: int) -> tuple[int, int, int]:
        """Next (piece, start, length), to be laid at `position`; `wanted` samples are missing."""
        if self.rest is not None:
            found, self.rest = self.rest, None
            return found
        if wanted < SHORT_S * SAMPLE_RATE:
            for k, piece in enumerate(self.left[:40]):  # a look ahead, not all of a long voice
                if 0.8 * wanted <= self.length[piece] <= 1.3 * wanted:
                    del self.left[k]
                    return piece, self.start[piece], self.length[piece]
        if self.left:
            piece = self.left.pop(0)
        else:
            piece = min(self.used_at, key=self.used_at.__getitem__)  # heard longest ago
            self.reused_s += min(self.length[piece], wanted) / SAMPLE_RATE
            if position - self.used_at[piece] < REUSE_S * SAMPLE_RATE and len(self.used_at) > 1:
                piece = list(self.used_at)[int(self.rng.integers(len(self.used_at)))]
        return piece, self.start[piece], self.length[piece]

    def pause(self, missing: int) -> int:
        """Samples of silence before the next piece, which shall still fit."""
        wanted = int(self.rng.uniform(*self.join_s) * SAMPLE_RATE)
        return max(0, min(wanted, missing - int(MIN_FILL_S * SAMPLE_RATE) - 1))

    def fill(self, begin: int, end: int, track: int, level: float) -> list[tuple]:
        """Rows of `SLICE` that fill a turn of samples begin..end without a long pause."""
        rows = []
        position, hole = begin, int(MIN_FILL_S * SAMPLE_RATE)
        while end - position > (0 if position == begin else hole):
            piece, start, length = self.next(end - position, position)
            taken = min(length, end - position)
            if length - taken >= MIN_REST_S * SAMPLE_RATE:
                self.rest = (piece, start + taken, length - taken)
            self.used_at[piece] = position + taken
            rows.append((start, taken, position, track, self.gain[piece] * level, FADE, FADE))
            position += taken
            position += self.pause(end - position)
        return rows

    def keep_unheard(self) -> None:
        """From now on use only what the chunk does not, other utterances first (for prompts)."""
        heard = {self.utterance[piece] for piece in self.used_at}
        self.rest = None
        self.left.sort(key=lambda piece: self.utterance[piece] in heard)  # stable

    def unheard_s(self) -> float:
        """Seconds of pieces not used yet."""
        return sum(self.length[piece] for piece in self.left) / SAMPLE_RATE

    def recite(self, seconds: float, track: int, level: float) -> list[tuple]:
        """Rows of `SLICE`: at most `seconds` of unheard speech from position 0 on."""
        rows, position, end = [], 0, int(seconds * SAMPLE_RATE)
        while self.left and end - position > 2 * FADE:
            piece = self.left.pop(0)
            taken = min(self.length[piece], end - position)
            self.used_at[piece] = position
            gain = self.gain[piece] * level
            rows.append((self.start[piece], taken, position, track, gain, FADE, FADE))
            position += taken
            position += self.pause(end - position)
        return rows


def choose_voices(
    bank: VoiceBank,
    needs_s: Sequence[float],
    source: int | None,
    taken: Sequence[int],
    rng: np.random.Generator,
    similar: bool = False,
) -> list[int]:
    """Choose a different voice for every need.

    Where the bank knows who sounds like whom, no two are chosen that may be the same person,
    unless nobody else is left.

    Parameters
    ----------
    bank : VoiceBank
    needs_s : sequence of float
        Seconds of distinct speech that each voice should have. Where no voice has as much, one
        of the longest is chosen, and its pieces will be heard again.
    source : int, optional
        Number of the source all voices shall come from; None mixes them. A source that runs out
        of voices is left.
    taken : sequence of int
        Voices that may not be chosen.
    rng : Generator
    similar : bool
        All voices shall sound like that of the most talkative, whatever their source, as far as
        neighbours of it are free and have speech enough. Needs `bank.likeness`.

    Raises
    ------
    ValueError
        If the bank has too few voices.
    """
    if len(bank) < len(needs_s) + len(taken):
        raise ValueError(
            f"{len(needs_s) + len(taken)} different voices are needed and the bank has {len(bank)}."
        )
    likeness = bank.likeness
    free = np.ones(len(bank), dtype=bool)  # nobody has the voice
    apart = np.ones(len(bank), dtype=bool)  # and nobody has one that may be the same person's
    near = np.zeros(len(bank), dtype=bool)  # sound like the first who is chosen

    def take(voice: int) -> None:
        free[voice] = False
        if likeness is not None:
            apart[likeness.doubles[voice]] = False

    voices = [0] * len(needs_s)
    for voice in taken:
        take(voice)
    for rank, k in enumerate(np.argsort(needs_s)[::-1]):  # most talkative first: few suit them
        able = free & apart if (free & apart).any() else free
        pool = able & (bank.source_of == source) if source is not None else able
        if not pool.any():
            pool = able
        alike = near & able & (bank.speech_s >= needs_s[k] / REPEATS)
        if alike.any():
            pool = alike
        fitting = np.flatnonzero(pool & (bank.speech_s >= needs_s[k]))
        if len(fitting) == 0:
            there = np.flatnonzero(pool)
            fitting = there[np.argsort(bank.speech_s[there])[-MANY:]]
        weights = np.cumsum(1 / bank.speech_s[fitting])  # long voices are kept for long needs
        voices[k] = int(fitting[np.searchsorted(weights, rng.random() * weights[-1])])
        take(voices[k])
        if similar and rank == 0:
            near[likeness.neighbours[voices[k]]] = True
    return voices


def choose_source(bank: VoiceBank, needs_s: Sequence[float], rng: np.random.Generator) -> int:
    """Choose a source with enough speech for every need, in proportion to its voices' root.

    Where there is none, the source whose longest voice is longest.
    """
    needs = np.sort(np.asarray(needs_s))[::-1]
    weights = np.zeros(len(bank.source_names))
    for source, longest in enumerate(bank.longest_s):
        if len(longest) >= len(needs) and (longest[: len(needs)] >= needs).all():
            weights[source] = np.sqrt((bank.source_of == source).sum())
    if weights.sum() == 0:
        return int(np.argmax([longest[0] for longest in bank.longest_s]))
    return int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random()))


def needed_s(turns: Sequence[Turn], num_speakers: int) -> list[float]:
    """Seconds each speaker of a script talks."""
    needs = [0.0] * num_speakers
    for turn in turns:
        needs[turn.speaker] += turn.end_s - turn.start_s
    return needs


def as_slices(rows: Sequence[tuple]) -> np.ndarray:
    """Table of `SLICE` from its rows."""
    return np.array(list(rows), dtype=SLICE)
