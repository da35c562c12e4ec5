"""`Pix2SeqDiarizer`: one transformer reads what two encoders hear and writes who spoke when.

    chunk, 80 ms a position   <diarize>  start end A  start end B  …  <eos>
    |-- sees all of it ----| |- causal, sees the chunk and what is written -|

It reads the probabilities of PyanNet's classes, and nothing else. Speaker embeddings never enter
it: they are cosines, added to the logits of attention and deciding who a turn is by
(`speaker_embeddings.py`, `written.py`). What PyanNet says of starts and ends is added where times
are pointed at (`evidence.py`). A chunk may begin with prompts, whose turns are given:
`pyannote_drz.prompting`.
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
from .blocks import Block, TimeCode, rotary
from .encoders.features import (
    BIN_SAMPLES,
    BINS_PER_POSITION,
    POSITION_SAMPLES,
    SAMPLE_RATE,
    FeatureEncoder,
    Features,
)
from .encoders.segmentation import NUM_CLASSES, activities
from .evidence import Evidence
from .speaker_embeddings import KINDS, SpeakerEmbeddings, SpeakerScore, speaker_embeddings_of
from .written import POSITION_S, WrittenTurns

IMPOSSIBLE = -1e4  # logit of a token that cannot be right; finite, so that 0 x it is not nan
# s; rotary positions of what is written begin here, whatever the duration of the chunk, so that a
# model that began with short chunks can go on with longer ones.
WORDS_AT_S = 60.0
NUM_SIMILARITIES = KINDS + 1
# (kind, factor) that each of four heads begins with: two compare long embeddings, one PyanNet's
# local speakers, one looks for what is not written yet (DESIGN.md, section 3).
FIRST_FACTORS = ((1, 2.0), (1, 4.0), (KINDS, 3.0), (NUM_SIMILARITIES, 1.0))
# Of the rise of activities, the rise of what is unwritten and what is unwritten after it (starts);
# of the fall and of seconds of silence (ends); of seconds that are unwritten (eos).
EVIDENCE = (3.0, 1.0, 0.5, 3.0, -1.0, -1.0)


class Memory(NamedTuple):
    """All that writing needs to know of a chunk.

    keys, values : one (batch, heads, positions, head_dim) per layer
    bin_keys : (batch, bins, dim), what time tokens point at
    embeddings : SpeakerEmbeddings
    evidence : Evidence, of PyanNet's activities
    activity : (batch, frames, speakers) logits of the auxiliary head
    """

    keys: list[Tensor]
    values: list[Tensor]
    bin_keys: Tensor
    embeddings: SpeakerEmbeddings
    evidence: Evidence
    activity: Tensor

    def of(self, rows: Tensor) -> Memory:
        """Some chunks of a batch; keys and values are left where they are (`decoding.Cache`)."""
        return self._replace(
            bin_keys=self.bin_keys[rows],
            embeddings=self.embeddings.of(rows),
            evidence=Evidence(self.evidence.activities[rows], self.evidence.bin_s),
            activity=self.activity[rows],
        )


class Pix2SeqDiarizer(Model):
    """Speaker diarization as writing a sequence.

    Frozen encoders > prefix-LM transformer > tokens of `pyannote_drz.tokens`.

    Parameters
    ----------
    sample_rate : int, optional
        Only 16000 Hz, which the encoders learnt from.
    num_channels : int, optional
        Only 1 is supported, as by pyannote.audio itself.
    dim : int, optional
        Width of the transformer.
    num_layers : int, optional
        The activity head reads, and feeds back, after the first two thirds.
    num_heads : int, optional
        Attention heads, `dim / num_heads` wide each.
    dropout : float, optional
        On residual branches.
    task : Task, optional
        `SyntheticPix2SeqDiarization`, or any task whose specifications have duration and classes.

    Raises
    ------
    ValueError
        A rate that the encoders do not know, or a width that heads do not divide.

    References
    ----------
    Chen et al., "Pix2Seq: a language modeling framework for object detection", ICLR 2022.
    Pointing: Vinyals et al., "Pointer networks", NeurIPS 2015; DESIGN.md, sections 3, 6.
    """

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE,
        num_channels: int = 1,
        dim: int = 256,
        num_layers: int = 6,
        num_heads: int = 4,
        dropout: float = 0.1,
        task: Task | None = None,
    ):
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"the encoders hear {SAMPLE_RATE} Hz, got sample_rate={sample_rate}.")
        if num_heads < 1 or num_layers < 1 or dim < 1 or dim % (2 * num_heads):
            raise ValueError(
                f"num_heads and num_layers must be at least 1, and dim an even number per head, "
                f"got num_heads={num_heads}, num_layers={num_layers}, dim={dim}."
            )
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.save_hyperparameters("dim", "num_layers", "num_heads", "dropout")
        self.encoder = FeatureEncoder()
        # Five positions at once: an edge is seen before anything attends to it.
        self.probabilities = nn.Conv1d(BINS_PER_POSITION * NUM_CLASSES, dim, 5, padding=2)
        self.time_code = TimeCode(num_periods=dim // 2)
        self.time_embedding = nn.Linear(dim, dim, bias=False)  # of audio and of time tokens
        self.audio_type = nn.Parameter(0.02 * torch.randn(dim))
        self.diarize = nn.Parameter(0.02 * torch.randn(dim))
        self.role = nn.Parameter(0.02 * torch.randn(3, dim))  # start, end, speaker

        self.blocks = nn.ModuleList(Block(dim, num_heads, dropout) for _ in range(num_layers))
        self.norm_audio = nn.LayerNorm(dim)
        self.norm_token = nn.LayerNorm(dim)
        # Vectors, so that weight decay leaves them alone.
        self.audio_factors = nn.Parameter(self._first_factors(NUM_SIMILARITIES))
        self.token_factors = nn.Parameter(self._first_factors(NUM_SIMILARITIES + 1))
        self.evidence_factors = nn.Parameter(torch.tensor(EVIDENCE))
        self.voice_score = SpeakerScore()

        self.bin_key = nn.Linear(dim, BINS_PER_POSITION * dim)
        self.bin_code = nn.Linear(dim, dim, bias=False)
        self.bin_query = nn.Linear(dim, dim)
        self.last_edge = nn.Parameter(torch.zeros(dim))  # audio state after the last position
        self.end_or_pad = nn.Linear(dim, 2)
        for name, module in self.named_children():
            if name != "encoder":  # which has learnt
                module.apply(self._initialize)
        self.voice_score.start_from_cosines()

    def _first_factors(self, num_similarities: int) -> Tensor:
        """(layers x heads x similarities) factors; see `_bias`."""
        num_layers, num_heads = self.hparams.num_layers, self.hparams.num_heads
        factors = torch.zeros(num_layers, num_heads, num_similarities)
        for role, (kind, factor) in enumerate(FIRST_FACTORS):
            if kind < num_similarities:
                factors[:, role % num_heads, kind] = factor
        return factors.flatten()

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
        self.activity = nn.Linear(dim, BINS_PER_POSITION * num_speakers)
        self.feedback = nn.Linear(BINS_PER_POSITION * num_speakers, dim, bias=False)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse what was learnt before there were encoders.

        Raises
        ------
        ValueError
        """
        if any(name.startswith("stem.") for name in checkpoint["state_dict"]):
            raise ValueError(
                "this checkpoint is of a Pix2SeqDiarizer that read log-mel energies; "
                "today's hears with encoders and learns anew."
            )
        super().on_load_checkpoint(checkpoint)

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
            resolution=BIN_SAMPLES / SAMPLE_RATE,
            max_speakers=self.dimension,
        )

    @cached_property
    def position_samples(self) -> int:
        """Samples of one audio position."""
        return POSITION_SAMPLES

    @cached_property
    def bin_samples(self) -> int:
        """Samples of one time bin, which is also one output frame."""
        return BIN_SAMPLES

    @cached_property
    def bins_per_position(self) -> int:
        """Time bins of one audio position."""
        return BINS_PER_POSITION

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

    # ---- prefill --------------------------------------------------------------------------------

    def _head_layer(self) -> int:
        return 2 * len(self.blocks) // 3

    def _bias(self, factors: Tensor, layer: int, similarities: Tensor) -> Tensor:
        """Added to attention logits, (batch, heads, queries, positions).

        `similarities` is (kinds, batch, queries, positions); every head weighs the kinds its way.
        """
        factors = factors.view(self.hparams.num_layers, self.hparams.num_heads, -1)[layer]
        # One product for the whole batch: as many narrow ones take seven times as long.
        bias = factors @ similarities.flatten(1)  # (heads, batch x queries x positions)
        return bias.view(-1, *similarities.shape[1:]).transpose(0, 1)

    def prefill(self, features: Features, prompts: Tensor | None = None) -> Memory:
        """Read the features of chunks.

        Parameters
        ----------
        features : Features
            (batch, positions, …), of `self.encoder`.
        prompts : (batch,) Tensor, optional
            How many positions of each window are prompts. PyanNet's local speakers there are not
            those of the chunk, and its activities not what is to be written.
        """
        with torch.autocast(features.short.device.type, enabled=False):
            heard = activities(features.probabilities.float())  # (batch, positions, 4, 3)
            batch, length = heard.shape[:2]
            positions = torch.arange(length, device=heard.device)
            if prompts is not None:
                heard = heard * (positions >= prompts[:, None])[..., None, None]
            embeddings = speaker_embeddings_of(features, heard.mean(2))
            similarities = embeddings.similarities()
            bin_s = BIN_SAMPLES / SAMPLE_RATE
            evidence = Evidence(heard.flatten(1, 2), bin_s)

        x = self.probabilities(features.probabilities.float().flatten(2).transpose(1, 2))
        centres_s = (positions + 0.5) * POSITION_S
        x = x.transpose(1, 2) + self.audio_type + self.time_embedding(self.time_code(centres_s))
        cosines, sines = rotary(positions, self.hparams.dim // self.hparams.num_heads)
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            if layer == self._head_layer():
                activity = self.activity(x)  # (batch, positions, bins x speakers)
                x = x + self.feedback(activity.sigmoid())
            q, k, v = block.keys(x, cosines, sines)
            keys.append(k)
            values.append(v)
            x = block.attend(x, q, k, v, self._bias(self.audio_factors, layer, similarities))

        x = self.norm_audio(x)
        bin_keys = self.bin_key(x).view(batch, length * BINS_PER_POSITION, -1)
        last = self.bin_key(self.last_edge).view(BINS_PER_POSITION, -1)[:1]
        bin_keys = torch.cat([bin_keys, last.expand(batch, 1, -1)], dim=1)
        bins_s = bin_s * torch.arange(bin_keys.shape[1], device=x.device)
        bin_keys = bin_keys + self.bin_code(self.time_code(bins_s))
        return Memory(
            keys=keys,
            values=values,
            bin_keys=bin_keys,
            embeddings=embeddings,
            evidence=evidence,
            activity=activity.reshape(batch, length * BINS_PER_POSITION, -1),
        )

    # ---- decoding -------------------------------------------------------------------------------

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

    def _add_evidence(
        self, times: Tensor, eos: Tensor, written: WrittenTurns, rows: Tensor, unwritten: Tensor
    ) -> None:
        """Add what PyanNet says to logits of times, (batch, K, bins), and of eos, (batch, K)."""
        starts, evidence = written.starts, written.evidence
        rise, new, after, fall, gone, left = self.evidence_factors
        is_start, is_end = rows % 3 == 0, rows % 3 == 1
        if is_start.any():
            unwritten_rise, unwritten_after = evidence.start_terms(unwritten)
            told = rise * evidence.rise[:, None] + new * unwritten_rise + after * unwritten_after
            times[:, is_start] += told
            turn = rows[is_start] // 3 - 1
            since = F.pad(starts, (1, 0))[:, turn + 1]
            eos[:, is_start] += left * evidence.left_s(unwritten, since)
        if is_end.any():
            begin = starts[:, (rows[is_end] - 1) // 3]
            falls, silent_s = evidence.end_terms(begin, evidence.who_starts(begin))
            times[:, is_end] += fall * falls + gone * silent_s

    def logits(self, tokens: Tensor, memory: Memory, cache=None, first: int = 0) -> Tensor:
        """Logits of what comes next, after each of the tokens written so far.

        Parameters
        ----------
        tokens : (batch, written) Tensor
            Without <diarize>, which is always there.
        memory : Memory
            What `prefill` returned.
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
        heard_s = memory.embeddings.unit.shape[2] * POSITION_S
        if heard_s >= v.duration + POSITION_S:
            raise ValueError(
                f"only chunks of up to {v.duration} s can be written, got about {heard_s:.2f} s."
            )
        x = self._embed(tokens)[:, first:]
        batch, length, dim = x.shape
        rows = torch.arange(first, first + length, device=x.device)
        words_at = self.num_positions(round(WORDS_AT_S * SAMPLE_RATE))
        cosines, sines = rotary(words_at + rows, dim // self.hparams.num_heads)

        with torch.autocast(x.device.type, enabled=False):
            written = WrittenTurns(tokens, v, memory.embeddings, memory.evidence)
            embeddings, who = written.token_embeddings(rows)
            similarities = memory.embeddings.similarities_to(embeddings, who)
            done = written.speakers.shape[1]
            is_start = rows % 3 == 0
            unwritten = memory.evidence.unwritten(
                written.starts[:, :done], written.ends[:, :done], rows[is_start] // 3
            )  # (batch, starts, bins)
            seen = torch.zeros_like(similarities[0])
            seen[:, is_start] = unwritten.unflatten(-1, (-1, BINS_PER_POSITION)).mean(-1)
            similarities = torch.cat([similarities, seen.clamp(max=1)[None]])

        causal = rows[:, None] >= torch.arange(first + length, device=x.device)
        causal = x.new_zeros(causal.shape).masked_fill(~causal, -torch.inf)
        causal = causal.expand(batch, self.hparams.num_heads, -1, -1)
        for layer, block in enumerate(self.blocks):
            q, k, value = block.keys(x, cosines, sines)
            if cache is None:
                k = torch.cat([memory.keys[layer], k], dim=2)
                value = torch.cat([memory.values[layer], value], dim=2)
            else:
                k, value = cache.append(layer, k, value, first)
            bias = self._bias(self.token_factors, layer, similarities)
            x = block.attend(x, q, k, value, torch.cat([bias, causal.to(bias.dtype)], dim=-1))

        x = self.norm_token(x)
        times = (self.bin_query(x) @ memory.bin_keys.transpose(1, 2) / dim**0.5).float()
        speakers = (x @ self.speaker.weight.T.to(x.dtype)).float()
        pad, eos = self.end_or_pad(x).float().unbind(-1)
        with torch.autocast(x.device.type, enabled=False):
            eos = eos.clone()
            self._add_evidence(times, eos, written, rows, unwritten)
            names = rows % 3 == 2
            if names.any():
                turn = (rows[names] - 2) // 3
                speakers[:, names] += written.speaker_logits(turn, self.voice_score)

        logits = x.new_full((batch, length, len(v)), IMPOSSIBLE, dtype=torch.float)
        logits[..., v.pad], logits[..., v.eos] = pad, eos
        times = times[..., : v.num_bins]  # the last position may reach beyond the last bin
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
        memory = self.prefill(self.encoder(waveforms))
        activities = memory.activity.float().sigmoid()
        if tokens is None:
            return activities
        return activities, self.logits(tokens, memory)
