"""Recipes: curves of parameters that move alone, and what coarse times cost."""

import numpy as np
import pytest
import soundfile
import torch
from pyannote.core import Annotation, Segment

from pyannote_drz.simulation import Simulator, VoiceBank, VoiceFile

RATE = 16000


@pytest.fixture(scope="module")
def curves(recipe):
    module = recipe("synthetic/curves.py")
    module.DURATION_S = 10.0
    return module


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> VoiceBank:
    folder, rng = tmp_path_factory.mktemp("voices"), np.random.default_rng(0)
    files = []
    for k in range(7):
        tone = 0.1 * np.sin(np.arange(2 * RATE) * (k + 1) / 20)
        soundfile.write(folder / f"{k}.wav", tone + 0.001 * rng.standard_normal(2 * RATE), RATE)
        files.append(VoiceFile(folder / f"{k}.wav", f"p{k}", "tones", [(0.0, 2.0)]))
    return VoiceBank.from_files(files)


def draw(curves, bank, conditions, k=0):
    simulator = Simulator(bank, conditions.turns(), conditions.simulation())
    made = simulator.draw(np.random.default_rng([0, k]), curves.DURATION_S, False)
    return made, simulator.render([made], "cpu").waveforms


def test_one_dial_moves_alone(curves, bank):
    base, audio = draw(curves, bank, curves.Conditions())
    again, same = draw(curves, bank, curves.Conditions())
    assert torch.equal(audio, same)
    for other in (curves.Conditions(noise_db=0.0), curves.Conditions(level_sd_db=12.0)):
        moved, heard = draw(curves, bank, other)
        assert moved.turns == base.turns and (moved.voices == base.voices).all()
        assert (moved.chunk.places == base.chunk.places).all()
        assert not torch.equal(heard, audio)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_number_of_speakers_is_exact(curves, bank, number):
    made, _ = draw(curves, bank, curves.Conditions(num_speakers=number))
    assert len({turn.speaker for turn in made.turns}) == number


def test_interruptions_grow(curves):
    def overlap(longest: float) -> float:
        turns = curves.Conditions(interrupt_max=longest).turns()
        scripts = [turns.sample(np.random.default_rng(k), 30.0) for k in range(20)]
        references = [curves.annotate(script, "x") for script in scripts]
        return sum(reference.get_overlap().duration() for reference in references)

    found = [overlap(longest) for longest in curves.PARAMETERS["overlap"].values]
    assert found[0] == 0 and found == sorted(found)


def test_rounded(curves):
    annotation = Annotation(uri="x")
    annotation[Segment(0.06, 0.99), 0] = "A"
    annotation[Segment(1.04, 1.50), 1] = "A"  # meets the first one
    annotation[Segment(2.01, 2.04), 2] = "B"  # vanishes
    coarse = curves.rounded(annotation, 0.1)
    assert [(round(s.start, 6), round(s.end, 6)) for s in coarse.itersegments()] == [(0.1, 1.5)]
    assert coarse.labels() == ["A"]


def test_tables_and_plots(curves, bank, tmp_path):
    conditions = curves.Conditions()
    simulator = Simulator(bank, conditions.turns(), conditions.simulation())

    class Silent:
        def apply_batch(self, files):
            for file in files:
                assert file["waveform"].shape == (1, 10 * RATE)
                yield file, type("Output", (), {"speaker_diarization": Annotation()})

    made = curves.simulate(Silent(), simulator, 3, 0)
    point = curves.evaluate(made)
    assert curves.row("x", point).startswith("| x | 100.0 | 100.0 to 100.0 | 100.0 | 0.0 | 0.0 |")
    curves.draw(tmp_path / "new" / "x.png", "x", [1, 2], {"pipeline": [point.scores] * 2})
    assert (tmp_path / "new" / "x.png").read_bytes().startswith(b"\x89PNG")
    perfect = curves.Simulated(made.references, made.references)
    said = curves.times(perfect, tmp_path / "times.png").splitlines()
    floors = [float(line.split("|")[2]) for line in said[2:-1]]
    ours = [float(line.split("|")[4]) for line in said[2:-1]]
    assert floors == ours and floors[0] < floors[-1]
    assert said[-1] == "| as written | | | 0.00 | |"
