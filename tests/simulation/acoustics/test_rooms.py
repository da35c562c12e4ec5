"""Rooms and channels: physics and limits."""

import numpy as np
import torch

from pyannote_drz.simulation.acoustics.channels import ChannelConfig, draw_channel, transmit
from pyannote_drz.simulation.acoustics.rooms import (
    RoomConfig,
    convolve,
    draw_room,
    fast_length,
    responses,
)


def test_responses():
    config = RoomConfig(room_share=1.0, rt60_s=(0.3, 0.6))
    places = draw_room(np.random.default_rng(0), config, 6, 2)
    heard = responses(places, 9600, torch.device("cpu"))
    torch.testing.assert_close(heard.square().sum(1), torch.ones(8), atol=0.35, rtol=0)
    assert (heard[:, 0] > 0).all()
    for response, place in zip(heard, places, strict=True):  # Schroeder's backward integral
        energy = response[160:].square().flip(0).cumsum(0).flip(0)
        early = 10 * torch.log10(energy / energy[0])
        at = int(0.3 * place["rt60_s"] * 16000)
        assert -30 < early[at] < -12  # -18 dB where low and high decay alike


def test_convolve_is_convolution():
    config = RoomConfig(room_share=1.0)
    places = draw_room(np.random.default_rng(1), config, 2)
    tracks = torch.zeros(2, 4000)
    tracks[:, 100] = 1
    wet = convolve(tracks.clone(), places, 2000)
    expected = responses(places, 2000, torch.device("cpu"))
    torch.testing.assert_close(wet[:, 100:2100], expected, atol=1e-5, rtol=0)
    places["wet"] = False
    assert torch.equal(convolve(tracks.clone(), places, 2000), tracks)


def test_fast_length():
    for length in (1, 7, 480000, 492800, 64001):
        best = fast_length(length)
        assert length <= best <= 1.1 * length + 1
        for prime in (2, 3, 5):
            while best % prime == 0:
                best //= prime
        assert best == 1


def test_channels_stay_in_range():
    rng = np.random.default_rng(0)
    always = ChannelConfig(1.0, (60, 300), 1.0, (3400, 7000), 1.0, (-3, 3), 1.0, (6, 10), 1.0)
    channels = np.concatenate([draw_channel(rng, always) for _ in range(8)])
    audio = transmit(torch.randn(8, 16000), channels)
    assert audio.isfinite().all() and audio.abs().max() <= 1
    spectrum = torch.fft.rfft(audio[0]).abs()
    assert spectrum[500:2000].mean() > 0
