"""CAM++, a speaker encoder, up to its frame-wise features and from their statistics on.

Source: Wang et al., "CAM++: a fast and efficient network for speaker verification using
context-aware masking", Interspeech 2023 (arXiv 2303.00332), figure 1 and table 1. Weights:
3D-Speaker's zh_en "common advanced" model, Apache-2.0; the batch norms of its convolutions are
folded into them, as `recipes/encoders/convert.py` finds them.
"""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance.kaldi import get_mel_banks

SAMPLE_RATE = 16000  # Hz
WINDOW, HOP, FFT_SIZE = 400, 160, 512  # samples; Kaldi's 25 ms, 10 ms and the next power of two
NUM_MELS, LOW_HZ = 80, 20.0
PRE_EMPHASIS = 0.97
FULL_SCALE = 32768.0  # Kaldi counts in 16-bit steps
POWER_FLOOR = 1.1920928955078125e-07  # Kaldi's: float32's epsilon
SEGMENT_FRAMES = 100  # context masks pool over 2 s at 50 Hz (section 2.2)
NUM_FRAME_FEATURES = 512
EMBEDDING_DIM = 192
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of the dense blocks (table 1)
GROWTH = 32  # channels that a dense layer adds


class Fbank(nn.Module):
    """Kaldi's log-mel energies, as CAM++ learnt them: povey window, no dither, mean away.

    Frames of digital silence stay out of the mean, which they would drag far from any speech; they
    are put at it.
    """

    def __init__(self):
        super().__init__()
        n = torch.arange(WINDOW, dtype=torch.float64)
        povey = (0.5 - 0.5 * torch.cos(2 * torch.pi * n / (WINDOW - 1))).pow(0.85).float()
        banks, _ = get_mel_banks(
            NUM_MELS, FFT_SIZE, float(SAMPLE_RATE), LOW_HZ, 0.0, 100.0, -500.0, 1.0
        )
        self.register_buffer("window", povey, persistent=False)
        self.register_buffer("mel", F.pad(banks, (0, 1)).T.contiguous(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, mels); frame i begins at sample 160 i."""
        frames = (waveforms * FULL_SCALE).unfold(-1, WINDOW, HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        power = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self.window, FFT_SIZE)
        power = power.real.square() + power.imag.square()
        log_mel = (power @ self.mel).clamp(min=POWER_FLOOR).log()
        sounds = (power.amax(-1, keepdim=True) > POWER_FLOOR).float()  # (batch, frames, 1)
        mean = (log_mel * sounds).sum(1, keepdim=True) / sounds.sum(1, keepdim=True).clamp(min=1)
        return (log_mel - mean) * sounds


class ResidualBlock(nn.Module):
    """Two convolutions over (mels, frames) and a shortcut; `stride` is over mels."""

    def __init__(self, stride: int):
        super().__init__()
        self.first = nn.Conv2d(32, 32, 3, (stride, 1), 1)
        self.second = nn.Conv2d(32, 32, 3, 1, 1)
        self.shortcut = nn.Conv2d(32, 32, 1, (stride, 1)) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.second(F.relu(self.first(x))) + shortcut)


def norm_relu(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """A batch norm and a rectifier over channels that lie side by side, (batch, frames, channels).

    In one new tensor, and in the precision of `x`: the norm's own kernel wants channels first, and
    would copy what is read from a dense block.
    """
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype)).relu_()


class DenseLayer(nn.Module):
    """Time-delay layer whose output is masked by its context (equations 1 to 4)."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.bottleneck = nn.Conv1d(channels, 128, 1)
        self.local = nn.Conv1d(128, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.context_in = nn.Conv1d(128, 64, 1)
        self.context_out = nn.Conv1d(64, GROWTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, frames, GROWTH)."""
        x = pointwise(self.bottleneck, norm_relu(self.norm, x)).relu_()
        num_frames = x.shape[1]
        missing = -num_frames % SEGMENT_FRAMES
        segments = F.pad(x, (0, 0, 0, missing)).unflatten(1, (-1, SEGMENT_FRAMES))
        segments = segments.sum(2, dtype=torch.float)  # (batch, segments, 128)
        length = segments.new_full((segments.shape[1], 1), SEGMENT_FRAMES)
        length[-1] -= missing
        context = segments / length + segments.sum(1, keepdim=True) / num_frames
        mask = pointwise(self.context_out, F.relu(pointwise(self.context_in, context))).sigmoid()
        mask = mask.to(x.dtype).repeat_interleave(SEGMENT_FRAMES, 1)[:, :num_frames]
        return self.local(x.transpose(1, 2)).transpose(1, 2) * mask


def pointwise(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution of width 1 over (batch, frames, channels): a matrix product."""
    return F.linear(x, convolution.weight[..., 0], convolution.bias)


class CAMPPlus(nn.Module):
    """Speaker encoder."""

    def __init__(self):
        super().__init__()
        self.fbank = Fbank()
        self.conv_in = nn.Conv2d(1, 32, 3, 1, 1)
        self.residual = nn.ModuleList(ResidualBlock(stride) for stride in (2, 1, 2, 1))
        self.conv_out = nn.Conv2d(32, 32, 3, (2, 1), 1)
        self.tdnn = nn.Conv1d(32 * NUM_MELS // 8, 128, 5, 2, 2)
        self.dense = nn.ModuleList()
        self.transit_norm, self.transit = nn.ModuleList(), nn.ModuleList()
        channels = 128
        for (num_layers, dilation), narrowed in zip(BLOCKS, (256, 512, NUM_FRAME_FEATURES)):
            self.dense.append(
                nn.ModuleList(
                    DenseLayer(channels + GROWTH * layer, dilation) for layer in range(num_layers)
                )
            )
            channels += GROWTH * num_layers
            self.transit_norm.append(nn.BatchNorm1d(channels))
            last = narrowed == NUM_FRAME_FEATURES and len(self.dense) == len(BLOCKS)
            self.transit.append(nn.Conv1d(channels, narrowed, 1, bias=last))
            channels = narrowed
        self.project = nn.Linear(2 * NUM_FRAME_FEATURES, EMBEDDING_DIM, bias=False)
        for module in (self.conv_in, self.residual, self.conv_out):
            module.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.zeros(EMBEDDING_DIM))
        self.register_buffer("variance", torch.ones(EMBEDDING_DIM))

    def frames(self, log_mel: Tensor) -> Tensor:
        """(batch, frames, mels) at 100 Hz -> (batch, 512, frames) at 50 Hz.

        Feature i is centred on the window of log-mel frame 2 i: sample 320 i + 200.
        """
        x = log_mel.transpose(1, 2)[:, None]
        # A CPU convolves channels that lie side by side 1.7 times as fast (one core, bf16).
        x = F.relu(self.conv_in(x.contiguous(memory_format=torch.channels_last)))
        for block in self.residual:
            x = block(x)
        x = F.relu(self.tdnn(F.relu(self.conv_out(x)).flatten(1, 2))).transpose(1, 2)
        for layers, norm, transit in zip(self.dense, self.transit_norm, self.transit):
            # Every layer reads what all before it wrote: one tensor, which fills up.
            channels = x.shape[-1]
            block = x.new_empty(*x.shape[:2], norm.num_features)
            block[..., :channels] = x
            for layer in layers:
                block[..., channels : channels + GROWTH] = layer(block[..., :channels])
                channels += GROWTH
            x = pointwise(transit, norm_relu(norm, block))
        return F.relu(x).transpose(1, 2)

    def embed(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Embeddings, (…, 192), from mean and deviation of frame features, (…, 512) each."""
        x = self.project(torch.cat([mean, deviation], dim=-1))
        return (x - self.mean) / (self.variance + 1e-5).sqrt()  # eps of the batch norm

    def forward(self, waveforms: Tensor) -> Tensor:
        """One embedding of each waveform, (batch, samples) -> (batch, 192)."""
        frames = self.frames(self.fbank(waveforms))
        return self.embed(frames.mean(-1), frames.std(-1))
