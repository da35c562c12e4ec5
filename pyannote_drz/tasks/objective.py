"""What is learnt: targets, what is fed to the model, and the losses.

    tokens    cross-entropy over the triplets, times smoothed over neighbouring bins
    activity  binary cross-entropy of the auxiliary head, speakers in the order of their letters
    contrast  which other turns of the batch are by the same person, from the voice vectors
    voice     which of all training speakers each turn is: who sounds like that in other
              conversations, from its voice vector

Only the first is needed to diarize. The second teaches speech activity early, the last two teach
who is who.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    token_weight : float
        Of the tokens. At 0 nothing is written and only the layers that recognise voices learn,
        in a third of the time: the first stage of `recipes/synthetic/`.
    activity_weight, contrast_weight, voice_weight : float
        Of the auxiliary losses.
    """

    eos_weight: float = 0.3
    time_sigma: float = 1.5
    time_noise: float = 0.3
    time_noise_bins: int = 5
    speaker_noise: float = 0.05
    token_weight: float = 1.0
    activity_weight: float = 0.5
    contrast_weight: float = 0.3
    voice_weight: float = 0.1

    def __post_init__(self):
        for name in ("time_noise", "speaker_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, got {getattr(self, name)}.")
        weights = [name for name in self.__dataclass_fields__ if name.endswith("_weight")]
        for name in ("time_sigma", *weights):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


@dataclass
class Targets:
    """Right answers for a batch.

    tokens : (batch, length) Tensor, padded after eos
    activity : (batch, frames, speakers) bool Tensor
    people : (batch, speakers) Tensor, training speaker behind each letter, -1 where unknown
    given : (batch, length) bool Tensor, tokens of prompts, which nobody has to write
    """

    tokens: Tensor
    activity: Tensor
    people: Tensor
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
    voices: Tensor,
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
    voices : (batch, speakers) Tensor
        Training speaker behind each speaker of each row, -1 where there is none.
    num_frames : int
        Frames of the activity target, one time bin each.
    device : torch.device, optional
        Where targets are wanted. They are made on the CPU: `voices` had better be there.
    """
    batch = len(turns)
    rows, activity = [], []
    people = torch.full((batch, vocabulary.max_speakers), -1)
    known = voices.tolist()
    for row in range(batch):
        num_prompts = len(prompted[row])
        # Apart: a turn that begins the chunk does not go on with the prompt before it.
        given = vocabulary.given(turn[:2] for turn in turns[row][:num_prompts])
        triplets, speakers = vocabulary.triplets(turns[row][num_prompts:], prompted[row])
        triplets = given + triplets
        rows.append(torch.tensor(vocabulary.from_triplets(triplets)))
        activity.append(activity_of(triplets, num_frames, vocabulary.max_speakers))
        for letter, speaker in enumerate(speakers):
            people[row, letter] = known[row][speaker]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=vocabulary.pad)
    num_given = torch.tensor([3 * len(row) for row in prompted])
    given = torch.arange(tokens.shape[1]) < num_given[:, None]
    made = (tokens, torch.stack(activity), people, given)
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


def clean_seconds(vocabulary: Vocabulary, tokens: Tensor, activity: Tensor) -> Tensor:
    """Seconds of each turn in which nobody else speaks, (batch, turns)."""
    alone = (activity.sum(-1) == 1).float()  # (batch, frames)
    alone = F.pad(alone.cumsum(1), (1, 0)) * vocabulary.resolution  # (batch, frames + 1) s
    last = alone.shape[1] - 1
    num_turns = (tokens.shape[1] + 1) // 3
    start = (tokens[:, 0::3][:, :num_turns] - vocabulary.first_time).clamp(0, last)
    end = (tokens[:, 1::3][:, :num_turns] - vocabulary.first_time).clamp(0, last)
    return alone.gather(1, end) - alone.gather(1, start)


class Turns(NamedTuple):
    """Voice vectors of a batch's turns, and whose they are.

    vectors : (batch, turns, voice_dim) Tensor
    people : (batch, turns) Tensor, training speaker, -1 where unknown
    weight : (batch, turns) Tensor, 0 where too little of a turn is its own
    """

    vectors: Tensor
    people: Tensor
    weight: Tensor


def turns_of(vocabulary: Vocabulary, targets: Targets, voices: Tensor) -> Turns:
    """Turns of a batch, given the summed voices, (batch, turns, voice_dim + 1), of all of them."""
    letters = targets.tokens[:, 2::3] - vocabulary.first_speaker  # negative after the last turn
    num_turns = letters.shape[1]
    clean_s = clean_seconds(vocabulary, targets.tokens, targets.activity)[:, :num_turns]
    people = targets.people.gather(1, letters.clamp(min=0))
    enough = (letters >= 0) & (clean_s >= MIN_CLEAN_S)
    return Turns(voices[:, :num_turns, :-1], people, clean_s.clamp(max=2.0) * enough)


def same_voice(turns: Turns) -> tuple[Tensor, Tensor]:
    """Cosine of all pairs of turns within a conversation, and whether a pair is one person."""
    counts = (turns.weight > 0) & (turns.people >= 0)  # (batch, turns)
    vectors = F.normalize(turns.vectors.float(), dim=-1)
    cosine = vectors @ vectors.transpose(1, 2)  # (batch, turns, turns)
    same = turns.people[:, :, None] == turns.people[:, None]
    pairs = (counts[:, :, None] & counts[:, None]).triu(diagonal=1)
    return cosine[pairs], same[pairs]


class VoiceLoss(nn.Module):
    """Who is who, from voice vectors: among the turns of a batch, and among all people.

    People are remembered as they sounded in conversations before this one (a memory bank: Wu et
    al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018,
    section 3.1). Thousands of learnt vectors, one a person, hardly move in as many steps as a CPU
    has time for (recipes/synthetic/RUNS.md).

    Parameters
    ----------
    voice_dim : int
    num_people : int
        Training speakers.
    """

    SCALE = 20.0  # of the cosines with all people; fixed, as learnt ones collapse (CosFace, 4.1)
    MARGIN = 0.2  # by which the right one must be nearer (CosFace; 0.2 is usual for voices)
    MEMORY = 0.5  # share of what was remembered of a person that stays when they are heard again

    def __init__(self, voice_dim: int, num_people: int):
        super().__init__()
        # Unit vectors, 0 until somebody is heard. Several GPUs compare with what the first one
        # has heard: DDP hands its buffers to the others.
        self.register_buffer("people", torch.zeros(num_people, voice_dim))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())  # of the contrast's cosines

    def contrast(self, voices: Tensor, people: Tensor, weight: Tensor) -> Tensor:
        """Supervised contrast: find the turns of the same person among those of the batch.

        Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2.

        Parameters
        ----------
        voices : (turns, voice_dim) Tensor
        people : (turns,) Tensor
            -1 where unknown.
        weight : (turns,) Tensor
            Turns of weight zero are left out.

        Returns
        -------
        loss : () Tensor
            Zero where nobody is heard twice.
        """
        voices = F.normalize(voices, dim=-1)
        # Turns that do not count stay in their rows: a GPU would wait where their number matters.
        counts = (weight > 0) & (people >= 0)
        others = counts & ~torch.eye(len(people), dtype=torch.bool, device=people.device)
        same = (people[:, None] == people) & others & counts[:, None]
        logits = (self.log_scale.exp() * voices @ voices.T).float()
        log_probability = logits.masked_fill(~others, -1e4).log_softmax(-1)
        mean = (log_probability * same).sum(1) / same.sum(1).clamp(min=1)
        weight = weight * same.any(1)
        return -(weight * mean).sum() / weight.sum().clamp(min=1e-6)

    def forward(self, voices: Tensor, people: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax over the cosines with all people; in training, these are remembered, too.

        Parameters
        ----------
        voices : (turns, voice_dim) Tensor
        people : (turns,) Tensor
            -1 where unknown.
        weight : (turns,) Tensor
            Turns of weight zero are left out.

        Returns
        -------
        loss, accuracy : () Tensors
            Zero when nobody was heard before.
        """
        unit = F.normalize(voices.float(), dim=-1)
        counts = (people >= 0) & (weight > 0)
        people = people.clamp(min=0)
        before = self.people.clone()
        heard = before.any(-1)  # (people,)
        weight = weight * counts * heard[people]
        cosine = (unit @ before.T).masked_fill(~heard, -1.0)
        margin = self.MARGIN * F.one_hot(people, len(before))
        loss = F.cross_entropy(self.SCALE * (cosine - margin), people, reduction="none")
        total = weight.sum().clamp(min=1e-6)
        accuracy = (weight * (cosine.argmax(-1) == people)).sum() / total
        if self.training:
            self._remember(unit.detach(), people, counts)
        return (weight * loss).sum() / total, accuracy

    @torch.no_grad()
    def _remember(self, unit: Tensor, people: Tensor, counts: Tensor) -> None:
        now = torch.zeros_like(self.people).index_add_(0, people, unit * counts[:, None])
        mixed = self.MEMORY * self.people + (1 - self.MEMORY) * F.normalize(now, dim=-1)
        here = now.any(-1, keepdim=True)
        self.people.copy_(torch.where(here, F.normalize(mixed, dim=-1), self.people))
