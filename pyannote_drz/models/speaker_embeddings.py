"""Speaker embeddings as the transformer meets them: cosines, and nothing else.

Three kinds of embeddings are compared, (…, 3, 192) unit vectors:

    short     over 0.5 s
    long      over 1.5 s
    centred   long ones, after their mean over the speech of the chunk is taken away: speakers of
              one telephone line share much

and a fourth similarity is whether PyanNet takes two instants for the same local speaker.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .encoders.features import Features
from .encoders.segmentation import NUM_LOCAL

KINDS = 3
TYPICAL_NORM = 14.0  # of CAM++ embeddings; they are averaged as they are, at about unit length
SHORTEST_S = 0.1  # s; what is less is as good as nothing


class SpeakerEmbeddings(NamedTuple):
    """Embeddings of a chunk.

    unit : (3, batch, positions, 192) Tensor
    sums : (batch, positions + 1, 4, 3, 192) Tensor
        Cumulated over positions, weighted by the probability that each of PyanNet's local speakers
        speaks alone, and in the last row, that anybody does.
    alone : (batch, positions + 1, 4) Tensor
        Those weights, cumulated.
    local : (batch, positions, 3) Tensor
        Activities of PyanNet's local speakers.
    """

    unit: Tensor
    sums: Tensor
    alone: Tensor
    local: Tensor

    def of(self, rows: Tensor) -> SpeakerEmbeddings:
        """Some chunks of a batch."""
        return SpeakerEmbeddings(
            self.unit[:, rows], self.sums[rows], self.alone[rows], self.local[rows]
        )

    def similarities(self) -> Tensor:
        """Of any two positions, (4, batch, positions, positions)."""
        cosines = self.unit @ self.unit.transpose(2, 3)
        same = self.local @ self.local.transpose(1, 2)
        return torch.cat([cosines, same[None]])

    def similarities_to(self, embeddings: Tensor, who: Tensor) -> Tensor:
        """Of tokens' embeddings (batch, K, 3, 192) and local speakers (batch, K, 3) to positions.

        Returns
        -------
        similarities : (4, batch, K, positions) Tensor
        """
        cosines = embeddings.permute(2, 0, 1, 3) @ self.unit.transpose(2, 3)
        same = who @ self.local.transpose(1, 2)
        return torch.cat([cosines, same[None]])

    def between(self, start: Tensor, stop: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        """What is heard of somebody who speaks from one position to another, (batch, K) each.

        Parameters
        ----------
        start, stop : (batch, K) Tensors
        who : (batch, K, 3) Tensor
            Shares of the local speakers, who is somebody among others: whoever talks over them is
            left out. What they leave is anybody who speaks alone.

        Returns
        -------
        sums : (batch, K, 3, 192) Tensor
            Summed embeddings.
        weights : (batch, K) Tensor
            In positions.
        """
        last = self.alone.shape[1] - 1
        start, stop = start.clamp(0, last), stop.clamp(0, last)
        rows = torch.arange(len(start), device=start.device)[:, None]
        shares = torch.cat([who, 1 - who.sum(-1, keepdim=True)], dim=-1)  # (batch, K, 4)
        sums = self.sums[rows, stop] - self.sums[rows, start]
        weights = self.alone[rows, stop] - self.alone[rows, start]
        return torch.einsum("bkl,bklnd->bknd", shares, sums), (shares * weights).sum(-1)


def speaker_embeddings_of(features: Features, local: Tensor) -> SpeakerEmbeddings:
    """Embeddings of a batch of chunks; `local` is (batch, positions, 3)."""
    probabilities = features.probabilities.float().mean(2)  # (batch, positions, 7)
    nobody, each = probabilities[..., 0], probabilities[..., 1 : 1 + NUM_LOCAL]
    alone = torch.cat([each, each.sum(-1, keepdim=True)], dim=-1)  # (batch, positions, 4)
    speech = (1 - nobody)[..., None]
    short, long = (x.float() / TYPICAL_NORM for x in (features.short, features.long))
    mean = (speech * long).sum(1, keepdim=True) / speech.sum(1, keepdim=True).clamp(min=1)
    kinds = torch.stack([short, long, long - mean], dim=2)  # (batch, positions, 3, 192)
    sums = (alone[..., None, None] * kinds[:, :, None]).cumsum(1)
    return SpeakerEmbeddings(
        unit=F.normalize(kinds.permute(2, 0, 1, 3).contiguous(), dim=-1, eps=1e-4),
        sums=F.pad(sums, (0, 0, 0, 0, 0, 0, 1, 0)),
        alone=F.pad(alone.cumsum(1), (0, 0, 1, 0)),
        local=local,
    )


class SpeakerScore(nn.Module):
    """How much a turn sounds like somebody who has spoken before, or like somebody new.

    Cosines, how long either was heard alone, and whether PyanNet takes them for one: few numbers
    in, one out, the same function for every candidate.
    """

    NUM_INPUTS = KINDS + 4
    # Cosine of the short embeddings at first: learnt from smaller ones, Adam takes too long
    # (DESIGN.md, section 3).
    SCALE, KNOWN_BIAS, NEW_BIAS = 20.0, -8.0, 0.0

    def __init__(self, hidden: int = 32):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(self.SCALE))
        self.bias = nn.Parameter(torch.tensor([self.KNOWN_BIAS, self.NEW_BIAS]))
        self.layers = nn.Sequential(
            nn.Linear(self.NUM_INPUTS, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )

    def start_from_cosines(self) -> None:
        """The base alone decides until something better is learnt."""
        nn.init.normal_(self.layers[0].weight, std=self.NUM_INPUTS**-0.5)
        nn.init.zeros_(self.layers[2].weight)

    def forward(
        self, turns: Tensor, turn_s: Tensor, speakers: Tensor, speakers_s: Tensor, same: Tensor,
        known: Tensor,
    ) -> Tensor:  # fmt: skip
        """
        Parameters
        ----------
        turns : (batch, turns, 3, 192) Tensor
            Summed embeddings.
        turn_s : (batch, turns) Tensor
            Seconds that each turn is heard alone.
        speakers : (batch, turns, speakers, 3, 192) Tensor
            Summed over what each speaker said before that turn.
        speakers_s : (batch, turns, speakers) Tensor
        same : (batch, turns, speakers) Tensor
            How much PyanNet takes turn and speaker for one.
        known : (batch, turns, speakers) bool Tensor
            Who has spoken before.

        Returns
        -------
        logits : (batch, turns, speakers) Tensor
        """
        with torch.autocast(turns.device.type, enabled=False):
            unit = F.normalize(turns, dim=-1, eps=1e-4)
            cosines = torch.einsum(
                "btkd,btskd->btsk", unit, F.normalize(speakers, dim=-1, eps=1e-4)
            )
            cosines = cosines * known[..., None]
            seconds = torch.stack([turn_s[..., None].expand_as(speakers_s), speakers_s], dim=-1)
            inputs = torch.cat(
                [
                    cosines,
                    (seconds.clamp(min=0) + SHORTEST_S).log(),
                    same[..., None],
                    known[..., None].float(),
                ],
                dim=-1,
            )
            base = torch.where(known, self.scale * cosines[..., 0] + self.bias[0], self.bias[1])
            return base + self.layers(inputs)[..., 0]
