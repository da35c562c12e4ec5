"""Shards: features of simulated conversations, made once and learnt from many times.

Rendering and encoding a conversation takes ten times as long as learning from it. A shard is one
safetensors file of some conversations of the same duration:

    probabilities   (rows, positions, 4, 7)  half precision, see `Features`
    short, long     (rows, positions, 192)   half precision
    turns           (turns, 4)               row, start_s, end_s, speaker of the conversation
    speakers        (rows, most)             speaker of the bank, -1 where there is none

Its name begins with a key of all that shaped it: simulator, speakers, encoders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..io.atomic import atomic_write
from ..models.encoders.features import POSITION_SAMPLES, SAMPLE_RATE, WEIGHTS, Features
from ..simulation import Turn

POSITION_S = POSITION_SAMPLES / SAMPLE_RATE


class Encoded(NamedTuple):
    """A conversation, as it is heard.

    features : Features, (positions, …)
    turns : list of Turn, in seconds from its beginning
    speakers : list of int
        Speaker of the bank behind every speaker of the conversation.
    """

    features: Features
    turns: list[Turn]
    speakers: list[int]

    @property
    def duration_s(self) -> float:
        return self.features.num_positions * POSITION_S


def shard_key(description: dict) -> str:
    """Key of shards made as `description` (JSON) says, by the packaged encoders."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def save_shard(path: Path, conversations: Sequence[Encoded]) -> None:
    """Write conversations of the same duration to a file, all of them or nothing."""
    features = Features.stack([c.features for c in conversations]).to(torch.float16)
    turns = [(row, *turn) for row, c in enumerate(conversations) for turn in c.turns]
    most = max(1, *(len(c.speakers) for c in conversations))
    speakers = torch.full((len(conversations), most), -1)
    for row, conversation in enumerate(conversations):
        speakers[row, : len(conversation.speakers)] = torch.tensor(conversation.speakers)
    content = {
        **{name: tensor.contiguous() for name, tensor in features._asdict().items()},
        "turns": torch.tensor(turns, dtype=torch.float32).view(-1, 4),
        "speakers": speakers,
    }
    with atomic_write(path) as part:
        save_file(content, part)


def load_shard(path: Path) -> list[Encoded]:
    """Conversations of a shard.

    Raises
    ------
    ValueError
        The file is no shard, or not whole.
    """
    try:
        content = load_file(path)
        features = Features(*(content[name] for name in Features._fields))
        turns: list[list[Turn]] = [[] for _ in features.short]
        for row, start_s, end_s, speaker in content["turns"].tolist():
            turns[int(row)].append(Turn(start_s, end_s, int(speaker)))
        speakers: Tensor = content["speakers"]
    except (SafetensorError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is no whole shard of features: {error}.") from None
    return [
        Encoded(
            Features(*(tensor[row] for tensor in features)),
            turns[row],
            [speaker for speaker in speakers[row].tolist() if speaker >= 0],
        )
        for row in range(len(turns))
    ]


class ShardSet:
    """All shards of some folders; features stay on disk until they are needed.

    Parameters
    ----------
    folders : sequence of path

    Raises
    ------
    ValueError
        A folder has no shard, or one that is not whole.
    """

    def __init__(self, folders: Sequence[str | Path]):
        self.conversations: list[Encoded] = []
        for folder in folders:
            paths = sorted(Path(folder).glob("*.safetensors"))
            if not paths:
                raise ValueError(f"no features (*.safetensors) in {folder}.")
            for path in paths:
                self.conversations += load_shard(path)
        self.conversations.sort(key=lambda conversation: conversation.features.num_positions)
        self.lengths = np.array([c.features.num_positions for c in self.conversations])

    def draw(self, rng: np.random.Generator, at_least: int, exactly: int | None) -> Encoded | None:
        """A random conversation.

        Parameters
        ----------
        rng : Generator
        at_least : int
            Positions that it must have; longer ones are drawn in proportion to their length.
        exactly : int, optional
            Positions that it had better have.

        Returns
        -------
        conversation : Encoded, or None where all are too short
        """
        if exactly is not None:
            low, high = np.searchsorted(self.lengths, [exactly, exactly + 1])
            if low < high:
                return self.conversations[rng.integers(low, high)]
        first = int(np.searchsorted(self.lengths, at_least))
        if first == len(self.lengths):
            return None
        weights = np.cumsum(self.lengths[first:])
        return self.conversations[first + int(np.searchsorted(weights, rng.random() * weights[-1]))]

    @property
    def hours(self) -> float:
        return float(self.lengths.sum()) * POSITION_S / 3600
