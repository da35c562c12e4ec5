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

from .grammar import MAX_TRIPLETS, Grammar

# s; same-speaker gaps below this are merged in targets. AMI's annotators hardly ever split there
# (p5 of same-speaker pauses is 0.59 s); merging costs 0.03 % DER on AMI (DESIGN.md, section 2).
MERGE_GAP = 0.5

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
    def labels(self) -> str:
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
            annotation[segment, track] = self.labels[speaker]
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
