"""The grammar of the token language: what may be written next."""

from __future__ import annotations

import torch
from torch import Tensor

# Triplets in one chunk. 30-s windows of AMI hold 8 in the median and 27 at most (ANCHORS.md, 0.5).
MAX_TRIPLETS = 64


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
