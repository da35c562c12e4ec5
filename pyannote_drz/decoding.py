"""Writing: the loop that turns a model and its memory of a chunk into tokens.

    memory = model.prefill(model.encoder(waveforms))   # prefill
    decoded = decode(model, memory)                   # one token at a time, for all chunks at once
    model.vocabulary.decode(decoded.tokens[0])   # who spoke when, in the first chunk

The cache is static: keys and values of all that can be written are allocated once, behind those
of the audio. The grammar decides what may be written, the model what is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .models.pix2seq import Memory, Pix2SeqDiarizer
from .tokens import Vocabulary

# A time and its neighbours up to 0.2 s away are one choice. Of 0, 5 and 10 bins: SimDev chunks2
# 12.4, 7.9, 7.7, AMI excerpts 25.2, 22.5, 22.3 % DER (recipes/synthetic/RUNS.md).
NEAR_BINS = 10


class Decoded(NamedTuple):
    """What was written, and how sure the model was.

    tokens : (batch, length) Tensor, padded after eos
    probabilities : (batch, length) Tensor
        Of each token, among those that the grammar allowed; of times, that it is within 0.2 s of
        this one; 1 where padded.
    """

    tokens: Tensor
    probabilities: Tensor


class Cache:
    """Keys and values of chunk and written tokens, allocated once.

    Parameters
    ----------
    memory : Memory
    max_tokens : int
        Room for that many, <diarize> included.
    """

    def __init__(self, memory: Memory, max_tokens: int):
        self.num_heard = memory.keys[0].shape[2]
        self.keys = [self._with_room(keys, max_tokens) for keys in memory.keys]
        self.values = [self._with_room(values, max_tokens) for values in memory.values]

    def _with_room(self, heard: Tensor, max_tokens: int) -> Tensor:
        batch, heads, _, dim = heard.shape
        room = heard.new_empty(batch, heads, self.num_heard + max_tokens, dim)
        room[:, :, : self.num_heard] = heard
        return room

    def keep(self, rows: Tensor) -> None:
        """Only these rows of the batch are written on."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]

    def append(self, layer: int, keys: Tensor, values: Tensor, first: int):
        """Store keys and values of tokens `first`, `first` + 1, …; return all up to there."""
        start = self.num_heard + first
        end = start + keys.shape[2]
        self.keys[layer][:, :, start:end] = keys
        self.values[layer][:, :, start:end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


def with_neighbours(probability: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Probabilities, (batch, vocabulary), of which those of times are of being within 0.2 s."""
    width = 2 * NEAR_BINS + 1
    near = probability.clone()
    times = F.avg_pool1d(probability[:, None, vocabulary.times], width, 1, NEAR_BINS)[:, 0]
    near[:, vocabulary.times] = (width * times).clamp(max=1)
    return near


def most_probable(probability: Tensor, near: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Tokens to write, (batch,), from their probabilities, (batch, vocabulary).

    A time is one of many bins, each of which is improbable: where it is most probable that a turn
    starts or ends within 0.2 s, it does at the most probable bin. And nothing more is said only if
    that is more probable than that somebody speaks, at whatever time.

    Parameters
    ----------
    probability, near : (batch, vocabulary) Tensor
        See `with_neighbours`.
    vocabulary : Vocabulary
    """
    v = vocabulary
    times = probability[:, v.times]
    about = near[:, v.times].argmax(-1, keepdim=True)  # (batch, 1)
    bins = torch.arange(times.shape[1], device=times.device)
    peak = times.masked_fill((bins - about).abs() > NEAR_BINS, -1.0).argmax(-1)
    is_time = times.sum(-1) > probability[:, v.eos].maximum(probability[:, v.pad])
    is_time = is_time & (probability[:, v.speakers].sum(-1) == 0)
    # What is not a time: the best of the others.
    others = probability.clone()
    others[:, v.times] = -1.0
    best = others.argmax(-1)
    return torch.where(is_time, peak + v.first_time, best)


@torch.inference_mode()
def decode(
    model: Pix2SeqDiarizer,
    memory: Memory,
    max_speakers: Tensor | int | None = None,
    newcomer_bias: float = 0.0,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    given: Sequence[Sequence[int]] | None = None,
    latest: Tensor | None = None,
) -> Decoded:
    """Write who spoke when, in every chunk of a batch.

    Parameters
    ----------
    model : Pix2SeqDiarizer
        In evaluation mode.
    memory : Memory
        What `model.prefill` returned.
    max_speakers : int or (batch,) Tensor, optional
        Letters that may be used, prompted ones included. Defaults to all.
    newcomer_bias : float, optional
        Added to the logit of a speaker who has not been written before: higher means more speakers.
    temperature : float, optional
        0 (default) takes what is most probable, see `most_probable`; otherwise sample from
        softmax(logits / T).
    generator : torch.Generator, optional
        For reproducible samples.
    given : sequence of sequence of int, optional
        What every chunk begins with: whole triplets, those of its prompts.
    latest : (batch, bins) Tensor of int, optional
        By when the next turn has to start, see `Grammar` and `witness.latest_starts`.

    Returns
    -------
    decoded : Decoded

    Raises
    ------
    ValueError
        `max_speakers` is below 1, or what is given breaks the grammar, by more speakers than that
        for example; `temperature` is negative.
    """
    if temperature < 0:
        raise ValueError(f"temperature must not be negative, got {temperature}.")
    vocabulary = model.vocabulary
    batch, num_bins, _ = memory.bin_keys.shape
    device = memory.bin_keys.device
    first = [[] for _ in range(batch)] if given is None else given
    num_given = torch.tensor([len(row) for row in first], device=device)
    first = nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.long) for row in first], True)
    first = first.to(device)
    grammar = vocabulary.grammar(
        batch,
        num_bins=torch.tensor(min(num_bins, vocabulary.num_bins)),
        max_speakers=max_speakers,
        latest=latest,
        device=device,
    )
    cache = Cache(memory, 1 + vocabulary.max_tokens)
    tokens = torch.full((batch, vocabulary.max_tokens), vocabulary.pad, device=device)
    probabilities = torch.ones(batch, vocabulary.max_tokens, device=device)
    rows = torch.arange(batch, device=device)  # chunks that are still being written

    for step in range(vocabulary.max_tokens):
        logits = model.logits(tokens[rows, :step], memory, cache, first=step)[:, -1].float()
        logits = logits + newcomer_bias * grammar.newcomer
        allowed = grammar.mask()
        is_given = step < num_given[rows]
        allowed = torch.where(is_given[:, None], allowed, grammar.in_time(allowed))
        probability = logits.masked_fill(~allowed, -torch.inf).softmax(-1)
        near = with_neighbours(probability, vocabulary)
        if temperature > 0:
            weights = (probability.log() / temperature).softmax(-1)
            token = weights.multinomial(1, generator=generator)[:, 0]
        else:
            token = most_probable(probability, near, vocabulary)
        if step < first.shape[1]:
            token = torch.where(is_given, first[rows, step], token)
            if not allowed.gather(1, token[:, None]).all():
                raise ValueError(f"what is given breaks the grammar at token {step}: {given}.")
        tokens[rows, step] = token
        probabilities[rows, step] = near.gather(1, token[:, None])[:, 0]
        grammar.advance(token)
        if grammar.over:
            break
        left = grammar.unfinished
        if 2 * len(left) <= len(rows):  # what is written to its end costs no more
            rows, memory = rows[left], memory.of(left)
            cache.keep(left)
            grammar.keep(left)
    return Decoded(tokens[:, : step + 1], probabilities[:, : step + 1])


@torch.inference_mode()
def transcribe(
    model: Pix2SeqDiarizer, waveforms: Tensor, max_speakers: Tensor | int | None = None
) -> Decoded:
    """Listen to (batch, samples) chunks, and write greedily."""
    return decode(model, model.prefill(model.encoder(waveforms)), max_speakers)
