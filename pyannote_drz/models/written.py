"""Tokens that are written, as turns; and whose voice each of them is about.

A start is about whoever speaks in the half second after it, an end about the speaker of its turn,
a speaker token about that speaker's turns so far (DESIGN.md, section 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tokens import Vocabulary
from .encoders.features import BINS_PER_POSITION, POSITION_SAMPLES, SAMPLE_RATE
from .evidence import Evidence
from .speaker_embeddings import SpeakerEmbeddings, SpeakerScore

POSITION_S = POSITION_SAMPLES / SAMPLE_RATE
START_POSITIONS = 6  # a start's voice is what is heard in the half second after it


class WrittenTurns:
    """Turns of a batch of token sequences; the last one of a sequence may not be complete.

    Parameters
    ----------
    tokens : (batch, written) Tensor
        Without <diarize>.
    vocabulary : Vocabulary
    embeddings : SpeakerEmbeddings
    evidence : Evidence

    Attributes
    ----------
    starts, ends : (batch, starts), (batch, ends) Tensors
        In bins.
    speakers : (batch, complete turns) Tensor
    """

    def __init__(
        self,
        tokens: Tensor,
        vocabulary: Vocabulary,
        embeddings: SpeakerEmbeddings,
        evidence: Evidence,
    ):
        first, last = vocabulary.first_time, vocabulary.num_bins - 1
        self.starts = (tokens[:, 0::3] - first).clamp(0, last)
        self.ends = (tokens[:, 1::3] - first).clamp(0, last)
        self.speakers = tokens[:, 2::3] - vocabulary.first_speaker
        self.vocabulary, self.embeddings, self.evidence = vocabulary, embeddings, evidence

    def _heard(self, turns: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        """Summed embeddings, weights in positions, and local speakers of some turns."""
        starts, ends = self.starts[:, turns], self.ends[:, turns]
        who = self.evidence.who_starts(starts)  # (batch, turns, 3)
        begin, end = starts // BINS_PER_POSITION, -(-ends // BINS_PER_POSITION)
        return *self.embeddings.between(begin, end, who), who

    def token_embeddings(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What each token is about.

        Parameters
        ----------
        rows : (K,) Tensor
            Of <diarize> (0), which is about nobody, and the tokens (from 1).

        Returns
        -------
        embeddings : (batch, K, 3, 192) Tensor
            Unit vectors.
        who : (batch, K, 3) Tensor
            PyanNet's local speaker who began the turn.
        """
        embeddings = self.embeddings
        sums = embeddings.sums.new_zeros(len(self.starts), len(rows), *embeddings.sums.shape[3:])
        who = embeddings.local.new_zeros(len(self.starts), len(rows), embeddings.local.shape[-1])
        turn, kind = (rows - 1) // 3, rows % 3  # of <diarize>: -1, 0
        about, is_start, is_end = rows > 0, kind == 1, kind == 2
        who[:, about] = self.evidence.who_starts(self.starts[:, turn[about]])
        if is_start.any():
            begin = self.starts[:, turn[is_start]] // BINS_PER_POSITION
            there = embeddings.between(begin, begin + START_POSITIONS, who[:, is_start])
            sums[:, is_start] = there[0]
        if is_end.any():
            sums[:, is_end] = self._heard(turn[is_end])[0]
        is_speaker = (kind == 0) & about
        if is_speaker.any():
            turns = self._heard(slice(self.speakers.shape[1]))[0]  # (batch, turns, 3, 192)
            now = turn[is_speaker]
            before = torch.arange(turns.shape[1], device=rows.device) <= now[:, None]
            same = (self.speakers[:, now, None] == self.speakers[:, None]) & before
            sums[:, is_speaker] = torch.einsum("bkt,btnd->bknd", same.to(turns.dtype), turns)
        return F.normalize(sums, dim=-1, eps=1e-4), who

    def speaker_logits(self, turn: Tensor, score: SpeakerScore) -> Tensor:
        """How much turns (K,) sound like everybody before them, (batch, K, speakers)."""
        num_turns = self.ends.shape[1]
        sums, alone, who = self._heard(slice(num_turns))

        speakers = F.pad(self.speakers, (0, num_turns - self.speakers.shape[1]), value=-1)
        numbers = torch.arange(self.vocabulary.max_speakers, device=turn.device)
        is_by = speakers[:, :num_turns, None] == numbers
        before = torch.arange(num_turns, device=turn.device) < turn[:, None]  # (K, turns)
        said = (is_by.transpose(1, 2)[:, None] & before[None, :, None]).to(sums.dtype)
        count = said.sum(-1)  # (batch, K, speakers)
        of_speakers = torch.einsum("bkst,btnd->bksnd", said, sums)
        speakers_s = POSITION_S * torch.einsum("bkst,bt->bks", said, alone)
        speakers_who = torch.einsum("bkst,btl->bksl", said, who) / count.clamp(min=1)[..., None]
        same = torch.einsum("bkl,bksl->bks", who[:, turn], speakers_who)
        return score(
            sums[:, turn], POSITION_S * alone[:, turn], of_speakers, speakers_s, same, count > 0
        )
