"""Noises: what is heard beside the people who talk.

A conversation has a style of noise (colour, level, unrest, kind of recording); the chunk and
its prompts each have their own stretch of it. Levels are relative to speech, whose root mean
square is 1 at this point.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...io.checked import Share, span
from ..checked_config import CheckedConfig, Decibels, PerSecond, uniform
from ..reading import read_mono
from ..slices import SAMPLE_RATE, SLICE, lay, on_device
from .rooms import NOISE_SAMPLES, fast_length, noise_table

KNOT_S = 1.0  # time between two random levels of the noise: unrest as of people and traffic
MIN_HZ = 40.0  # colour is flat below: microphones are
SEAM_S = 0.05  # fades where recordings of noise are joined


@dataclass(frozen=True)
class NoiseConfig(CheckedConfig):
    """Parameters of the noise; decibels are relative to speech.

    Defaults are a first guess: as hard to hear as real audio is (DESIGN §5).
    """

    floor_share: Share = 0.95  # conversations with a coloured noise floor
    floor_db: Decibels = (-70.0, -35.0)
    floor_slope: span(-10, 10) = (0.0, 2.0)  # power ~ 1 / f^slope: white, pink, brown
    unrest_db: span(0, 100) = (0.0, 4.0)  # sd of the level from second to second
    recorded_share: Share = 0.3  # conversations with recorded noise, where there is a bank
    recorded_db: Decibels = (-42.0, -22.0)
    alone_share: Share = 0.7  # conversations of nobody with such a recording: music, machines
    alone_db: Decibels = (-30.0, 0.0)  # and nobody who would be drowned
    burst_share: Share = 0.8  # conversations with clicks, knocks, doors
    bursts_per_s: PerSecond = (0.1, 0.4)
    burst_s: span(0.001, 60) = (0.02, 1.0)
    burst_db: Decibels = (-40.0, -16.0)


class NoiseBank:
    """Recordings of noise in memory.

    Attributes
    ----------
    samples : Tensor
        (total,) int16 at 16 kHz.
    clips : ndarray
        (num_clips, 2): first sample and length.
    gains : ndarray
        (num_clips,) float32: int16 sample -> noise with a root mean square of 1.
    classes : ndarray
        (num_clips,) kind of noise: a window stays with one.
    """

    def __init__(self, clips: Iterable[tuple[np.ndarray, str]]):
        clips = [(audio, kind) for audio, kind in clips if len(audio) and np.any(audio)]
        if not clips:
            raise ValueError("no noise to load: all clips are empty or silent.")
        lengths = np.array([len(audio) for audio, _ in clips])
        self.clips = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        # Short sounds are not blown up: the mean is taken over the louder part, at least 1 / 4.
        self.gains = np.array([1 / (32768 * _level(audio)) for audio, _ in clips], np.float32)
        names = {name: k for k, name in enumerate(sorted({kind for _, kind in clips}))}
        self.classes = np.array([names[kind] for _, kind in clips])
        joined = np.concatenate([audio for audio, _ in clips])
        self.samples = torch.from_numpy((joined * 32768).clip(-32768, 32767).astype(np.int16))

    @classmethod
    def from_manifest(cls, path: str | Path, split: str = "train") -> "NoiseBank":
        """Read the clips of one split of a CSV with columns file, start, dur, class, split.

        Raises
        ------
        ValueError
            If the manifest or a file is missing, or the split is empty.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"noise manifest '{path}' is missing.")
        with path.open(newline="") as rows:
            rows = [row for row in csv.DictReader(rows) if row["split"] == split]
        if not rows:
            raise ValueError(f"noise manifest '{path}' has no clip in split '{split}'.")
        audio = {name: read_mono(path.parent / name) for name in sorted({r["file"] for r in rows})}
        clips = []
        for row in rows:
            start = int(float(row["start"]) * SAMPLE_RATE)
            stop = start + int(float(row["dur"]) * SAMPLE_RATE)
            clips.append((audio[row["file"]][start:stop], row["class"]))
        return cls(clips)


def _level(audio: np.ndarray) -> float:
    """Root mean square of the loudest quarter of 20-ms frames."""
    frame = SAMPLE_RATE // 50
    if len(audio) < 4 * frame:
        return float(np.sqrt((audio**2).mean()))
    power = (audio[: len(audio) // frame * frame].reshape(-1, frame) ** 2).mean(1)
    return float(np.sqrt(np.sort(power)[-len(power) // 4 :].mean()) + 1e-6)


class NoiseStyle(NamedTuple):
    """Noise of a conversation."""

    floor: float  # factor
    slope: float
    unrest_db: float
    recorded: float  # factor, 0: none
    kind: int  # class of recordings
    bursts_per_s: float
    burst_db: Decibels  # range of the bursts' level


class NoiseDraw(NamedTuple):
    """Noise of one stretch of audio."""

    offset: int  # first sample in the noise table
    floor: float
    slope: float
    knots: np.ndarray  # (num_knots,) factor of the level, every KNOT_S
    recorded: np.ndarray  # (n,) of SLICE, of the noise bank
    bursts: np.ndarray  # (n,) of SLICE, of the noise table


def draw_style(
    rng: np.random.Generator, config: NoiseConfig, bank: NoiseBank | None, alone: bool = False
) -> NoiseStyle:
    """Draw the noise of a conversation; `alone`: nobody speaks in it."""
    share, level_db = config.recorded_share, config.recorded_db
    if alone:
        share, level_db = config.alone_share, config.alone_db
    floor = 10 ** (uniform(rng, config.floor_db) / 20) * (rng.random() < config.floor_share)
    recorded, kind = 0.0, 0
    if bank is not None and rng.random() < share:
        recorded = 10 ** (uniform(rng, level_db) / 20)
        kind = int(bank.classes[rng.integers(len(bank.classes))])
    bursts = uniform(rng, config.bursts_per_s) * (rng.random() < config.burst_share)
    centre = uniform(rng, config.burst_db)
    around = (max(centre - 6, config.burst_db[0]), min(centre + 6, config.burst_db[1]))
    slope, unrest_db = uniform(rng, config.floor_slope), uniform(rng, config.unrest_db)
    return NoiseStyle(floor, slope, unrest_db, recorded, kind, bursts, around)


def draw_noise(
    rng: np.random.Generator,
    style: NoiseStyle,
    config: NoiseConfig,
    bank: NoiseBank | None,
    num_samples: int,
) -> NoiseDraw:
    """Draw one stretch of a conversation's noise."""
    num_knots = num_samples // int(KNOT_S * SAMPLE_RATE) + 2
    steps = rng.normal(0.0, style.unrest_db, num_knots)
    steps[1:] = 0.6 * steps[:-1] + 0.8 * steps[1:]  # neighbours resemble each other
    recorded = []
    if bank is not None and style.recorded > 0:
        clips = np.flatnonzero(bank.classes == style.kind)
        position, seam = 0, SEAM_S * SAMPLE_RATE
        while position < num_samples:
            clip = int(rng.choice(clips))
            start, length = bank.clips[clip]
            skip = int(rng.integers(length // 2 + 1)) if position == 0 else 0
            length = min(int(length) - skip, num_samples - position)
            gain = style.recorded * bank.gains[clip]
            recorded.append((start + skip, length, position, 0, gain, seam, seam))
            position += length
    bursts = []
    position = 0
    while style.bursts_per_s > 0:  # never overlapping, see `lay`
        position += int(rng.exponential(1 / style.bursts_per_s) * SAMPLE_RATE)
        length = min(int(uniform(rng, config.burst_s) * SAMPLE_RATE), num_samples - position)
        if length <= 0:
            break
        start = int(rng.integers(NOISE_SAMPLES - length))
        gain = 10 ** (uniform(rng, style.burst_db) / 20)
        bursts.append((start, length, position, 0, gain, 32, length))  # sudden, then decaying
        position += length
    return NoiseDraw(
        int(rng.integers(_last_offset(num_samples))),
        style.floor,
        style.slope,
        (10 ** (steps / 20)).astype(np.float32),
        np.array(recorded, dtype=SLICE),
        np.array(bursts, dtype=SLICE),
    )


def add_noise(audio: torch.Tensor, draws: list[NoiseDraw], table: torch.Tensor | None) -> None:
    """Add a draw of noise to every row of (rows, samples) float32, in place.

    `table` holds the samples of the noise bank, on the device of `audio`.
    """
    if not any(d.floor > 0 or len(d.bursts) or len(d.recorded) for d in draws):
        return
    num_samples, device = audio.shape[1], audio.device
    white = noise_table(str(device))[0]
    noise = torch.stack([_floor(white, draw.offset, num_samples) * draw.floor for draw in draws])
    lay(white, _on_tracks([d.bursts for d in draws], num_samples), noise)
    slope = on_device(np.array([d.slope for d in draws], np.float32), device)
    if any(d.floor > 0 or len(d.bursts) for d in draws):
        noise = _colour(noise, slope)
    if table is not None:
        lay(table, _on_tracks([d.recorded for d in draws], num_samples), noise)
    count = num_samples // int(KNOT_S * SAMPLE_RATE) + 2
    knots = on_device(np.stack([draw.knots[:count] for draw in draws]), device)
    length = (count - 1) * int(KNOT_S * SAMPLE_RATE) + 1
    level = torch.nn.functional.interpolate(
        knots[:, None], size=length, mode="linear", align_corners=True
    )[:, 0, :num_samples]  # (draws, samples)
    audio += noise.mul_(level)


def _last_offset(num_samples: int) -> int:
    """Offsets in the noise table that a stretch may have: what is too long for it goes round."""
    return NOISE_SAMPLES - num_samples if num_samples < NOISE_SAMPLES else NOISE_SAMPLES


def _floor(white: torch.Tensor, offset: int, num_samples: int) -> torch.Tensor:
    """Stretch of white noise, (num_samples,); behind the table's end its beginning follows."""
    round_ = max(0, offset + num_samples - NOISE_SAMPLES)
    return torch.cat([white[offset : offset + num_samples], white[:round_]])


def _on_tracks(slices: list[np.ndarray], num_samples: int) -> np.ndarray:
    """One table of slices, track k for the k-th draw, cut at `num_samples`."""
    joined = np.concatenate(slices)
    joined["track"] = np.repeat(np.arange(len(slices)), [len(s) for s in slices])
    joined["length"] = np.minimum(joined["length"], num_samples - joined["position"])
    return joined


def _colour(noise: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Give white noise, (rows, samples), a power of 1 / f^slope, and keep its level."""
    num_samples = noise.shape[1]
    size = fast_length(num_samples)
    hz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=noise.device).clamp(min=MIN_HZ)
    curve = torch.exp(-0.5 * slope[:, None] * torch.log(hz))  # (rows, frequencies)
    curve /= curve.square().mean(1, keepdim=True).sqrt()
    spectrum = torch.fft.rfft(noise, size) * curve
    return torch.fft.irfft(spectrum, size)[:, :num_samples].contiguous()  # as `lay` wants it
