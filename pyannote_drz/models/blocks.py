"""What `Pix2SeqDiarizer` is made of: log-mel, stem, time code, transformer block.

Nothing here knows about tokens or speakers.
"""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from asteroid_filterbanks import STFTFB, Encoder
from torch import Tensor
from torchaudio.functional import melscale_fbanks

WINDOW_S, HOP_S = 0.025, 0.010  # s; the usual analysis of speech (Kaldi, Whisper)
FFT_SIZE = 512  # samples; the next power of two after 25 ms at 16 kHz
POWER_FLOOR = 1e-10  # 100 dB below full scale: quieter than any microphone
LOG_RANGE = 6.0  # nats around the mean (52 dB in all); clips digital silence and clicks


class LogMel(nn.Module):
    """Log-mel energies, each band centred on its mean over the recording.

    The mean takes away the channel and the level; frames of digital silence do not count in it.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    num_mels : int
        Number of mel bands.
    """

    def __init__(self, sample_rate: int, num_mels: int):
        super().__init__()
        self.hop = round(HOP_S * sample_rate)  # samples
        self.window = round(WINDOW_S * sample_rate)  # samples
        self.stft = Encoder(STFTFB(FFT_SIZE, self.window, self.hop, sample_rate=sample_rate))
        self.stft.requires_grad_(False)
        mel = melscale_fbanks(FFT_SIZE // 2 + 1, 20.0, sample_rate / 2, num_mels, sample_rate)
        self.register_buffer("mel", mel, persistent=False)  # (frequencies, mels)

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """
        Parameters
        ----------
        waveforms : (batch, samples) Tensor
            A whole number of 10-ms hops.
        lengths : (batch,) Tensor, optional
            Samples that count, where the rest is padding.

        Returns
        -------
        features : (batch, mels, samples / hop) Tensor
            The analysis window of feature i is centred on the i-th hop.
        """
        # Half precision would lose the quiet bands.
        with torch.autocast(waveforms.device.type, enabled=False):
            margin = (self.window - self.hop) // 2
            spectrum = self.stft(F.pad(waveforms.float(), (margin, margin))[:, None])
            real, imaginary = spectrum.chunk(2, dim=1)  # (batch, frequencies, frames) each
            power = (real.square() + imaginary.square()).transpose(1, 2) @ self.mel
            power = power.transpose(1, 2)  # (batch, mels, frames)
            log_mel = (power + POWER_FLOOR).log()

            heard = power.amax(dim=1, keepdim=True) > 10 * POWER_FLOOR  # (batch, 1, frames)
            if lengths is not None:
                frames = torch.arange(log_mel.shape[-1], device=lengths.device)
                heard = heard & (frames < lengths[:, None] / self.hop)[:, None]
            mean = (log_mel * heard).sum(-1, keepdim=True) / heard.sum(-1, keepdim=True).clamp(1)
            return (log_mel - mean).clamp(-LOG_RANGE, LOG_RANGE)


class Stem(nn.Module):
    """Strided convolutions from 100 Hz mel frames to audio positions.

    Kernels are even, so that position i is centred on the i-th stride of the signal.

    Parameters
    ----------
    num_mels, dim : int
        Bands in, channels out.
    num_halvings : int
        Each halves the rate: 2 give 25 Hz (40 ms a position), 3 give 12.5 Hz (80 ms).
    """

    KERNEL = 6  # frames in, 2 frames of padding, stride 2

    def __init__(self, num_mels: int, dim: int, num_halvings: int):
        super().__init__()
        channels = [num_mels] + [dim] * num_halvings
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, self.KERNEL, stride=2, padding=2)
            for i, o in zip(channels, channels[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_halvings))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, mels, frames) -> (batch, positions, dim)"""
        x = features
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.gelu(norm(convolution(x).transpose(1, 2))).transpose(1, 2)
        return x.transpose(1, 2)


class TimeCode(nn.Module):
    """Sinusoids of seconds: the one clock of audio positions and time tokens.

    Periods run geometrically from 80 ms (four bins of 20 ms: neighbours differ) to 120 s (four
    chunks of 30 s: a chunk never wraps around).
    """

    SHORTEST_S, LONGEST_S = 0.08, 120.0

    def __init__(self, num_periods: int):
        super().__init__()
        periods = torch.logspace(
            math.log10(self.SHORTEST_S), math.log10(self.LONGEST_S), num_periods
        )
        self.register_buffer("frequencies", 2 * math.pi / periods, persistent=False)  # rad/s

    def forward(self, seconds: Tensor) -> Tensor:
        """(…,) seconds -> (…, 2 x num_periods)"""
        phase = seconds[..., None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


def rotary(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions (RoFormer, arXiv 2104.09864, section 3.2).

    Parameters
    ----------
    positions : (length,) Tensor
        May be negative.
    head_dim : int

    Returns
    -------
    cosines, sines : (length, head_dim / 2) Tensors
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim
    angles = positions[:, None].float() * 10000.0**-exponents  # base of the paper
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate (batch, heads, length, head_dim) by its positions."""
    a, b = x.chunk(2, dim=-1)
    cosines, sines = cosines.to(x.dtype), sines.to(x.dtype)
    return torch.cat([a * cosines - b * sines, a * sines + b * cosines], dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, (batch, heads, queries, head_dim).

    Learning on CPU in bf16, three plain products take 0.4 (10 s of audio) to 0.7 (30 s) of the
    time of PyTorch 2.11's fused kernel and its backward (measured on one core of an EPYC 9005).
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Block(nn.Module):
    """Transformer block: pre-norm attention, pre-norm feed-forward.

    Parameters
    ----------
    dim, num_heads : int
    dropout : float
        On both residual branches.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_feed_forward = nn.LayerNorm(dim)
        # Normalised queries and keys keep attention stable at high learning rates
        # (Henry et al. 2020, arXiv 2010.04245).
        self.norm_query = nn.LayerNorm(dim // num_heads)
        self.norm_key = nn.LayerNorm(dim // num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def keys(self, x: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, heads, length, head_dim) each."""
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm_attention(x))
        qkv = qkv.view(batch, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = self.norm_query(q).to(v.dtype), self.norm_key(k).to(v.dtype)
        return rotate(q, cosines, sines), rotate(k, cosines, sines), v

    def attend(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend to `k`, `v` where `mask` (batch or 1, 1, queries, keys) is true; feed forward."""
        y = attention(q, k, v, mask)
        y = y.transpose(1, 2).flatten(2)  # (batch, length, dim)
        x = x + self.dropout(self.out(y))
        y = self.down(F.gelu(self.up(self.norm_feed_forward(x))))
        return x + self.dropout(y)
