"""`Pix2SeqDiarizer`: one transformer listens to a chunk and writes who spoke when.

    chunk audio           <diarize>  start end A  start end B  …  <eos>
    |- sees all of it -| |- causal, sees the chunk and what is written -|

Two of the three kinds of tokens *point* instead of being looked up in a table: times point at the
audio positions (`bin_keys`), speakers point at the voices of turns that are written already
(`_voice_logits`). A chunk may begin with prompts, whose turns are given: `pyannote_drz.prompting`.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from pyannote.audio.core.model import Model
from pyannote.audio.core.task import Task
from torch import Tensor

from ..tokens import Vocabulary
from .blocks import Block, LogMel, Stem, TimeCode, rotary

IMPOSSIBLE = -1e4  # logit of a token that cannot be right; finite, so that 0 x it is not nan
# s; rotary positions of what is written begin here, whatever the duration of the chunk, so that a
# model that began with short chunks can go on with longer ones.
WORDS_AT_S = 60.0


class Memory(NamedTuple):
    """All that writing needs to know of a chunk.

    keys, values : one (batch, heads, positions, head_dim) per layer
    bin_keys : (batch, bins, dim), what time tokens point at
    voice_sums : (batch, positions + 1, voice_dim + 1), cumulated voice vectors and weights
    activity : (batch, frames, speakers) logits of the auxiliary head
    """

    keys: list[Tensor]
    values: list[Tensor]
    bin_keys: Tensor
    voice_sums: Tensor
    activity: Tensor


class Pix2SeqDiarizer(Model):
    """Speaker diarization as writing a sequence.

    Log-mel > convolutional stem > prefix-LM transformer > tokens of `pyannote_drz.tokens`.

    Parameters
    ----------
    sample_rate : int, optional
        In Hz. Defaults to 16000.
    num_channels : int, optional
        Only 1 is supported, as by pyannote.audio itself.
    num_mels : int, optional
        Mel bands.
    dim : int, optional
        Width of the transformer.
    num_layers : int, optional
        The activity head reads, and feeds back, after the first two thirds.
    num_heads : int, optional
        Attention heads, `dim / num_heads` wide each.
    num_halvings : int, optional
        Halvings of the 100-Hz mel rate by the stem: 3 make audio positions of 80 ms, 2 of 40 ms.
    voice_dim : int, optional
        Width of voice vectors.
    resolution : float, optional
        Time bins, in seconds.
    dropout : float, optional
        On residual branches.
    task : Task, optional
        `SyntheticPix2SeqDiarization`, or any task whose specifications have duration and classes.

    References
    ----------
    Chen et al., "Pix2Seq: a language modeling framework for object detection", ICLR 2022.
    Pointing: Vinyals et al., "Pointer networks", NeurIPS 2015; evidence in DESIGN.md, section 6.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        num_channels: int = 1,
        num_mels: int = 80,
        dim: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        num_halvings: int = 3,
        voice_dim: int = 128,
        resolution: float = 0.02,
        dropout: float = 0.1,
        task: Task | None = None,
    ):
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.save_hyperparameters(
            "num_mels", "dim", "num_layers", "num_heads", "num_halvings", "voice_dim",
            "resolution", "dropout",
        )  # fmt: skip
        self.log_mel = LogMel(sample_rate, num_mels)
        bins = self.position_samples / (resolution * sample_rate)
        if bins < 1 or bins != round(bins):
            raise ValueError(
                f"an audio position ({self.position_samples / sample_rate} s) must hold a whole "
                f"number of time bins, got bins of {resolution} s."
            )
        if dim % (2 * num_heads):
            raise ValueError(f"dim must be an even number per head, got {dim} / {num_heads}.")

        self.stem = Stem(num_mels, dim, num_halvings)
        self.time_code = TimeCode(num_periods=dim // 2)
        self.time_embedding = nn.Linear(dim, dim, bias=False)  # of audio and of time tokens
        self.audio_type = nn.Parameter(0.02 * torch.randn(dim))
        self.diarize = nn.Parameter(0.02 * torch.randn(dim))
        self.role = nn.Parameter(0.02 * torch.randn(3, dim))  # start, end, speaker

        self.blocks = nn.ModuleList(Block(dim, num_heads, dropout) for _ in range(num_layers))
        self.norm_voice = nn.LayerNorm(dim)
        self.norm_audio = nn.LayerNorm(dim)
        self.norm_token = nn.LayerNorm(dim)

        self.voice = nn.Linear(dim, voice_dim + 1)  # voice vector and log weight of a position
        self.voice_scale = nn.Parameter(torch.tensor(10.0))  # of cosines, learnt from there
        self.voice_bias = nn.Parameter(torch.zeros(2))  # known voice, new voice

        self.bin_key = nn.Linear(dim, self.bins_per_position * dim)
        self.bin_code = nn.Linear(dim, dim, bias=False)
        self.bin_query = nn.Linear(dim, dim)
        self.last_edge = nn.Parameter(torch.zeros(dim))  # audio state after the last position
        self.end_or_pad = nn.Linear(dim, 2)
        self.apply(self._initialize)

    def _initialize(self, module: nn.Module):
        # GPT-2's initialisation; residual branches start small, so that depth costs no warm-up.
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Block):
            for layer in (module.out, module.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * self.hparams.num_layers) ** 0.5)

    def build(self):
        """Add the layers whose size depends on the number of speakers."""
        dim, num_speakers = self.hparams.dim, self.dimension
        self.speaker = nn.Embedding(num_speakers, dim)
        nn.init.normal_(self.speaker.weight, std=0.02)
        self.activity = nn.Linear(dim, self.bins_per_position * num_speakers)
        self.feedback = nn.Linear(self.bins_per_position * num_speakers, dim, bias=False)

    # ---- what pyannote.audio asks of a model ----------------------------------------------------

    @property
    def dimension(self) -> int:
        """Dimension of the output: number of speakers."""
        return len(self.specifications.classes)

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokens this model reads and writes.

        Raises
        ------
        ValueError
            Chunks of the task are longer than 60 s.
        """
        if self.specifications.duration > WORDS_AT_S:
            raise ValueError(
                f"chunks of {self.specifications.duration} s are longer than {WORDS_AT_S} s, "
                f"the longest that Pix2SeqDiarizer reads."
            )
        return Vocabulary(
            duration=self.specifications.duration,
            resolution=self.hparams.resolution,
            max_speakers=self.dimension,
        )

    @cached_property
    def position_samples(self) -> int:
        """Samples of one audio position."""
        return self.log_mel.hop * 2**self.hparams.num_halvings

    @cached_property
    def bin_samples(self) -> int:
        """Samples of one time bin, which is also one output frame."""
        return round(self.hparams.resolution * self.hparams.sample_rate)

    @cached_property
    def bins_per_position(self) -> int:
        return round(self.position_samples / self.bin_samples)

    def num_positions(self, num_samples: int) -> int:
        """Number of audio positions of the transformer, of which the last may be padded."""
        return -(-num_samples // self.position_samples)

    def num_frames(self, num_samples: int) -> int:
        """Number of output frames; the last one may reach beyond the end of the audio."""
        return self.bins_per_position * self.num_positions(num_samples)

    def receptive_field_size(self, num_frames: int = 1) -> int:
        """Samples of that many frames.

        Every frame sees the whole chunk; what is reported is the time it speaks about.
        """
        return num_frames * self.bin_samples

    def receptive_field_center(self, frame: int = 0) -> float:
        """Centre of a frame, in samples."""
        return (frame + 0.5) * self.bin_samples - 0.5

    # ---- listening ------------------------------------------------------------------------------

    def _positions(self, waveforms: Tensor) -> Tensor:
        """(rows, samples) -> (rows, positions, dim)"""
        missing = -waveforms.shape[-1] % self.position_samples
        return self.stem(self.log_mel(F.pad(waveforms, (0, missing))))

    def _head_layer(self) -> int:
        return 2 * len(self.blocks) // 3

    def _voice_vectors(self, x: Tensor) -> Tensor:
        """Weighted voice vectors and their weights, (…, positions, voice_dim + 1)."""
        with torch.autocast(x.device.type, enabled=False):
            # Averages of plain vectors learn voices faster than averages of unit vectors do
            # (recipes/synthetic/RUNS.md).
            vector, weight = self.voice(self.norm_voice(x.float())).split(
                [self.hparams.voice_dim, 1], dim=-1
            )
            weight = weight.sigmoid()
            return torch.cat([weight * vector, weight], dim=-1)

    def _chunk(self, waveforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Audio positions of chunks, (batch, positions, dim), and their rotation."""
        x = self._positions(waveforms)
        positions = torch.arange(x.shape[1], device=x.device)
        centres_s = (positions + 0.5) * (self.position_samples / self.hparams.sample_rate)
        x = x + self.audio_type + self.time_embedding(self.time_code(centres_s))
        return x, *rotary(positions, self.hparams.dim // self.hparams.num_heads)

    def recognize(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Voices and activity of chunks, (batch, samples): the layers below the head, no words.

        A model that learns these first learns to diarize sooner (recipes/synthetic/RUNS.md).

        Returns
        -------
        voice_sums, activity : Tensors
            As in `Memory`.
        """
        x, cosines, sines = self._chunk(waveforms)
        for block in self.blocks[: self._head_layer()]:
            x = block.attend(x, *block.keys(x, cosines, sines), mask=None)
        voice_sums = F.pad(self._voice_vectors(x).cumsum(1), (0, 0, 1, 0))
        activity = self.activity(x)  # (batch, positions, bins x speakers)
        return voice_sums, activity.unflatten(-1, (self.bins_per_position, -1)).flatten(1, 2)

    def listen(self, waveforms: Tensor) -> Memory:
        """Listen to chunks, (batch, samples)."""
        x, cosines, sines = self._chunk(waveforms)
        batch, length, dim = x.shape
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            if layer == self._head_layer():
                vectors = self._voice_vectors(x)
                activity = self.activity(x)  # (batch, positions, bins x speakers)
                x = x + self.feedback(activity.sigmoid())
            q, k, v = block.keys(x, cosines, sines)
            keys.append(k)
            values.append(v)
            x = block.attend(x, q, k, v, mask=None)

        x = self.norm_audio(x)
        bin_keys = self.bin_key(x).view(batch, length * self.bins_per_position, dim)
        last = self.bin_key(self.last_edge).view(self.bins_per_position, dim)[:1]
        bin_keys = torch.cat([bin_keys, last.expand(batch, 1, dim)], dim=1)
        bins_s = self.hparams.resolution * torch.arange(bin_keys.shape[1], device=x.device)
        bin_keys = bin_keys + self.bin_code(self.time_code(bins_s))
        return Memory(
            keys=keys,
            values=values,
            bin_keys=bin_keys,
            voice_sums=F.pad(vectors.cumsum(1), (0, 0, 1, 0)),
            activity=activity.reshape(batch, length * self.bins_per_position, -1),
        )

    # ---- writing --------------------------------------------------------------------------------

    def _embed(self, tokens: Tensor) -> Tensor:
        """(batch, written) tokens -> (batch, 1 + written, dim), <diarize> first."""
        v = self.vocabulary
        batch, length = tokens.shape
        role = torch.arange(length, device=tokens.device) % 3
        seconds = (tokens - v.first_time).clamp(0, v.num_bins - 1) * v.resolution
        speaker = (tokens - v.first_speaker).clamp(0, v.max_speakers - 1)
        x = torch.where(
            (role == 2)[:, None],
            self.speaker(speaker),
            self.time_embedding(self.time_code(seconds)),
        )
        x = x + self.role[role]
        return torch.cat([self.diarize.to(x.dtype).expand(batch, 1, -1), x], dim=1)

    def turn_voices(self, tokens: Tensor, voice_sums: Tensor) -> Tensor:
        """Summed voice vectors and weights of turns, from their times.

        Parameters
        ----------
        tokens : (batch, written) Tensor
        voice_sums : (batch, positions + 1, voice_dim + 1) Tensor
            See `Memory`.

        Returns
        -------
        voices : (batch, turns, voice_dim + 1) Tensor
            One row for each turn whose start and end are written.
        """
        num_turns = (tokens.shape[1] + 1) // 3
        first_time, last = self.vocabulary.first_time, voice_sums.shape[1] - 1
        start = (tokens[:, 0::3][:, :num_turns] - first_time) // self.bins_per_position
        end = -((first_time - tokens[:, 1::3][:, :num_turns]) // self.bins_per_position)
        start, end = start.clamp(0, last), end.clamp(0, last)

        def at(position):
            index = position[..., None].expand(-1, -1, voice_sums.shape[-1])
            return voice_sums.gather(1, index)

        return at(end) - at(start)

    def _voice_logits(self, tokens: Tensor, memory: Memory) -> Tensor:
        """How much each turn sounds like each voice so far, (batch, turns, speakers)."""
        v = self.vocabulary
        turns = self.turn_voices(tokens, memory.voice_sums)
        batch, num_turns, _ = turns.shape
        before = tokens[:, 2::3][:, :num_turns] - v.first_speaker  # (batch, turns or turns - 1)
        before = F.pad(before, (0, num_turns - before.shape[1]), value=-1)
        is_speaker = before[..., None] == torch.arange(v.max_speakers, device=tokens.device)
        # Sums over the turns before this one.
        sums = (is_speaker[..., None] * turns[:, :, None]).cumsum(1)
        sums = F.pad(sums, (0, 0, 0, 0, 1, 0))[:, :num_turns]  # (batch, turns, speakers, …)
        known = F.pad(is_speaker.cumsum(1), (0, 0, 1, 0))[:, :num_turns] > 0
        cosine = F.cosine_similarity(turns[:, :, None, :-1], sums[..., :-1], dim=-1)
        old, new = self.voice_bias
        return torch.where(known, self.voice_scale * cosine + old, new)

    def write(self, tokens: Tensor, memory: Memory, cache=None, first: int = 0) -> Tensor:
        """Logits of what comes next, after each of the tokens written so far.

        Parameters
        ----------
        tokens : (batch, written) Tensor
            Without <diarize>, which is always there.
        memory : Memory
            What `listen` returned.
        cache : pyannote_drz.decoding.Cache, optional
            Holds keys and values of what was written before `first`.
        first : int, optional
            Compute logits from this one on.

        Returns
        -------
        logits : (batch, 1 + written - first, vocabulary) Tensor
            Row i tells token `first + i`, given those before.
        """
        v = self.vocabulary
        position_s = self.position_samples / self.hparams.sample_rate
        heard_s = (memory.voice_sums.shape[1] - 1) * position_s
        if heard_s >= v.duration + position_s:
            raise ValueError(
                f"only chunks of up to {v.duration} s can be written, got about {heard_s:.2f} s."
            )
        x = self._embed(tokens)[:, first:]
        batch, length, dim = x.shape
        written = torch.arange(first, first + length, device=x.device)
        words_at = self.num_positions(round(WORDS_AT_S * self.hparams.sample_rate))
        cosines, sines = rotary(words_at + written, dim // self.hparams.num_heads)

        causal = written[:, None] >= torch.arange(first + length, device=x.device)
        mask = F.pad(causal, (memory.keys[0].shape[2], 0), value=True)

        for layer, block in enumerate(self.blocks):
            q, k, value = block.keys(x, cosines, sines)
            if cache is None:
                k = torch.cat([memory.keys[layer], k], dim=2)
                value = torch.cat([memory.values[layer], value], dim=2)
            else:
                k, value = cache.append(layer, k, value, first)
            x = block.attend(x, q, k, value, mask)

        x = self.norm_token(x)
        times = self.bin_query(x) @ memory.bin_keys.transpose(1, 2) / dim**0.5
        speakers = (x @ self.speaker.weight.T.to(x.dtype)).float()
        after_end = (2 - first) % 3  # the first row that tells a speaker; every third one does
        told = self._voice_logits(tokens, memory)[:, (first + after_end) // 3 :]
        speakers[:, after_end::3] += told

        logits = x.new_full((batch, length, len(v)), IMPOSSIBLE, dtype=torch.float)
        logits[..., v.pad], logits[..., v.eos] = self.end_or_pad(x).float().unbind(-1)
        times = times[..., : v.num_bins].float()  # the last position may reach beyond the last bin
        logits[..., v.first_time : v.first_time + times.shape[-1]] = times
        logits[..., v.speakers] = speakers
        return logits

    def forward(
        self, waveforms: Tensor, tokens: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """
        Parameters
        ----------
        waveforms : (batch, channel, samples) or (batch, samples) Tensor
        tokens : (batch, written) Tensor, optional
            Tokens written so far, without <diarize>.

        Returns
        -------
        activities : (batch, frames, speakers) Tensor
            Probability that each speaker, named by arrival, is active.
        logits : (batch, 1 + written, vocabulary) Tensor
            Only with `tokens`.
        """
        if waveforms.ndim == 3:
            if waveforms.shape[1] != 1:
                raise ValueError(f"expected mono audio, got {waveforms.shape[1]} channels.")
            waveforms = waveforms[:, 0]
        if waveforms.ndim != 2:
            raise ValueError(
                f"expected (batch, samples) or (batch, 1, samples), got {tuple(waveforms.shape)}."
            )
        memory = self.listen(waveforms)
        activities = memory.activity.float().sigmoid()
        if tokens is None:
            return activities
        return activities, self.write(tokens, memory)
