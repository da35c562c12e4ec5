"""Mixing: same seed same bytes, batches equal rows, references tell the truth, prompts are new."""

import numpy as np
import pytest
import torch

from pyannote_drz.simulation import (
    NoiseBank,
    RandomTurns,
    SimulationConfig,
    Simulator,
    Turn,
    mixing,
    noises,
)
from pyannote_drz.simulation.slices import _lay_at_once

RATE = 16000


class Script:
    """A source of turns that always says the same."""

    def __init__(self, turns):
        self.turns = turns

    def sample(self, rng, duration_s):
        return self.turns


def noise_bank():
    rng = np.random.default_rng(0)
    return NoiseBank([(0.1 * rng.standard_normal(RATE).astype(np.float32), k) for k in "aab"])


@pytest.fixture(scope="module")
def simulator(bank):
    config = SimulationConfig.from_dict({"noise": {"recorded_share": 0.8}})
    return Simulator(bank, RandomTurns(max_speakers=3), config, noise_bank())


def draw(simulator, count, duration_s=4.0, seed=0):
    rng = np.random.default_rng(seed)
    return [simulator.draw(rng, duration_s, True) for _ in range(count)]


def test_same_seed_same_bytes(simulator):
    one = simulator.render(draw(simulator, 3), "cpu")
    two = simulator.render(draw(simulator, 3), "cpu")
    assert torch.equal(one.waveforms, two.waveforms)
    assert torch.equal(one.prompts, two.prompts)
    assert one.turns == two.turns and one.prompted == two.prompted
    other = simulator.render(draw(simulator, 3, seed=1), "cpu")
    assert not torch.equal(one.waveforms, other.waveforms)


def test_as_on_a_gpu(simulator, monkeypatch):
    """Slices laid as on GPUs make the same audio; prompts have lengths that FFTs pad."""
    conversations = draw(simulator, 3)
    expected = simulator.render(conversations, "cpu")
    for module in (mixing, noises):
        monkeypatch.setattr(module, "lay", lambda *args: len(args[1]) and _lay_at_once(*args))
    batch = simulator.render(conversations, "cpu")
    torch.testing.assert_close(batch.waveforms, expected.waveforms)
    torch.testing.assert_close(batch.prompts, expected.prompts)


def test_a_row_is_rendered_alike_alone(bank):
    # without the quantiser, which makes a step of a rounding error
    config = SimulationConfig.from_dict(
        {"noise": {"recorded_share": 0.8},
         "channel": {"coarse_share": 0.0, "telephone_share": 0.5, "mu_law_share": 0.0}}
    )  # fmt: skip
    simulator = Simulator(bank, RandomTurns(max_speakers=3), config, noise_bank())
    conversations = draw(simulator, 20)
    batch = simulator.render(conversations, "cpu")
    assert batch.waveforms.shape == (20, 4 * RATE)
    assert batch.waveforms.dtype == torch.float32
    assert batch.waveforms.isfinite().all() and batch.waveforms.abs().max() <= 1
    for row, conversation in enumerate(conversations):
        alone = simulator.render([conversation], "cpu")
        torch.testing.assert_close(alone.waveforms[0], batch.waveforms[row], atol=1e-5, rtol=0)
        count, length = alone.prompts.shape[1:]
        torch.testing.assert_close(
            alone.prompts[0], batch.prompts[row, :count, :length], atol=1e-5, rtol=0
        )
        assert (batch.prompts[row, :, length:] == 0).all()


def test_prompts(simulator):
    config = simulator.config.prompts
    numbers = set()
    for conversation in draw(simulator, 60):
        present = len({turn.speaker for turn in conversation.turns})
        numbers.add((present, len(conversation.prompts)))
        assert len(conversation.prompted) == len(conversation.prompts)
        assert len(set(conversation.prompted)) == len(conversation.prompted)
        assert len(conversation.voices) <= 8
        assert len(set(conversation.voices.tolist())) == len(conversation.voices)
        # everybody is present, prompted, or both
        assert set(range(present)) | set(conversation.prompted) == set(
            range(len(conversation.voices))
        )
        total = sum(scene.num_samples for scene in conversation.prompts)
        assert total <= config.total_s * RATE + len(conversation.prompts)
        heard = samples_of(conversation.chunk, set(range(present)))
        for scene in conversation.prompts:
            assert (
                (config.seconds[0] - 0.02) * RATE
                <= scene.num_samples
                <= config.seconds[1] * RATE + 1
            )
            assert not heard & samples_of(scene, {0})
    assert len(numbers) > 4


def samples_of(scene, tracks):
    """Tens of milliseconds of the bank that a scene uses on some tracks."""
    found = set()
    for piece in scene.slices[np.isin(scene.slices["track"], list(tracks))]:
        found.update(range(-(-piece["start"] // 160), (piece["start"] + piece["length"]) // 160))
    return found


def test_lengths_and_voices_of_the_batch(simulator):
    conversations = draw(simulator, 8)
    batch = simulator.render(conversations, "cpu")
    for row, conversation in enumerate(conversations):
        count = len(conversation.voices)
        assert batch.voices[row, :count].tolist() == conversation.voices.tolist()
        assert (batch.voices[row, count:] == -1).all()
        for k, scene in enumerate(conversation.prompts):
            length = int(batch.prompt_lengths[row, k])
            assert length == scene.num_samples
            assert batch.prompts[row, k, :length].abs().max() > 0
            assert (batch.prompts[row, k, length:] == 0).all()
        assert (batch.prompt_lengths[row, len(conversation.prompts) :] == 0).all()


def test_reference_is_where_energy_is(bank):
    turns = [Turn(0.0, 1.4, 0), Turn(2.0, 2.3, 1), Turn(3.0, 5.5, 0), Turn(5.0, 8.0, 1)]
    simulator = Simulator(bank, Script(turns), SimulationConfig.clean())
    active = torch.zeros(400, dtype=torch.bool)  # (20-ms frames,)
    for turn in turns:
        active[round(turn.start_s * 50) : round(turn.end_s * 50)] = True
    conversations = [c for c in draw(simulator, 10, duration_s=8.0) if c.turns]
    filled = []
    for audio in simulator.render(conversations, "cpu").waveforms:
        power = audio.view(-1, 320).square().mean(1)
        assert (power[~active] == 0).all()
        filled.append((power[active] > 1e-6).float().mean())
        for turn in turns:  # they begin on time and end, but for a stop closure, on time
            first, last = round(turn.start_s * 50), round(turn.end_s * 50)
            assert power[first + 1] > 1e-7
            assert (power[last - 10 : last] > 1e-7).any()
        level_db = 10 * torch.log10(power[power > 1e-6].mean())
        assert -28 < level_db < -19  # -25 dBFS, a little more in overlap
    # words of 1 s between pauses of 0.27 s, on average, would be 0.79
    assert min(filled) > 0.6 and sum(filled) / len(filled) > 0.75


def test_pauses_in_turns_are_short(bank):
    simulator = Simulator(bank, Script([Turn(0.0, 8.0, 0)]), SimulationConfig.clean())
    for conversation in draw(simulator, 10, duration_s=8.0):
        if not conversation.turns:
            continue
        rows = np.sort(conversation.chunk.slices, order="position")
        ends = rows["position"] + rows["length"]
        assert rows["position"][0] == 0
        assert (rows["position"][1:] >= ends[:-1]).all()
        assert (rows["position"][1:] - ends[:-1]).max(initial=0) <= 0.48 * RATE
        assert 0 <= 8 * RATE - ends[-1] <= 0.15 * RATE


def test_empty_windows(bank):
    config = SimulationConfig(empty_share=1.0)
    batch = Simulator(bank, RandomTurns(), config).render(
        draw(Simulator(bank, RandomTurns(), config), 4), "cpu"
    )
    assert batch.turns == [[], [], [], []]


def test_more_people_than_letters(bank):
    """Ten people, all of whom are heard, in a conversation that nobody prompts."""
    script = Script([Turn(2.0 * k, 2.0 * k + 1.5, k) for k in range(10)])
    simulator = Simulator(bank, script, SimulationConfig.clean())
    conversation = simulator.draw(np.random.default_rng(0), 20.0, False)
    assert len(set(conversation.voices.tolist())) == 10
    (waveform,) = simulator.render([conversation], "cpu").waveforms
    for k in range(10):
        assert waveform[32000 * k : 32000 * k + 24000].abs().max() > 0


def test_bad_input(bank, simulator):
    with pytest.raises(ValueError, match="duration_s must be positive and at most 14400 s, not 0"):
        simulator.draw(np.random.default_rng(0), 0, False)
    with pytest.raises(ValueError, match="one duration"):
        simulator.render(draw(simulator, 1) + draw(simulator, 1, duration_s=5.0), "cpu")
    for people, with_prompts, most in ((9, True, 8), (21, False, 20)):  # prompts need letters
        crowd = Script([Turn(0.1 * k, 0.1 * k + 1, k) for k in range(people)])
        with pytest.raises(ValueError, match=f"{people} speakers; at most {most} can be told"):
            Simulator(bank, crowd, SimulationConfig(empty_share=0)).draw(
                np.random.default_rng(0), 4, with_prompts
            )
    with pytest.raises(ValueError, match="no parameter 'loudness'"):
        SimulationConfig.from_dict({"loudness": 3})
    with pytest.raises(ValueError, match="no parameter 'loudness'"):
        SimulationConfig.from_dict({"rooms": {"loudness": 3}})
    with pytest.raises(ValueError, match="rt60_s: input should be a range"):
        SimulationConfig.from_dict({"rooms": {"rt60_s": [0.5, 0.1]}})
    with pytest.raises(ValueError, match="empty_share: input should be less .* got 2"):
        SimulationConfig(empty_share=2)
