"""What `Pix2SeqDiarizer` is made of: time code, rotary positions, transformer block.

Nothing here knows about tokens or speakers.
"""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


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


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention, (batch, heads, queries, head_dim); `bias` is added to logits.

    Where the bias is learnt, and where there is one query, plain products: fused kernels have no
    gradient of the bias on a CPU, and take twice the time (measured on one core of an EPYC 9005).
    """
    if q.requires_grad or q.shape[2] == 1:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias
        return scores.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))


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

    def attend(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attend to `k`, `v`, with `bias` (batch, heads, queries, keys); feed forward."""
        y = attention(q, k, v, bias)
        y = y.transpose(1, 2).flatten(2)  # (batch, length, dim)
        x = x + self.dropout(self.out(y))
        y = self.down(F.gelu(self.up(self.norm_feed_forward(x))))
        return x + self.dropout(y)
