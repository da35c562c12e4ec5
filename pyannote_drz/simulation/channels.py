"""Channels: what microphones, telephones, codecs and sound cards do to a recording."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .dials import Dials, log_uniform, uniform
from .rooms import fast_length
from .slices import SAMPLE_RATE, on_device

LOW_ORDER = 4  # of the bass cut: 24 dB per octave, an analogue filter
HIGH_ORDER = 8  # of the treble cut: 48 dB per octave, between a filter and a codec's wall
MU = 255.0  # G.711

# One way from the air to the file.
CHANNEL = np.dtype(
    [
        ("low_hz", np.float32),  # 0: none
        ("high_hz", np.float32),  # SAMPLE_RATE: none
        ("tilt_db", np.float32),  # decibels per octave around 1 kHz
        ("steps", np.float32),  # mu-law quantisation, 0: none
        ("level", np.float32),  # factor
        ("clip", np.float32),  # share of the peak that is kept, 1: all
    ]
)


@dataclass(frozen=True)
class ChannelConfig(Dials):
    """Dials of the channel."""

    low_share: float = 0.3  # conversations with the bass cut
    low_hz: tuple[float, float] = (60.0, 300.0)  # rumble filters to telephones
    high_share: float = 0.4  # conversations with the treble cut
    high_hz: tuple[float, float] = (3400.0, 7000.0)  # telephone to MP3 at 24 kbps (DATA.md)
    tilt_share: float = 0.5
    tilt_db: tuple[float, float] = (-3.0, 3.0)  # per octave: dull to shrill microphones
    coarse_share: float = 0.15  # conversations through a mu-law quantiser
    coarse_bits: tuple[float, float] = (6.0, 10.0)  # G.711 has 8
    clip_share: float = 0.05
    clip: tuple[float, float] = (0.3, 0.9)  # share of the peak that is kept
    level_db: tuple[float, float] = (-40.0, -10.0)  # of speech, dBFS; AMI's excerpts: -41..-28

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low_hz", "high_hz"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}.")


def draw_channel(rng: np.random.Generator, config: ChannelConfig) -> np.ndarray:
    """Draw one channel, (1,) of `CHANNEL`."""

    def sometimes(share: float) -> bool:
        return bool(rng.random() < share)

    channel = np.zeros(1, dtype=CHANNEL)
    channel["high_hz"], channel["clip"] = SAMPLE_RATE, 1.0
    if sometimes(config.low_share):
        channel["low_hz"] = log_uniform(rng, config.low_hz)
    if sometimes(config.high_share):
        channel["high_hz"] = log_uniform(rng, config.high_hz)
    if sometimes(config.tilt_share):
        channel["tilt_db"] = uniform(rng, config.tilt_db)
    if sometimes(config.coarse_share):
        channel["steps"] = 2 ** (uniform(rng, config.coarse_bits) - 1)
    if sometimes(config.clip_share):
        channel["clip"] = uniform(rng, config.clip)
    channel["level"] = 10 ** (uniform(rng, config.level_db) / 20)
    return channel


def transmit(audio: torch.Tensor, channels: np.ndarray) -> torch.Tensor:
    """Send every row through its channel, in place.

    Parameters
    ----------
    audio : Tensor
        (rows, samples), speech with a root mean square of 1.
    channels : ndarray
        (rows,) of `CHANNEL`.

    Returns
    -------
    audio : Tensor
        (rows, samples) float32 within -1..1.
    """

    def column(name: str, rows: np.ndarray) -> torch.Tensor:
        return on_device(channels[name][rows], audio.device)[:, None]

    def index(rows: np.ndarray) -> torch.Tensor:
        return on_device(rows, audio.device)

    filtered = channels["low_hz"] > 0
    filtered |= (channels["high_hz"] < SAMPLE_RATE) | (channels["tilt_db"] != 0)
    rows = np.flatnonzero(filtered)
    if len(rows):
        at, num_samples = index(rows), audio.shape[1]
        size = fast_length(num_samples)
        hz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=audio.device).clamp(min=1.0)
        octaves = torch.log2(hz / 1000).clamp(-4, 3)
        curve = torch.exp(octaves * column("tilt_db", rows) * (math.log(10) / 20))
        curve /= torch.sqrt(1 + (column("low_hz", rows) / hz) ** (2 * LOW_ORDER))
        curve /= torch.sqrt(1 + (hz / column("high_hz", rows)) ** (2 * HIGH_ORDER))
        spectrum = torch.fft.rfft(audio[at], size) * curve
        audio[at] = torch.fft.irfft(spectrum, size)[:, :num_samples]

    audio *= column("level", np.arange(len(channels)))

    rows = np.flatnonzero(channels["steps"] > 0)
    if len(rows):
        at, steps = index(rows), column("steps", rows)
        part = audio[at].clamp(-1, 1)
        compressed = torch.log1p(MU * part.abs()) / math.log1p(MU)
        rounded = torch.round(compressed * steps) / steps
        audio[at] = part.sign() * torch.expm1(rounded * math.log1p(MU)) / MU

    return clip_peaks(audio, channels)


def clip_peaks(audio: torch.Tensor, channels: np.ndarray) -> torch.Tensor:
    """Last stage of `transmit`: clip every row at 1, then at its channel's share of its peak.

    A channel without this stage, for parts of a row, has clip = 1.
    """
    audio.clamp_(-1, 1)
    rows = np.flatnonzero(channels["clip"] < 1)
    if len(rows):
        at = on_device(rows, audio.device)
        part = audio[at]
        share = on_device(channels["clip"][rows], audio.device)[:, None]
        limit = part.abs().amax(1, keepdim=True) * share
        audio[at] = torch.maximum(torch.minimum(part, limit), -limit)
    return audio
