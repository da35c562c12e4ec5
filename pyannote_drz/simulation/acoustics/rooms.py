"""Rooms: a cheap statistical model of room responses, in batches.

A response is the direct sound, a few early echoes and a tail of noise that decays
exponentially (Polack's model), the high half of the spectrum twice as fast as the low one.
Every number is drawn on the CPU; noise is read from one fixed random table.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from ...io.checked import Share, span
from ..checked_config import CheckedConfig, log_uniform, uniform
from ..slices import SAMPLE_RATE, on_device
from .room_bank import RoomBank

NUM_ECHOES = 8  # the six walls' reflections and a few of second order
ECHO_S = (0.001, 0.03)  # detours of 0.3 to 10 m: tables, walls, floor
TAIL_BEGIN_S = 0.005  # the tail sets in with the first reflections
NOISE_SAMPLES = 2**21  # 131 s: far more than a response or a window
AIR_M_S = 343.0  # speed of sound

# One voice's way to the microphone.
PLACE = np.dtype(
    [
        ("wet", np.bool_),  # False: no room
        ("rt60_s", np.float32),
        ("direct_share", np.float32),  # of the energy, 0..1
        ("tail", np.int64),  # first sample in the noise table
        ("echo_delay", np.int64, NUM_ECHOES),  # in samples after the direct sound
        ("echo_gain", np.float32, NUM_ECHOES),  # before normalisation
        ("banked", np.int64),  # response in the room bank, -1: the model's
    ]
)


@dataclass(frozen=True)
class RoomConfig(CheckedConfig):
    """Parameters of the rooms."""

    room_share: Share = 0.25  # conversations heard through a room; AMI-Mix is a mix of close mics
    rt60_s: span(0.01, 20) = (0.1, 0.4)  # offices; FastMSS: 0.1..0.7
    volume_m3: span(0.1, 1e6) = (30.0, 300.0)  # small office to large meeting room
    distance_m: span(0.01, 100) = (0.2, 0.7)  # headset to the table's microphone
    one_place_share: Share = 0.25  # all heard from one place: nothing but their voices differs
    bank_share: Share = 0.5  # of those conversations, heard through a bank's room if there is one


@lru_cache(maxsize=4)
def noise_table(device: str) -> torch.Tensor:
    """White and low-passed Gaussian noise of unit variance, (2, NOISE_SAMPLES), always the same."""
    rng = np.random.default_rng(20240229)
    white = rng.standard_normal(NOISE_SAMPLES, dtype=np.float32)
    low = np.convolve(white, np.hanning(10)[1:-1], mode="same")  # about -6 dB at 2 kHz
    low = (low / low.std()).astype(np.float32)
    return torch.from_numpy(np.stack([white, low])).to(device)


def draw_room(
    rng: np.random.Generator,
    config: RoomConfig,
    num_near: int,
    num_far: int = 0,
    bank: RoomBank | None = None,
) -> np.ndarray:
    """Draw one room and the places of some people in it.

    Parameters
    ----------
    rng : Generator
    config : RoomConfig
    num_near : int
        People who take part, at `config.distance_m` of the microphone.
    num_far : int
        People further away than the farthest of those: next door, in the corridor.
    bank : RoomBank, optional
        Whose rooms are taken `config.bank_share` of the time.

    Returns
    -------
    places : ndarray
        (num_near + num_far,) of `PLACE`.
    """
    count = num_near + num_far
    places = np.zeros(count, dtype=PLACE)
    places["wet"] = rng.random() < config.room_share
    rt60_s = uniform(rng, config.rt60_s)
    # Critical distance of an omnidirectional source (Kuttruff, Room acoustics): 0.057 sqrt(V/RT60)
    critical_m = 0.057 * math.sqrt(log_uniform(rng, config.volume_m3) / rt60_s)
    low, high = np.log(config.distance_m)
    distance_m = np.exp(rng.uniform(low, high, count))
    distance_m[num_near:] = config.distance_m[1] * rng.uniform(1.0, 3.0, num_far)
    places["rt60_s"] = rt60_s
    places["direct_share"] = 1 / (1 + (distance_m / critical_m) ** 2)
    response_samples = int(config.rt60_s[1] * SAMPLE_RATE)
    places["tail"] = rng.integers(0, NOISE_SAMPLES - response_samples, count)
    delays = rng.uniform(*ECHO_S, (count, NUM_ECHOES))  # (people, echoes)
    places["echo_delay"] = delays * SAMPLE_RATE
    # Amplitude falls with the way travelled; walls reflect 60 to 90 %; phase is random.
    spread = distance_m[:, None] / (distance_m[:, None] + delays * AIR_M_S)
    sign = rng.choice([-1.0, 1.0], (count, NUM_ECHOES))
    places["echo_gain"] = sign * spread * rng.uniform(0.6, 0.9, (count, NUM_ECHOES))
    places["banked"] = -1
    if bank is not None and rng.random() < config.bank_share:
        places["banked"] = bank.draw(rng, num_near, num_far)
    if num_near and rng.random() < config.one_place_share:
        places[:num_near] = places[0]
    return places


def responses(places: np.ndarray, num_samples: int, device: torch.device) -> torch.Tensor:
    """Room responses, (places, num_samples) float32, of unit energy, direct sound first."""

    def column(name: str) -> torch.Tensor:
        return on_device(places[name], device)

    noise = noise_table(str(device))
    t = torch.arange(num_samples, device=device)  # in samples
    gather = column("tail")[:, None] + t  # (places, samples)
    decay = (-math.log(1000) / SAMPLE_RATE) * t / column("rt60_s")[:, None]  # -60 dB at RT60
    tail = noise[1][gather] * torch.exp(decay) + 0.5 * noise[0][gather] * torch.exp(2 * decay)
    tail[:, : int(TAIL_BEGIN_S * SAMPLE_RATE)] = 0
    direct = column("direct_share")[:, None]
    echoes = torch.zeros_like(tail)
    gains = column("echo_gain")
    # One echo index at a time: no two additions of one kernel meet in the same sample.
    rows = torch.arange(len(places), device=device)
    delays = column("echo_delay").clamp(max=num_samples - 1)
    for k in range(NUM_ECHOES):
        echoes[rows, delays[:, k]] += gains[:, k]
    # Echoes carry a third of the reverberant energy or what their amplitudes say, if less.
    reverb = 1 - direct
    echo_power = (echoes**2).sum(1, keepdim=True)
    echo_share = torch.minimum(direct * echo_power, reverb / 3)
    tail_power = (tail**2).sum(1, keepdim=True).clamp(min=1e-12)
    response = tail * torch.sqrt((reverb - echo_share) / tail_power)
    response += echoes * torch.sqrt(echo_share / echo_power.clamp(min=1e-12))
    response[:, :1] += torch.sqrt(direct)
    return response


def convolve(
    tracks: torch.Tensor,
    places: np.ndarray,
    response_samples: int,
    banked: torch.Tensor | None = None,
) -> torch.Tensor:
    """Hear every track from its place, in place; dry tracks stay as they are.

    Parameters
    ----------
    tracks : Tensor
        (tracks, samples)
    places : ndarray
        (tracks,) of `PLACE`.
    response_samples : int
        Longer responses are cut there.
    banked : Tensor, optional
        Responses of the room bank, on the device of `tracks`.

    Returns
    -------
    tracks : Tensor
        (tracks, samples)
    """
    wet = np.flatnonzero(places["wet"])
    if len(wet) == 0:
        return tracks
    num_samples = tracks.shape[1]
    response = _responses_of(places[wet], response_samples, tracks.device, banked)
    size = fast_length(num_samples + response_samples)
    index = slice(None)
    if len(wet) < len(places):
        index = on_device(wet, tracks.device)
    spectrum = torch.fft.rfft(tracks[index], size)
    spectrum *= torch.fft.rfft(response, size)
    tracks[index] = torch.fft.irfft(spectrum, size)[:, :num_samples]
    return tracks


def _responses_of(
    places: np.ndarray, num_samples: int, device: torch.device, banked: torch.Tensor | None
) -> torch.Tensor:
    """(places, num_samples) responses of the model, or of the bank where it was drawn."""
    rows = places["banked"]
    if (rows < 0).all():
        return responses(places, num_samples, device)
    response = torch.zeros(len(places), num_samples, device=device)
    modelled, taken = np.flatnonzero(rows < 0), np.flatnonzero(rows >= 0)
    if len(modelled):
        response[on_device(modelled, device)] = responses(places[modelled], num_samples, device)
    found = banked[on_device(rows[taken], device), :num_samples]
    response[on_device(taken, device), : found.shape[1]] = found
    return response


@lru_cache(maxsize=64)
def fast_length(length: int) -> int:
    """Smallest 2^a 3^b 5^c that is not below `length`: a size FFTs are fast at."""
    best = 1 << (length - 1).bit_length()
    for five in (5**k for k in range(12)):
        for three in (3**k for k in range(16)):
            odd = five * three
            if odd < best:
                best = min(best, odd << max(0, -(-length // odd) - 1).bit_length())
    return best
