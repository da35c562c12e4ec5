"""Recipes: the speed benchmark runs, on voices that nobody has."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pyannote_drz.simulation import (
    NoiseBank,
    RandomTurns,
    RoomBank,
    SimulationConfig,
    Simulator,
    VoiceBank,
    VoiceFile,
)

RATE = 16000


@pytest.fixture(scope="module")
def speed(recipe):
    with pytest.MonkeyPatch.context() as patch:  # what it tells torch and tqdm stays with it
        for name in ("OMP_NUM_THREADS", "TQDM_DISABLE"):
            patch.setenv(name, "1")
        module = recipe("synthetic/speed.py")
    module.SECONDS, module.BATCH_SIZE, module.DEVICE_BATCH_SIZE, module.ROUND_S = 3.0, 2, 2, 0.01
    return module


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> list[VoiceFile]:
    folder, rng = tmp_path_factory.mktemp("voices"), np.random.default_rng(0)
    files = []
    for k in range(5):
        tone = np.sin(np.arange(RATE) * (k + 1) / 20) + 0.01 * rng.standard_normal(RATE)
        audio = 0.1 * np.concatenate([tone, np.zeros(RATE // 2), tone])
        soundfile.write(folder / f"{k}.wav", audio, RATE)
        files.append(VoiceFile(folder / f"{k}.wav", f"p{k}", "tones", [(0.0, 1.0), (1.5, 2.5)]))
    return files


def test_plain_loop(speed, voices, tmp_path):
    utterances = speed.whole_utterances(voices)
    assert [len(u) for u in utterances] == [2] * 5
    for these in (utterances, speed.cut_utterances(utterances, tmp_path)):
        step = speed.plain_loop(these)
        assert [step() for _ in range(20)] == [3.0] * 20
    assert len(list(Path(tmp_path).glob("*.wav"))) == 10


def test_compare(speed, voices, capsys):
    bank = VoiceBank.from_files(voices)
    ours = Simulator(bank, RandomTurns(), SimulationConfig.clean())
    names = [speed.CLEAN, "b", speed.OURS, "d", "loop"]
    steps = [(speed.ours(ours, k == 1), 0.0) for k in range(4)]
    steps.append((speed.plain_loop(speed.whole_utterances(voices)), 0.0))
    speeds = speed.compare(dict(zip(names, steps)), 2)
    assert set(speeds) == set(names) and min(speeds.values()) > 0
    assert f"{speed.CLEAN}, is " in capsys.readouterr().out


def test_lhotse(speed, voices):
    pytest.importorskip("lhotse")
    pytest.importorskip("dill")
    contenders = speed.lhotse_meetings(voices)
    assert len(contenders) == 2
    for step, script_s in contenders.values():
        assert step() > 1 and script_s > 0


def test_on_device(speed, voices, capsys):
    bank = VoiceBank.from_files(voices)
    noises = NoiseBank([(np.random.default_rng(0).standard_normal(RATE), "hiss")])
    rooms = RoomBank(np.eye(1, 100), np.zeros(1, int))
    simulator = Simulator(bank, RandomTurns(), SimulationConfig(), noises, rooms)
    light = speed.for_drawing(simulator)
    assert len(light.bank.samples) == len(light.noises.samples) == len(light.rooms.responses) == 0
    assert len(bank.samples) and len(noises.samples) and len(rooms.responses)
    draws = [s.draw(np.random.default_rng(3), 3.0, True) for s in (simulator, light)]
    one, two = (simulator.render([draw], "cpu") for draw in draws)
    assert torch.equal(one.waveforms, two.waveforms)
    speed.on_device(simulator, torch.device("cpu"), 0.005, 0, True)
    assert "0.0 h on cpu with 0 workers" in capsys.readouterr().out
