"""What is learnt: targets, what is fed to the model, and the losses.

    tokens    cross-entropy over the triplets, times smoothed over neighbouring bins
    activity  binary cross-entropy of the auxiliary head, speakers in the order of their letters

Only the first is needed to diarize. The second teaches early who is who: it asks for the speaker of
every instant, by arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..io.checked import Share, number, whole
from ..simulation.checked_config import CheckedConfig
from ..tokens import Triplet, Vocabulary


@dataclass(frozen=True)
class Objective(CheckedConfig):
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
    activity_weight : float
        Of the auxiliary loss.
    """

    eos_weight: number(0, 1000) = 0.3
    time_sigma: number(0, 100) = 1.5
    time_noise: Share = 0.3
    time_noise_bins: whole(0, 1000) = 5
    speaker_noise: Share = 0.05
    activity_weight: number(0, 1000) = 0.5


@dataclass
class Targets:
    """Right answers for a batch.

    tokens : (batch, length) Tensor, padded after eos
    activity : (batch, frames, speakers) bool Tensor
    given : (batch, length) bool Tensor, tokens of prompts, which nobody has to write
    """

    tokens: Tensor
    activity: Tensor
    given: Tensor


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
    num_frames: int,
    device: torch.device | str = "cpu",
) -> Targets:
    """Targets of a batch.

    Parameters
    ----------
    vocabulary : Vocabulary
    turns : per row, list of (start_s, end_s, speaker)
        The first ones are those of the prompts, in the order of `prompted`.
    prompted : per row, list of speakers
        Prompt k is the voice of that speaker.
    num_frames : int
        Frames of the activity target, one time bin each.
    device : torch.device, optional
        Where targets are wanted. They are made on the CPU.
    """
    rows, activity = [], []
    for row in range(len(turns)):
        num_prompts = len(prompted[row])
        # Apart: a turn that begins the chunk does not go on with the prompt before it.
        given = vocabulary.given(turn[:2] for turn in turns[row][:num_prompts])
        triplets, _ = vocabulary.triplets(turns[row][num_prompts:], prompted[row])
        triplets = given + triplets
        rows.append(torch.tensor(vocabulary.from_triplets(triplets)))
        activity.append(activity_of(triplets, num_frames, vocabulary.max_speakers))
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=vocabulary.pad)
    num_given = torch.tensor([3 * len(row) for row in prompted])
    given = torch.arange(tokens.shape[1]) < num_given[:, None]
    made = (tokens, torch.stack(activity), given)
    return Targets(*(target.to(device, non_blocking=True) for target in made))


def corrupt(
    vocabulary: Vocabulary, tokens: Tensor, given: Tensor, objective: Objective, num_bins: int
) -> Tensor:
    """Tokens as the model will see its own: some times a little off, some speakers wrong.

    `num_bins` is how many bins the chunk has: no time moves beyond its end. Tokens that are
    `given`, (batch, length), stay.
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
    noisy = torch.where(is_time & chosen(objective.time_noise), moved, tokens)
    noisy = torch.where(is_speaker & chosen(objective.speaker_noise), other, noisy)
    return torch.where(given, tokens, noisy)


def token_loss(
    vocabulary: Vocabulary, logits: Tensor, targets: Targets, objective: Objective, num_bins: int
) -> Tensor:
    """Weighted cross-entropy of (batch, length, vocabulary) logits; times are smoothed.

    `num_bins` is how many bins the chunk has: smoothing does not reach beyond its end. Tokens that
    are given do not count.
    """
    v, tokens = vocabulary, targets.tokens
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
    weight = torch.where((tokens == v.pad) | targets.given, 0.0, weight)
    return (weight * exact).sum() / weight.sum().clamp(min=1e-6)


def activity_loss(activity: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of (batch, frames, speakers) logits, summed over speakers."""
    loss = F.binary_cross_entropy_with_logits(activity.float(), target.float(), reduction="none")
    return loss.sum(-1).mean()
