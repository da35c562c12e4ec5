"""Long scenes: windows sound like the whole, and nothing changes at a seam."""

import numpy as np
import pytest
import torch

from pyannote_drz.simulation import NoiseBank, RandomTurns, SimulationConfig, Simulator
from pyannote_drz.simulation import scenes as scenes_module
from pyannote_drz.simulation.acoustics.rooms import NOISE_SAMPLES
from pyannote_drz.simulation.scenes import margin_s, windows

RATE = 16000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def simulator(bank):
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(7 * RATE).astype(np.float32), kind) for kind in "aab"]
    config = {
        "empty_share": 0.0,
        "rooms": {"room_share": 1.0},
        "noise": {"recorded_share": 1.0, "burst_share": 1.0},
        # without the quantiser, which makes a step of a rounding error
        "channel": {"coarse_share": 0.0, "low_share": 1.0, "clip_share": 0.5,
                    "telephone_share": 0.5, "own_line_share": 1.0, "mu_law_share": 0.0},
        "silences": {"silence_share": 0.5},
    }  # fmt: skip
    turns = RandomTurns(max_speakers=3)
    return Simulator(bank, turns, SimulationConfig.from_dict(config), NoiseBank(clips))


@pytest.mark.parametrize("seed", range(4))
def test_windows_sound_like_the_whole(simulator, monkeypatch, seed):
    monkeypatch.setattr(scenes_module, "WINDOW_S", 3)
    scene = simulator.draw(np.random.default_rng(seed), 10.5, False).chunk
    whole = simulator._render_scenes([scene], CPU)[0]
    joined = simulator._render_long(scene, CPU)
    assert joined.shape == whole.shape
    inside = slice(RATE // 2, -RATE // 2)  # filters join the ends of what they are given
    error = (joined - whole)[inside].abs().max() / whole.square().mean().sqrt()
    assert error < 1e-3  # -60 dB; measured: up to 3e-5 in windows of 60 s


def test_windows_follow_each_other(simulator):
    scene = simulator.draw(np.random.default_rng(0), 200.25, False).chunk
    margin = margin_s(simulator.config)
    assert margin >= simulator.config.rooms.rt60_s[1]
    parts = list(windows(scene, margin))
    assert sum(keep.stop - keep.start for _, keep in parts) == scene.num_samples
    assert len({part.num_samples for part, _ in parts}) == 1
    for part, _ in parts:
        for slices in (part.slices, part.noise.recorded, part.noise.bursts):
            assert (slices["length"] > 0).all() and (slices["position"] >= 0).all()
            assert (slices["position"] + slices["length"] <= part.num_samples).all()


def test_longer_than_the_noise_table(bank):
    """Noise goes on behind the end of its table, at the same level, with no break."""
    config = SimulationConfig.from_dict(
        {"empty_share": 1.0, "bleed_share": 0.0,
         "channel": {"clip_share": 0.0, "coarse_share": 0.0, "telephone_share": 0.0},
         "silences": {"silence_share": 0.0},
         "noise": {"floor_db": [-20, -20], "floor_slope": [1, 1], "unrest_db": [0, 0],
                   "burst_share": 0.0, "floor_share": 1.0}}
    )  # fmt: skip
    simulator = Simulator(bank, RandomTurns(), config)
    duration_s = NOISE_SAMPLES / RATE + 20
    conversation = simulator.draw(np.random.default_rng(0), duration_s, False)
    audio = simulator.render([conversation], "cpu").waveforms[0]
    assert len(audio) == round(duration_s * RATE)
    power = audio[: len(audio) // RATE * RATE].view(-1, RATE).square().mean(1)
    assert power.max() / power.min() < 2
    steps = audio.diff().abs()
    assert steps.max() < 8 * steps.square().mean().sqrt()  # no click
    torch.testing.assert_close(  # the table has come round
        audio[RATE : 19 * RATE], audio[NOISE_SAMPLES + RATE : NOISE_SAMPLES + 19 * RATE],
        atol=1e-3 * float(audio.std()), rtol=0,
    )  # fmt: skip
