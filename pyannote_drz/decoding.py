"""Writing: the loop that turns a model and its memory of a chunk into tokens.

    memory = model.listen(model.encoder(waveforms))   # prefill
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
from torch import Tensor

from .models.pix2seq import Memory, Pix2SeqDiarizer


class Decoded(NamedTuple):
    """What was written, and how sure the model was.

    tokens : (batch, length) Tensor, padded after eos
    probabilities : (batch, length) Tensor
        Of each token, among those that the grammar allowed; 1 where padded.
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

    def append(self, layer: int, keys: Tensor, values: Tensor, first: int):
        """Store keys and values of tokens `first`, `first` + 1, …; return all up to there."""
        start = self.num_heard + first
        end = start + keys.shape[2]
        self.keys[layer][:, :, start:end] = keys
        self.values[layer][:, :, start:end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


@torch.inference_mode()
def decode(
    model: Pix2SeqDiarizer,
    memory: Memory,
    max_speakers: Tensor | int | None = None,
    newcomer_bias: float = 0.0,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    given: Sequence[Sequence[int]] | None = None,
) -> Decoded:
    """Write who spoke when, in every chunk of a batch.

    Parameters
    ----------
    model : Pix2SeqDiarizer
        In evaluation mode.
    memory : Memory
        What `model.listen` returned.
    max_speakers : int or (batch,) Tensor, optional
        Letters that may be used, prompted ones included. Defaults to all.
    newcomer_bias : float, optional
        Added to the logit of a speaker who has not been written before: higher means more speakers.
    temperature : float, optional
        0 (default) takes the most probable token, but calls a chunk empty only if that is more
        probable than not; otherwise sample from softmax(logits / T).
    generator : torch.Generator, optional
        For reproducible samples.
    given : sequence of sequence of int, optional
        What every chunk begins with: whole triplets, those of its prompts.

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
        device=device,
    )
    cache = Cache(memory, 1 + vocabulary.max_tokens)
    tokens = torch.full((batch, vocabulary.max_tokens), vocabulary.pad, device=device)
    probabilities = torch.ones(batch, vocabulary.max_tokens, device=device)

    for step in range(vocabulary.max_tokens):
        logits = model.write(tokens[:, :step], memory, cache, first=step)[:, -1].float()
        logits = logits + newcomer_bias * grammar.newcomer
        allowed = grammar.mask()
        log_probability = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
        if temperature > 0:
            weights = (log_probability / temperature).softmax(-1)
            token = weights.multinomial(1, generator=generator)[:, 0]
        else:
            token = log_probability.argmax(-1)
            if step <= first.shape[1]:  # after which all chunks have begun
                # <eos> is one token, and starts are spread over many bins: the most probable token
                # may be <eos> though it is more probable that somebody speaks.
                start = log_probability[:, vocabulary.times].argmax(-1) + vocabulary.first_time
                speech = (step == num_given) & (log_probability[:, vocabulary.eos].exp() < 0.5)
                token = torch.where(speech, start, token)
        if step < first.shape[1]:
            token = torch.where(step < num_given, first[:, step], token)
            if not allowed.gather(1, token[:, None]).all():
                raise ValueError(f"what is given breaks the grammar at token {step}: {given}.")
        tokens[:, step] = token
        probabilities[:, step] = log_probability.gather(1, token[:, None])[:, 0].exp()
        grammar.advance(token)
        if grammar.over:
            break
    return Decoded(tokens[:, : step + 1], probabilities[:, : step + 1])


@torch.inference_mode()
def transcribe(
    model: Pix2SeqDiarizer, waveforms: Tensor, max_speakers: Tensor | int | None = None
) -> Decoded:
    """Listen to (batch, samples) chunks, and write greedily."""
    return decode(model, model.listen(model.encoder(waveforms)), max_speakers)
