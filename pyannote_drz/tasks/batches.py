"""What travels from a data loader to the model: examples and what to make of them; and batches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..models.encoders import Features
from ..simulation import Conversation, Turn
from .real import RealChunk
from .windows import Window


class Drawn:
    """Examples that will be rendered and encoded where the model is.

    Nothing that Lightning knows its way through: it would copy every turn of every conversation,
    in search of tensors.
    """

    def __init__(self, examples: list[Conversation | RealChunk | Window], cuts: list[Cut]):
        self.examples, self.cuts = examples, cuts


class Cut(NamedTuple):
    """What shall be made of a conversation: the same for all of a batch, but for the seed."""

    num_positions: int
    prompted: bool
    seed: list[int]


class Progress(NamedTuple):
    """What workers of a data loader know of the model."""

    global_rank: int
    num_batches: int  # learnt from before


class Batch(NamedTuple):
    """Windows of one length.

    features : Features, (batch, positions, …)
    turns : list of list of Turn
    prompted : list of list of int
        Speaker of every prompt.
    prompt_positions : (batch,) Tensor
    """

    features: Features
    turns: list[list[Turn]]
    prompted: list[list[int]]
    prompt_positions: Tensor


def batch_of(windows: list[Window], device: torch.device) -> Batch:
    """Windows of the same length, side by side."""
    features = Features.stack([window.features.to(torch.float32) for window in windows])
    return Batch(
        features.to(device),
        [window.turns for window in windows],
        [window.prompted for window in windows],
        torch.tensor([window.prompt_positions for window in windows], device=device),
    )
