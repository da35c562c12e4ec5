"""Channels: telephones have their band, and everybody their own line where it is drawn."""

import numpy as np
import pytest
import torch

from pyannote_drz.simulation import ChannelConfig, SimulationConfig, Simulator, Turn
from pyannote_drz.simulation.acoustics.channels import draw_channel, draw_lines, send, transmit

RATE = 16000


def band_db(audio, low_hz, high_hz):
    """Power in a band relative to all, (rows,) dB."""
    power = torch.fft.rfft(audio).abs().square()
    hz = torch.fft.rfftfreq(audio.shape[-1], 1 / RATE)
    return 10 * torch.log10(power[..., (hz >= low_hz) & (hz < high_hz)].sum(-1) / power.sum(-1))


def telephone(**parameters):
    return ChannelConfig(telephone_share=1.0, coarse_share=0.0, tilt_share=0.0, **parameters)


def test_shares():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw_channel(rng, ChannelConfig()) for _ in range(2000)])
    assert drawn["telephone"].mean() == pytest.approx(0.25, abs=0.03)
    assert drawn["own_line"][drawn["telephone"]].mean() == pytest.approx(0.5, abs=0.07)
    shared = drawn[drawn["telephone"] & ~drawn["own_line"]]
    assert (shared["steps"] > 0).mean() == pytest.approx(0.6, abs=0.1)
    assert shared["low_hz"].min() >= 120 and shared["high_hz"].max() <= 3900
    assert shared["steps"].max() <= 128  # eight bits, one of which is the sign


def test_a_telephone_has_its_band():
    rng = np.random.default_rng(0)
    config = telephone(own_line_share=0.0, mu_law_share=0.0, level_db=(-20, -20))
    channels = np.concatenate([draw_channel(rng, config) for _ in range(4)])
    audio = transmit(torch.randn(4, RATE), channels)
    assert (band_db(audio, 5000, 8000) < -25).all() and (band_db(audio, 0, 60) < -25).all()
    assert (band_db(audio, 400, 3200) > -1.5).all()


def test_own_lines_differ_and_others_stay():
    rng = np.random.default_rng(0)
    config = telephone(own_line_share=1.0, mu_law_share=1.0)
    channel = draw_channel(rng, config)
    assert channel["steps"] == 0 and channel["high_hz"] == config.telephone_high_hz[1]
    lines = draw_lines(rng, config, channel, 3)
    assert (lines["steps"] > 0).all() and len(set(lines["level"].tolist())) == 3
    common = draw_lines(rng, config, draw_channel(rng, telephone(own_line_share=0.0)), 1)
    tracks = torch.randn(1, RATE).expand(4, RATE).contiguous()
    sent = send(tracks.clone(), np.concatenate([lines, common]))
    assert torch.equal(sent[3], tracks[3])
    assert (band_db(sent[:3], 5000, 8000) < -20).all()
    assert (sent[0] - sent[1]).abs().max() > 0.1
    level = sent[:3].square().mean(1).sqrt() / torch.from_numpy(lines["level"].copy())
    assert (level > 0.5).all() and (level < 0.9).all()  # of white noise, a telephone passes half


def test_speakers_of_a_conversation_have_their_lines(bank):
    class Two:
        def sample(self, rng, duration_s):
            return [Turn(0.0, 1.5, 0), Turn(2.0, 3.5, 1)]

    config = SimulationConfig.from_dict(
        {"channel": {"telephone_share": 1, "own_line_share": 1}, "empty_share": 0}
    )
    simulator = Simulator(bank, Two(), config)
    scene = simulator.draw(np.random.default_rng(0), 4.0, False).chunk
    assert len(scene.lines) == len(scene.places) == 3  # two people and the bleeds
    assert scene.lines["own_line"].all() and len(set(scene.lines["high_hz"].tolist())) == 3
    audio = simulator._render_scenes([scene], torch.device("cpu"))
    assert (band_db(audio, 5000, 8000) < -25).all()


def test_bad_input():
    with pytest.raises(ValueError, match="telephone_low_hz must lie below telephone_high_hz"):
        ChannelConfig(telephone_low_hz=(300, 4000))
    with pytest.raises(ValueError, match="telephone_low_hz.0: input should be greater"):
        ChannelConfig(telephone_low_hz=(0, 300))
