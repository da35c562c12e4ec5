"""What is learnt: targets, what is fed to the model, and the three losses.

    tokens    cross-entropy over the triplets, times smoothed over neighbouring bins
    activity  binary cross-entropy of the auxiliary head, speakers in the order of their letters
    voice     which of the known people each turn is, from its voice vector

Only the first is needed to diarize. The second teaches speech activity early, the third teaches
the voice vectors who is who among all training speakers, not only among those of one chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..tokens import Triplet, Vocabulary

MIN_CLEAN_S = 0.5  # s; turns with less speech of their own do not tell who speaks


@dataclass(frozen=True)
class Objective:
    """Weights of the losses, and how targets and inputs are blurred.

    Parameters
    ----------
    eos_weight : float
        Of <eos> in the token loss; Pix2Seq uses 0.1 to keep sequences from ending early.
    time_sigma : float
        Standard deviation of time targets, in bins.
    time_noise : float
        Share of input times moved by a few bins, against exposure bias.
    time_noise_bins : int
        Largest such move.
    speaker_noise : float
        Share of input speakers replaced by another one.
    activity_weight, voice_weight : float
        Of the auxiliary losses, beside 1 for the tokens.
    """

    eos_weight: float = 0.3
    time_sigma: float = 1.5
    time_noise: float = 0.3
    time_noise_bins: int = 5
    speaker_noise: float = 0.05
    activity_weight: float = 0.5
    voice_weight: float = 0.2

    def __post_init__(self):
        for name in ("time_noise", "speaker_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, got {getattr(self, name)}.")
        for name in ("eos_weight", "time_sigma", "activity_weight", "voice_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass
class Targets:
    """Right answers for a batch.

    tokens : (batch, length) Tensor, padded after eos
    activity : (batch, frames, speakers) bool Tensor
    people : (batch, speakers) Tensor, training speaker behind each letter, -1 where unknown
    """

    tokens: Tensor
    activity: Tensor
    people: Tensor


def activity_of(triplets: Sequence[Triplet], num_frames: int, num_speakers: int) -> Tensor:
    """(frames, speakers) bool activity of triplets; a frame is a time bin."""
    activity = torch.zeros(num_frames, num_speakers, dtype=torch.bool)
    for start, end, speaker in triplets:
        activity[start:end, speaker] = True
    return activity


def make_targets(
    vocabulary: Vocabulary,
    turns: Sequence[Sequence[tuple[float, float, int]]],
    prompted: Sequence[Sequence[int]],
    voices: Tensor,
    num_frames: int,
) -> Targets:
    """Targets of a batch.

    Parameters
    ----------
    vocabulary : Vocabulary
    turns : per row, list of (start_s, end_s, speaker)
    prompted : per row, list of speakers
        Prompt k is the voice of that speaker.
    voices : (batch, speakers) Tensor
        Training speaker behind each speaker of each row, -1 where there is none.
    num_frames : int
        Frames of the activity target, one time bin each.
    """
    batch = len(turns)
    rows, activity = [], []
    people = torch.full((batch, vocabulary.max_speakers), -1)
    known = voices.tolist()
    for row in range(batch):
        triplets, speakers = vocabulary.triplets(turns[row], prompted[row])
        rows.append(torch.tensor(vocabulary.from_triplets(triplets)))
        activity.append(activity_of(triplets, num_frames, vocabulary.max_speakers))
        for letter, speaker in enumerate(speakers):
            people[row, letter] = known[row][speaker]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=vocabulary.pad)
    device = voices.device
    return Targets(tokens.to(device), torch.stack(activity).to(device), people.to(device))


def corrupt(vocabulary: Vocabulary, tokens: Tensor, objective: Objective, num_bins: int) -> Tensor:
    """Tokens as the model will see its own: some times a little off, some speakers wrong.

    `num_bins` is how many bins the chunk has: no time moves beyond its end.
    """
    if tokens.shape[1] == 0:  # nobody speaks in the whole batch
        return tokens

    def chosen(share):
        return torch.rand(tokens.shape, device=tokens.device) < share

    v, noise = vocabulary, objective.time_noise_bins
    moved = tokens + torch.randint(-noise, noise + 1, tokens.shape, device=tokens.device)
    moved = moved.clamp(v.first_time, v.first_time + num_bins - 1)
    other = torch.randint(v.first_speaker, len(v), tokens.shape, device=tokens.device)
    # Only letters of this row: a letter that nobody has is told apart at once.
    used = tokens.masked_fill(tokens < v.first_speaker, v.first_speaker).amax(1, keepdim=True)
    other = v.first_speaker + (other - v.first_speaker) % (used - v.first_speaker + 1)

    is_time = (tokens >= v.first_time) & (tokens < v.first_speaker)
    is_speaker = tokens >= v.first_speaker
    tokens = torch.where(is_time & chosen(objective.time_noise), moved, tokens)
    return torch.where(is_speaker & chosen(objective.speaker_noise), other, tokens)


def token_loss(
    vocabulary: Vocabulary, logits: Tensor, tokens: Tensor, objective: Objective, num_bins: int
) -> Tensor:
    """Weighted cross-entropy of (batch, length, vocabulary) logits; times are smoothed.

    `num_bins` is how many bins the chunk has: smoothing does not reach beyond its end.
    """
    v = vocabulary
    log_probability = logits.log_softmax(-1)
    exact = -log_probability.gather(-1, tokens[..., None])[..., 0]  # (batch, length)

    reach = round(2 * objective.time_sigma)
    if reach:
        offsets = torch.arange(-reach, reach + 1, device=tokens.device)
        weight = torch.exp(-0.5 * (offsets / objective.time_sigma) ** 2)
        near = tokens[..., None] + offsets  # (batch, length, neighbours)
        inside = (near >= v.first_time) & (near < v.first_time + num_bins)
        weight = weight * inside
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
        near = near.clamp(v.first_time, v.first_time + num_bins - 1)
        blurred = -(weight * log_probability.gather(-1, near)).sum(-1)
        is_time = (tokens >= v.first_time) & (tokens < v.first_speaker)
        exact = torch.where(is_time, blurred, exact)

    weight = torch.where(tokens == v.eos, objective.eos_weight, 1.0)
    weight = torch.where(tokens == v.pad, 0.0, weight)
    return (weight * exact).sum() / weight.sum().clamp(min=1e-6)


def activity_loss(activity: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of (batch, frames, speakers) logits, summed over speakers."""
    loss = F.binary_cross_entropy_with_logits(activity.float(), target.float(), reduction="none")
    return loss.sum(-1).mean()


def clean_seconds(vocabulary: Vocabulary, tokens: Tensor, activity: Tensor) -> Tensor:
    """Seconds of each turn in which nobody else speaks, (batch, turns)."""
    alone = (activity.sum(-1) == 1).float()  # (batch, frames)
    alone = F.pad(alone.cumsum(1), (1, 0)) * vocabulary.resolution  # (batch, frames + 1) s
    last = alone.shape[1] - 1
    num_turns = (tokens.shape[1] + 1) // 3
    start = (tokens[:, 0::3][:, :num_turns] - vocabulary.first_time).clamp(0, last)
    end = (tokens[:, 1::3][:, :num_turns] - vocabulary.first_time).clamp(0, last)
    return alone.gather(1, end) - alone.gather(1, start)


class VoiceClassifier(nn.Module):
    """Which of the training speakers is it? Softmax over scaled cosines.

    Parameters
    ----------
    voice_dim : int
    num_people : int
        Training speakers.
    scale : float
        Of cosines.
    margin : float
        Subtracted from the right cosine (CosFace, Wang et al., CVPR 2018, equation 4).
    """

    def __init__(self, voice_dim: int, num_people: int, scale: float = 20.0, margin: float = 0.1):
        super().__init__()
        self.people = nn.Parameter(torch.randn(num_people, voice_dim) / voice_dim**0.5)
        self.scale, self.margin = scale, margin

    def forward(self, voices: Tensor, people: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """
        Parameters
        ----------
        voices : (turns, voice_dim) Tensor
        people : (turns,) Tensor
            -1 where unknown.
        weight : (turns,) Tensor

        Returns
        -------
        loss, accuracy : () Tensors
            Zero when nobody is known.
        """
        weight = weight * (people >= 0)
        people = people.clamp(min=0)
        cosine = F.normalize(voices, dim=-1) @ F.normalize(self.people, dim=-1).T
        right = F.one_hot(people, len(self.people)).bool()
        logits = self.scale * torch.where(right, cosine - self.margin, cosine)
        loss = F.cross_entropy(logits, people, reduction="none")
        total = weight.sum().clamp(min=1e-6)
        accuracy = (weight * (cosine.argmax(-1) == people)).sum() / total
        return (weight * loss).sum() / total, accuracy
