"""Room banks: one room a conversation, responses as given, files whole or refused."""

import numpy as np
import pytest
import torch

from pyannote_drz.simulation import RandomTurns, RoomBank, RoomConfig, SimulationConfig, Simulator
from pyannote_drz.simulation.acoustics.rooms import convolve, draw_room


def room_bank(num_rooms=3, num_places=4, num_samples=800):
    """Decaying noise after a direct sound that gets weaker from place to place."""
    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(num_samples) / 150)
    responses = 0.05 * rng.standard_normal((num_rooms, num_places, num_samples)) * decay
    responses[:, :, 0] = np.linspace(1.0, 0.2, num_places)
    rooms = np.repeat(np.arange(num_rooms), num_places)
    return RoomBank(responses.reshape(-1, num_samples), rooms)


def test_one_room_and_a_place_each():
    bank, rng = room_bank(), np.random.default_rng(1)
    assert len(bank) == 3
    torch.testing.assert_close(bank.responses.square().sum(1), torch.ones(12))
    met = set()
    for _ in range(50):
        rows = bank.draw(rng, 3, 1)
        assert len(set(rows // 4)) == 1  # one room
        assert len(set(rows)) == 4 and rows[-1] % 4 == 3  # the last place is the farthest
        met |= set(rows)
    assert met == set(range(12))
    crowded = bank.draw(rng, 8)
    assert np.bincount(crowded % 4).tolist() == [2, 2, 2, 2]  # places are shared when they run out


def test_rows_are_sorted_by_direct_sound():
    bank = room_bank(2, 3)
    shuffled = [5, 0, 3, 2, 1, 4]
    again = RoomBank(bank.responses.numpy()[shuffled], np.array([1, 0, 1, 0, 0, 1]))
    torch.testing.assert_close(again.responses, bank.responses)


def test_convolve_hears_the_bank():
    bank = room_bank()
    config = RoomConfig(room_share=1.0, bank_share=1.0)
    places = draw_room(np.random.default_rng(0), config, 2, bank=bank)
    modelled = draw_room(np.random.default_rng(0), config, 2)
    tracks = torch.zeros(4, 4000)
    tracks[:, 100] = 1
    heard = convolve(tracks, np.concatenate([places, modelled]), 2000, bank.responses)
    expected = bank.responses[places["banked"].copy()]
    torch.testing.assert_close(heard[:2, 100:900], expected, atol=1e-5, rtol=0)
    assert heard[:2, 900:].abs().max() < 1e-5 < heard[2:, 900:].abs().max()


def test_bank_changes_nothing_else(bank):
    """The same conversation in another room, always the same."""
    turns = RandomTurns(max_speakers=3)

    def render(share, rooms):
        config = SimulationConfig.from_dict({"rooms": {"room_share": 1.0, "bank_share": share}})
        simulator = Simulator(bank, turns, config, rooms=rooms)
        conversations = [simulator.draw(np.random.default_rng(5), 3.0, True)]
        return simulator.render(conversations, "cpu"), conversations[0].chunk.places["banked"]

    without, rows = render(1.0, None)
    assert (rows == -1).all()
    banked, rows = render(1.0, room_bank())
    assert (rows >= 0).all()
    assert banked.turns == without.turns
    assert not torch.equal(banked.waveforms, without.waveforms)
    again, _ = render(1.0, room_bank())
    assert torch.equal(again.waveforms, banked.waveforms)
    assert torch.equal(again.prompts, banked.prompts)


def test_files(tmp_path):
    bank, path = room_bank(), tmp_path / "rooms.npz"
    bank.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["rooms.npz"]
    again = RoomBank.from_file(path)
    assert len(again) == len(bank)
    torch.testing.assert_close(again.responses, bank.responses, atol=1e-3, rtol=0)


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="room bank 'nowhere.npz' is missing"):
        RoomBank.from_file("nowhere.npz")
    (tmp_path / "text.npz").write_text("rooms")
    with pytest.raises(ValueError, match="cannot be read"):
        RoomBank.from_file(tmp_path / "text.npz")
    np.savez(tmp_path / "rate.npz", responses=np.ones((1, 9)), rooms=[0], sample_rate=8000)
    with pytest.raises(ValueError, match="at 8000 Hz, not 16000"):
        RoomBank.from_file(tmp_path / "rate.npz")
    np.savez(tmp_path / "lacks.npz", responses=np.ones((1, 9)), sample_rate=16000)
    with pytest.raises(ValueError, match="rooms"):
        RoomBank.from_file(tmp_path / "lacks.npz")
    with pytest.raises(ValueError, match="response 1 is silent"):
        RoomBank(np.stack([np.ones(9), np.zeros(9)]), np.zeros(2, int))
    with pytest.raises(ValueError, match="takes"):
        RoomBank(np.ones((2, 9)), np.zeros(3, int))
    with pytest.raises(ValueError, match="bank_share: .*less than or equal to 1, got 2"):
        RoomConfig(bank_share=2)


def test_make_rooms(tmp_path, repository):
    """A tiny bank by pyroomacoustics: the direct sound comes at once, near places first."""
    pytest.importorskip("pyroomacoustics")
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("make_rooms", repository / "recipes/synthetic/make_rooms.py")
    make_rooms = module_from_spec(spec)
    spec.loader.exec_module(make_rooms)
    for name in ("one.npz", "two.npz"):
        make_rooms.main(tmp_path / name, rooms=2, places=3, seed=0)
    bank, again = (RoomBank.from_file(tmp_path / name) for name in ("one.npz", "two.npz"))
    assert torch.equal(bank.responses, again.responses)  # same seed, same bytes
    assert len(bank) == 2 and bank.responses.shape == (6, 6400)
    loud = bank.responses.abs() > 0.1 * bank.responses.abs().amax(1, keepdim=True)
    assert (loud.int().argmax(1) < 16).all()  # 1 ms
