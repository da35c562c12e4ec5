"""Channels: what microphones, telephones, codecs and sound cards do to a recording."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ...io.checked import Share, span
from ..checked_config import CheckedConfig, Decibels, Hertz, log_uniform, uniform
from ..slices import SAMPLE_RATE, on_device
from .rooms import fast_length

LOW_ORDER = 4  # of the bass cut: 24 dB per octave, an analogue filter
HIGH_ORDER = 8  # of the treble cut: 48 dB per octave, between a filter and a codec's wall
MU = 255.0  # G.711
LINE_LEVEL = 0.1  # of speech on a telephone line, full scale is 1: -20 dBFS

# One way from the air to the file, or one speaker's telephone line.
CHANNEL = np.dtype(
    [
        ("low_hz", np.float32),  # 0: none
        ("high_hz", np.float32),  # SAMPLE_RATE: none
        ("tilt_db", np.float32),  # decibels per octave around 1 kHz
        ("steps", np.float32),  # mu-law quantisation, 0: none
        ("level", np.float32),  # factor
        ("clip", np.float32),  # share of the peak that is kept, 1: all
        ("telephone", np.bool_),
        (
            "own_line",
            np.bool_,
        ),  # every speaker has a line; of a line: it is one
    ]
)


@dataclass(frozen=True)
class ChannelConfig(CheckedConfig):
    """Parameters of the channel."""

    low_share: Share = 0.3  # conversations with the bass cut
    low_hz: Hertz = (60.0, 300.0)  # rumble filters to telephones
    high_share: Share = 0.4  # conversations with the treble cut
    high_hz: Hertz = (3400.0, 7000.0)  # telephone to MP3 at 24 kbps (DATA.md)
    tilt_share: Share = 0.5
    tilt_db: span(-40, 40) = (-3.0, 3.0)  # per octave: dull to shrill microphones
    coarse_share: Share = 0.15  # conversations through a mu-law quantiser
    coarse_bits: span(1, 16) = (6.0, 10.0)  # G.711 has 8
    clip_share: Share = 0.05
    clip: span(0.01, 1) = (0.3, 0.9)  # share of the peak that is kept
    level_db: Decibels = (-40.0, -10.0)  # of speech, dBFS; AMI's excerpts: -41..-28
    telephone_share: Share = 0.25  # conversations by telephone (issue 14)
    telephone_low_hz: Hertz = (120.0, 350.0)  # around G.712's 300 Hz
    telephone_high_hz: Hertz = (3200.0, 3900.0)  # G.712's 3400 Hz, to 4 kHz
    mu_law_share: Share = 0.6  # of telephones: digital ones
    mu_law_bits: span(1, 16) = (7.0, 8.0)  # G.711 has 8
    own_line_share: Share = 0.5  # of telephones: every speaker has their own line
    line_db: Decibels = (-4.0, 4.0)  # level of such a line, on top of its speaker's

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.telephone_low_hz[1] >= self.telephone_high_hz[0]:
            raise ValueError(
                f"telephone_low_hz must lie below telephone_high_hz, not {self.telephone_low_hz} "
                f"and {self.telephone_high_hz}."
            )


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
    if sometimes(config.telephone_share):
        channel["telephone"] = True
        channel["own_line"] = sometimes(config.own_line_share)
        if channel["own_line"]:  # lines differ; what they meet in has the telephone's sample rate
            channel["low_hz"], channel["high_hz"] = 0.0, config.telephone_high_hz[1]
            channel["steps"] = 0.0
        else:
            _dial(rng, config, channel)
    channel["level"] = 10 ** (uniform(rng, config.level_db) / 20)
    return channel


def draw_lines(
    rng: np.random.Generator, config: ChannelConfig, channel: np.ndarray, num_people: int
) -> np.ndarray:
    """Draw everybody's line into a channel, (num_people,) of `CHANNEL`.

    Where the channel has no lines of the speakers' own, nothing is drawn and all are perfect.
    """
    lines = np.zeros(num_people, dtype=CHANNEL)
    lines["high_hz"], lines["level"], lines["clip"] = SAMPLE_RATE, 1.0, 1.0
    if channel["own_line"][0]:
        lines["own_line"] = True
        for k in range(num_people):
            _dial(rng, config, lines[k : k + 1])
        lines["level"] = 10 ** (rng.uniform(*config.line_db, num_people) / 20)
    return lines


def _dial(rng: np.random.Generator, config: ChannelConfig, line: np.ndarray) -> None:
    """Draw one telephone's band and quantiser into a row of `CHANNEL`."""
    line["low_hz"] = uniform(rng, config.telephone_low_hz)
    line["high_hz"] = uniform(rng, config.telephone_high_hz)
    line["steps"] = 0.0
    if rng.random() < config.mu_law_share:
        line["steps"] = 2 ** (uniform(rng, config.mu_law_bits) - 1)


def send(tracks: torch.Tensor, lines: np.ndarray) -> torch.Tensor:
    """Send every track over its speaker's own line, in place; the others stay as they are.

    Parameters
    ----------
    tracks : Tensor
        (tracks, samples), speech with a root mean square of 1.
    lines : ndarray
        (tracks,) of `CHANNEL`; `level` is a factor of the track's level.

    Returns
    -------
    tracks : Tensor
        (tracks, samples)
    """
    rows = np.flatnonzero(lines["own_line"])
    if len(rows):
        at, lines = on_device(rows, tracks.device), lines[rows]
        part = _filter(tracks[at], lines).mul_(LINE_LEVEL)
        part = _quantise(part, lines) / LINE_LEVEL
        tracks[at] = part * on_device(lines["level"], tracks.device)[:, None]
    return tracks


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
    audio = _filter(audio, channels)
    audio *= on_device(channels["level"], audio.device)[:, None]
    return clip_peaks(_quantise(audio, channels), channels)


def _filter(audio: torch.Tensor, channels: np.ndarray) -> torch.Tensor:
    """First stage of `transmit`: bass cut, treble cut and tilt of every row, in place."""
    filtered = channels["low_hz"] > 0
    filtered |= (channels["high_hz"] < SAMPLE_RATE) | (channels["tilt_db"] != 0)
    rows = np.flatnonzero(filtered)
    if len(rows) == 0:
        return audio

    def column(name: str) -> torch.Tensor:
        return on_device(channels[name][rows], audio.device)[:, None]

    at, num_samples = on_device(rows, audio.device), audio.shape[1]
    size = fast_length(num_samples)
    hz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=audio.device).clamp(min=1.0)
    octaves = torch.log2(hz / 1000).clamp(-4, 3)
    curve = torch.exp(octaves * column("tilt_db") * (math.log(10) / 20))
    curve /= torch.sqrt(1 + (column("low_hz") / hz) ** (2 * LOW_ORDER))
    curve /= torch.sqrt(1 + (hz / column("high_hz")) ** (2 * HIGH_ORDER))
    spectrum = torch.fft.rfft(audio[at], size) * curve
    audio[at] = torch.fft.irfft(spectrum, size)[:, :num_samples]
    return audio


def _quantise(audio: torch.Tensor, channels: np.ndarray) -> torch.Tensor:
    """Stage of `transmit`: mu-law quantisation of every row that has it, in place."""
    rows = np.flatnonzero(channels["steps"] > 0)
    if len(rows):
        at = on_device(rows, audio.device)
        steps = on_device(channels["steps"][rows], audio.device)[:, None]
        part = audio[at].clamp(-1, 1)
        compressed = torch.log1p(MU * part.abs()) / math.log1p(MU)
        rounded = torch.round(compressed * steps) / steps
        audio[at] = part.sign() * torch.expm1(rounded * math.log1p(MU)) / MU
    return audio


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
