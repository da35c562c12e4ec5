"""The token language: who spoke when, as a sequence a transformer can write.

    token id     0      1     2 … 2 + num_bins - 1        … + max_speakers - 1
    meaning    <pad>  <eos>   time bins (20 ms each)       speakers A, B, C …

    sequence   start end A   start end C   start end B   …   <eos>

Triplets are sorted by (start, end, speaker). Speakers are named by arrival: prompted voices own
the first letters, then the first voice that is not prompted takes the next free letter. So every
conversation has one right answer. No other file knows an offset: this is the contract.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from pyannote.core import Annotation, Segment
from torch import Tensor

# s; same-speaker gaps below this are merged in targets. AMI's annotators hardly ever split there
# (p5 of same-speaker pauses is 0.59 s); merging costs 0.03 % DER on AMI (DESIGN.md, section 2).
MERGE_GAP = 0.5

# Triplets in one chunk. 30-s windows of AMI hold 8 in the median and 27 at most (ANCHORS.md, 0.5).
MAX_TRIPLETS = 64

Triplet = tuple[int, int, int]  # (start bin, end bin, speaker index)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens for "who spoke when" in one chunk of audio.

    Parameters
    ----------
    duration : float
        Longest chunk, in seconds.
    resolution : float
        Duration of a time bin, in seconds. 20 ms cost 0.24 % DER on AMI, 40 ms 0.47 %.
    max_speakers : int
        Number of letters, 1 to 26.

    Examples
    --------
    >>> vocabulary = Vocabulary(duration=30.0, resolution=0.02, max_speakers=8)
    >>> annotation = Annotation()
    >>> annotation[Segment(0.5, 2.0)] = "alice"
    >>> vocabulary.decode(vocabulary.encode(annotation)).labels()
    ['A']
    """

    duration: float = 30.0
    resolution: float = 0.02
    max_speakers: int = 8

    def __post_init__(self):
        if not 0 < self.resolution <= self.duration:
            raise ValueError(
                f"resolution must be between 0 and duration ({self.duration} s), "
                f"got {self.resolution} s."
            )
        bins = self.duration / self.resolution
        if abs(bins - round(bins)) > 1e-6 * bins:
            raise ValueError(
                f"duration must be a whole number of bins, "
                f"got {self.duration} s and bins of {self.resolution} s."
            )
        if not 1 <= self.max_speakers <= len(string.ascii_uppercase):
            raise ValueError(f"max_speakers must be 1 to 26, got {self.max_speakers}.")

    # ---- layout ---------------------------------------------------------------------------------

    @property
    def pad(self) -> int:
        return 0

    @property
    def eos(self) -> int:
        return 1

    @property
    def num_bins(self) -> int:
        """Number of time bins; both edges of the chunk have one (30 s of 20 ms: 1501)."""
        return round(self.duration / self.resolution) + 1

    @property
    def first_time(self) -> int:
        return 2

    @property
    def first_speaker(self) -> int:
        return self.first_time + self.num_bins

    @property
    def times(self) -> slice:
        """Ids of the time bins."""
        return slice(self.first_time, self.first_speaker)

    @property
    def speakers(self) -> slice:
        """Ids of the speakers."""
        return slice(self.first_speaker, len(self))

    @property
    def letters(self) -> str:
        """Labels of the speakers, in order."""
        return string.ascii_uppercase[: self.max_speakers]

    @property
    def merge_bins(self) -> int:
        """Same-speaker gaps of fewer bins than this are merged."""
        return round(MERGE_GAP / self.resolution)

    @property
    def max_tokens(self) -> int:
        """Longest sequence: all triplets and eos."""
        return 3 * MAX_TRIPLETS + 1

    def __len__(self) -> int:
        return self.first_speaker + self.max_speakers

    # ---- annotation -> tokens -------------------------------------------------------------------

    def encode(self, annotation: Annotation, prompted: Sequence = ()) -> list[int]:
        """Write an annotation as tokens.

        Parameters
        ----------
        annotation : Annotation
            Turns, in seconds from the beginning of the chunk. They are clipped to
            [0, duration]; those shorter than half a bin disappear.
        prompted : sequence of labels, optional
            Labels that own the first letters, whether they speak or not.

        Returns
        -------
        tokens : list of int
            Ends with eos.

        Raises
        ------
        ValueError
            More speakers than `max_speakers`, more than 64 turns, a label prompted twice.
        """
        turns = (
            (segment.start, segment.end, label)
            for segment, _, label in annotation.itertracks(yield_label=True)
        )
        return self.from_triplets(self.triplets(turns, prompted)[0])

    def triplets(
        self, turns: Iterable[tuple[float, float, object]], prompted: Sequence = ()
    ) -> tuple[list[Triplet], list]:
        """Quantise, clip, merge, name by arrival and sort turns.

        Parameters
        ----------
        turns : iterable of (start, end, label)
            Start and end in seconds from the beginning of the chunk.
        prompted : sequence of labels, optional
            Labels that own the first letters.

        Returns
        -------
        triplets : list of (start bin, end bin, speaker index)
            Sorted.
        labels : list
            Label of every speaker index.
        """
        last = self.num_bins - 1
        spans: dict[object, list[list[int]]] = {}  # label -> [[start bin, end bin], …]
        for start_s, end_s, label in turns:
            start = min(max(round(start_s / self.resolution), 0), last)
            end = min(max(round(end_s / self.resolution), 0), last)
            if start < end:
                spans.setdefault(label, []).append([start, end])

        merged = []  # (start bin, end bin, label)
        for label, label_spans in spans.items():
            label_spans.sort()
            current = label_spans[0]
            for span in label_spans[1:]:
                if span[0] - current[1] < self.merge_bins:
                    current[1] = max(current[1], span[1])
                else:
                    merged.append((*current, label))
                    current = span
            merged.append((*current, label))

        # Voices that arrive in the same bin and leave in the same bin are told apart by their
        # label, so that the answer does not depend on the order in which turns were given.
        labels = list(prompted)
        if len(set(labels)) < len(labels):
            raise ValueError(f"prompted labels must differ, got {labels}.")
        for _, _, label in sorted(merged, key=lambda turn: (turn[0], turn[1], str(turn[2]))):
            if label not in labels:
                labels.append(label)
        if len(labels) > self.max_speakers:
            raise ValueError(
                f"this vocabulary has letters for {self.max_speakers} speakers, got {len(labels)}."
            )
        if len(merged) > MAX_TRIPLETS:
            raise ValueError(f"a chunk holds at most {MAX_TRIPLETS} turns, got {len(merged)}.")
        return sorted((start, end, labels.index(label)) for start, end, label in merged), labels

    def given(self, spans: Iterable[tuple[float, float]]) -> list[Triplet]:
        """Triplets of prompts at (start, end), in seconds; prompt k is by speaker k."""
        return [
            (round(start / self.resolution), round(end / self.resolution), speaker)
            for speaker, (start, end) in enumerate(spans)
        ]

    def from_triplets(self, triplets: Iterable[Triplet]) -> list[int]:
        """Tokens of (start bin, end bin, speaker index) triplets; ends with eos."""
        tokens = []
        for start, end, speaker in triplets:
            tokens += [
                self.first_time + start,
                self.first_time + end,
                self.first_speaker + speaker,
            ]
        return tokens + [self.eos]

    # ---- tokens -> annotation -------------------------------------------------------------------

    def to_triplets(self, tokens: Iterable[int]) -> list[Triplet]:
        """(start bin, end bin, speaker index) triplets of tokens, up to the first eos or pad.

        Raises
        ------
        ValueError
            Tokens are not triplets of time, later time, speaker.
        """
        body = []
        for token in tokens:
            if token in (self.eos, self.pad):
                break
            body.append(int(token))
        if len(body) % 3:
            raise ValueError(f"tokens must come in triplets, got {len(body)} before the end.")

        triplets = []
        for i in range(0, len(body), 3):
            start, end = (token - self.first_time for token in body[i : i + 2])
            speaker = body[i + 2] - self.first_speaker
            if not (0 <= start < end < self.num_bins and 0 <= speaker < self.max_speakers):
                raise ValueError(
                    f"triplet {i // 3} is not (start, later end, speaker): {body[i : i + 3]}."
                )
            triplets.append((start, end, speaker))
        return triplets

    def decode(self, tokens: Iterable[int]) -> Annotation:
        """Read tokens as an annotation with labels A, B, …; tracks are numbered from 0.

        Raises
        ------
        ValueError
            Tokens are not triplets of time, later time, speaker.
        """
        annotation = Annotation()
        for track, (start, end, speaker) in enumerate(self.to_triplets(tokens)):
            segment = Segment(start * self.resolution, end * self.resolution)
            annotation[segment, track] = self.letters[speaker]
        return annotation

    def grammar(
        self,
        batch_size: int = 1,
        num_bins: Tensor | None = None,
        max_speakers: Tensor | None = None,
        latest: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> Grammar:
        """Grammar of a batch of sequences about to be written. See `Grammar`."""
        return Grammar(self, batch_size, num_bins, max_speakers, latest, device)


class Grammar:
    """What may be written next, for a batch of sequences.

    A sequence is a strictly increasing list of (start, end, speaker) triplets and then eos, also
    at once (nobody speaks). A new speaker takes the next free letter. So decoding cannot loop,
    cannot write a triplet twice, and cannot exceed `max_speakers`.

    The table says which *kind* of token each of the four phases (start, end, speaker, ended)
    takes; a lower and an upper bound on the id, updated as tokens come in, say the rest.

    Parameters
    ----------
    vocabulary : Vocabulary
    batch_size : int
    num_bins : (batch,) Tensor, optional
        Time bins of each chunk, where it is shorter than the vocabulary's duration.
    max_speakers : (batch,) Tensor, optional
        Letters that may be used, prompted ones included.
    latest : (batch, bins) Tensor of int, optional
        After turns that reach up to a bin, the last bin at which the next one may start; the number
        of bins where none needs to, and only there may the sequence end.
    device : torch.device

    Examples
    --------
    >>> grammar = Vocabulary().grammar(batch_size=1)
    >>> allowed = grammar.mask()  # (batch, vocabulary)
    >>> grammar.advance(torch.tensor([2]))  # a turn starts at 0 s
    """

    START, END, SPEAKER, ENDED = range(4)

    def __init__(
        self, vocabulary, batch_size, num_bins=None, max_speakers=None, latest=None, device="cpu"
    ):
        self.vocabulary = v = vocabulary

        def per_row(value, default):
            value = default if value is None else value
            return torch.as_tensor(value, device=device).expand(batch_size).clone()

        self.last_bin = per_row(num_bins, v.num_bins).clamp(max=v.num_bins) - 1  # (batch,)
        # (batch,) letters that may be used; whoever expects 20 speakers gets all there are
        self.num_letters = per_row(max_speakers, v.max_speakers).clamp(max=v.max_speakers)
        self.num_used = per_row(None, 0)  # (batch,) letters in use
        if bool((self.num_letters < 1).any()):
            raise ValueError(f"max_speakers must be at least 1, got {self.num_letters.tolist()}.")

        self.table = torch.zeros(4, len(v), dtype=torch.bool, device=device)  # (phase, vocabulary)
        self.table[[self.START, self.END], v.times] = True
        self.table[self.SPEAKER, v.speakers] = True
        self.table[self.ENDED, v.pad] = True

        self.ids = torch.arange(len(v), device=device)  # (vocabulary,)
        self.phase = per_row(self.START, 0)
        self.num_triplets = per_row(None, 0)
        self.start, self.end = per_row(None, 0), per_row(None, 0)  # bins being written
        self.previous = per_row(None, 0), per_row(None, 0), per_row(None, -1)  # triplet before
        self.latest = latest
        self.reached = per_row(None, 0)  # last bin that a turn ends at

    def mask(self) -> Tensor:
        """Tokens that may come next.

        Returns
        -------
        allowed : (batch, vocabulary) bool Tensor
        """
        v = self.vocabulary
        start, end, speaker = self.previous

        # Letters that may be written: those in use and the next free one.
        last_letter = torch.minimum(self.num_used, self.num_letters - 1)
        # No letter is left to say that somebody else did just the same: the end must move …
        full = speaker >= last_letter
        # … and where the end cannot move, the start must.
        stuck = full & (end >= self.last_bin)

        same_start = self.start == start
        same_span = same_start & (self.end == end)
        lower = torch.stack(  # (phase, batch)
            [
                v.first_time + start + stuck.long(),
                v.first_time
                + torch.where(same_start, (end + full).maximum(self.start + 1), self.start + 1),
                v.first_speaker + torch.where(same_span, speaker + 1, 0),
                torch.full_like(start, v.pad),
            ]
        )
        upper = torch.stack(
            [
                v.first_time + self.last_bin - 1,
                v.first_time + self.last_bin,
                v.first_speaker + last_letter,
                torch.full_like(start, v.pad),
            ]
        )
        # The last triplet that fits has been written: nothing may start.
        upper[self.START] = torch.where(
            self.num_triplets >= MAX_TRIPLETS, v.first_time - 1, upper[self.START]
        )
        lower = lower.gather(0, self.phase[None])[0][:, None]  # (batch, 1)
        upper = upper.gather(0, self.phase[None])[0][:, None]
        allowed = self.table[self.phase] & (self.ids >= lower) & (self.ids <= upper)
        allowed[:, v.eos] = self.phase == self.START
        return allowed

    def in_time(self, allowed: Tensor) -> Tensor:
        """Of what `mask` allows, what leaves out no speech that has to be somebody's."""
        starts = self.phase == self.START
        if self.latest is None or not starts.any():  # two tokens of three are no starts
            return allowed
        v, num_bins = self.vocabulary, self.latest.shape[1]
        by = self.latest.gather(1, self.reached.clamp(max=num_bins - 1)[:, None])  # (batch, 1)
        in_time = allowed.clone()
        in_time[:, v.times] &= self.ids[: v.num_bins] <= by
        in_time[:, v.eos] &= by[:, 0] >= num_bins
        # Where there is no room for another turn, the rest of the grammar has the last word.
        return torch.where((starts & in_time.any(1))[:, None], in_time, allowed)

    @property
    def newcomer(self) -> Tensor:
        """The letter that nobody has yet, (batch, vocabulary) bool; none where all are used."""
        return self.ids == (self.vocabulary.first_speaker + self.num_used)[:, None]

    def advance(self, tokens: Tensor) -> None:
        """Take note of the tokens that were written, (batch,)."""
        v = self.vocabulary
        starts, ends = self.phase == self.START, self.phase == self.END
        speaks = self.phase == self.SPEAKER
        over = (tokens == v.eos) | (self.phase == self.ENDED)
        bins, speaker = tokens - v.first_time, tokens - v.first_speaker

        self.start = torch.where(starts, bins, self.start)
        self.end = torch.where(ends, bins, self.end)
        self.reached = torch.where(ends, self.reached.maximum(bins), self.reached)
        self.num_used = torch.where(speaks, self.num_used.maximum(speaker + 1), self.num_used)
        self.num_triplets = self.num_triplets + speaks
        now = (self.start, self.end, speaker)
        self.previous = tuple(
            torch.where(speaks, new, old) for new, old in zip(now, self.previous, strict=True)
        )
        self.phase = torch.where(over, self.ENDED, (self.phase + 1) % 3)

    @property
    def over(self) -> bool:
        """Whether every sequence has ended."""
        return bool((self.phase == self.ENDED).all())

    @property
    def unfinished(self) -> Tensor:
        """Rows of the batch that have not ended, (rows,)."""
        return (self.phase != self.ENDED).nonzero()[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone."""
        for name in (
            "last_bin", "num_letters", "num_used", "phase", "num_triplets", "start", "end",
            "reached",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[rows])
        if self.latest is not None:
            self.latest = self.latest[rows]
        self.previous = tuple(one[rows] for one in self.previous)
