"""Chunks: where a file is cut, what the model writes of each part, and how each turn sounds.

    chunk 0   |============ told ============|····|
    chunk 1                           |····|============ told ============|····|
    chunk 2                                      (shifted left to be full) |···|== told ==|

The dotted context is heard and written, because a turn at the edge of a chunk is hard to tell, but
what is said of it is left to the neighbour. A chunk that is prompted is written in one window with
its prompts; what is told of it begins with the chunk itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..decoding import decode
from ..models.encoders import Features
from ..models.pix2seq import Pix2SeqDiarizer
from ..prompting import NOBODY, Prompts
from .embeddings import embed
from .splitting import split_by_voice
from .stitching import Turn
from .witness import latest_starts, with_heard_edges, without_false_overlap, without_pauses

# s; turns of two speakers whose starts and ends are that near are one turn, written again: a model
# that has begun to repeat itself gives everybody the whole chunk. Of 66816 turns of AMI train, 150
# are like that, and 17 of those last longer than 1 s.
UNISON_S = 0.1


class Chunk(NamedTuple):
    """Positions `start` to `stop` are heard, turns between `first` and `last` are told."""

    start: int
    stop: int
    first: int
    last: int


def split(num_positions: int, duration: int, context: int) -> list[Chunk]:
    """Cover a file with chunks.

    Parameters
    ----------
    num_positions : int
        In the file.
    duration : int
        Longest chunk, in positions.
    context : int
        Positions at inner edges that are heard and not told, less than half of `duration`.

    Returns
    -------
    chunks : list of Chunk
        What they tell tiles the file. All are of full duration, unless the file is shorter: a file
        that is one position longer than a chunk is one chunk all the same.
    """
    if num_positions <= duration + 1:
        return [Chunk(0, min(num_positions, duration), 0, num_positions)]
    chunks, told = [], 0
    while told < num_positions:
        start = min(max(told - context, 0), num_positions - duration)
        stop = start + duration
        last = num_positions if stop == num_positions else stop - context
        chunks.append(Chunk(start, stop, told, last))
        told = last
    return chunks


class ChunkRequest(NamedTuple):
    """One chunk to be written.

    features : Features
        (positions, …)
    max_speakers : int
        Local speakers that may be written, prompted ones included.
    prompts : Prompts, optional
        Of the first local speakers.
    """

    features: Features
    max_speakers: int
    prompts: Prompts = NOBODY

    @property
    def num_positions(self) -> int:
        """Of the window: prompts and chunk."""
        return self.prompts.features.num_positions + self.features.num_positions


class ChunkResult(NamedTuple):
    """What was written of one chunk.

    turns : list of Turn
        In seconds from the beginning of the chunk; of local speakers, counted from 0.
    embeddings : (turns, 193) array
        See `embed`.
    """

    turns: list[Turn]
    embeddings: np.ndarray


def without_unison(turns: list[Turn]) -> list[Turn]:
    """Turns without those that begin and end together with an earlier one."""
    kept: list[Turn] = []
    for turn in turns:
        if not any(
            abs(turn.start - other.start) <= UNISON_S and abs(turn.end - other.end) <= UNISON_S
            for other in kept
        ):
            kept.append(turn)
    return kept


def _after(num_bins: int, latest: torch.Tensor) -> torch.Tensor:
    """`latest_starts` of a chunk in a window that begins with prompts."""
    return torch.cat([latest[:1].expand(num_bins), latest]) + num_bins


@torch.inference_mode()
def decode_chunks(
    model: Pix2SeqDiarizer, requests: list[ChunkRequest], newcomer_bias: float = 0.0
) -> list[ChunkResult]:
    """Write a batch of windows of the same length.

    Parameters
    ----------
    model : Pix2SeqDiarizer
        In evaluation mode.
    requests : list of ChunkRequest
    newcomer_bias : float, optional
        See `decode`.

    Returns
    -------
    results : list of ChunkResult
    """
    vocabulary, device = model.vocabulary, model.device
    windows = [Features.join([r.prompts.features, r.features]) for r in requests]
    features = Features.stack(windows).to(device).to(torch.float32)
    prompted = [request.prompts.features.num_positions for request in requests]
    memory = model.prefill(features, torch.tensor(prompted, device=device))
    max_speakers = torch.tensor([request.max_speakers for request in requests], device=device)
    given = [vocabulary.from_triplets(vocabulary.given(r.prompts.spans))[:-1] for r in requests]
    latest = torch.stack(
        [
            _after(num_prompted * model.bins_per_position, latest_starts(request.features))
            for request, num_prompted in zip(requests, prompted, strict=True)
        ]
    ).to(device)
    tokens, probabilities = decode(
        model, memory, max_speakers, newcomer_bias, given=given, latest=latest
    )
    log_probabilities = probabilities.log().cpu()

    results = []
    bin_s, bins_per_position = vocabulary.resolution, model.bins_per_position
    for row, (request, num_prompted) in enumerate(zip(requests, prompted, strict=True)):
        begin = num_prompted * bins_per_position  # bins
        triplets = vocabulary.to_triplets(tokens[row].tolist())
        # The probability of a turn is the geometric mean of those of its three tokens.
        per_turn = log_probabilities[row, : 3 * len(triplets)].view(-1, 3).mean(1).exp()
        turns = [
            Turn(max(start - begin, 0) * bin_s, (end - begin) * bin_s, speaker, p)
            for (start, end, speaker), p in zip(triplets, per_turn.tolist(), strict=True)
            if end > begin  # those of prompts are over before
        ]
        turns = without_pauses(without_unison(turns), request.features)
        turns = without_false_overlap(turns, request.features)
        known = len(request.prompts.spans)
        turns = split_by_voice(turns, request.features, request.max_speakers, known)
        embeddings = embed(turns, request.features)
        results.append(ChunkResult(with_heard_edges(turns, request.features), embeddings))
    return results
