"""Shards: what is written is read, whole or not at all, and drawn by length."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyannote_drz.models.encoders import Features
from pyannote_drz.simulation import Turn
from pyannote_drz.tasks import shards
from pyannote_drz.tasks.shards import (
    POSITION_S,
    Encoded,
    ShardSet,
    load_shard,
    save_shard,
    shard_key,
)

settings.register_profile(
    "busy", deadline=None, max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
settings.load_profile("busy")


@pytest.fixture
def conversation(make_features):
    """`conversation(positions, turns, speakers, seed)`."""

    def make(positions=20, turns=(), speakers=(), seed=0) -> Encoded:
        features = Features(*(tensor[0] for tensor in make_features(1, positions, seed)))
        return Encoded(features, [Turn(*turn) for turn in turns], list(speakers))

    return make


def check(found: Encoded, expected: Encoded) -> None:
    for ours, theirs in zip(found.features, expected.features, strict=True):
        assert torch.equal(ours, theirs.half())
    assert found.speakers == expected.speakers
    assert [turn.speaker for turn in found.turns] == [turn.speaker for turn in expected.turns]
    for ours, theirs in zip(found.turns, expected.turns, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], abs=1e-5)
        assert isinstance(ours.speaker, int)


turns = st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60), st.integers(0, 7)), max_size=5).map(
    tuple
)
people = st.lists(st.integers(0, 100_000), max_size=8).map(tuple)


@given(st.lists(st.tuples(turns, people), min_size=1, max_size=4), st.integers(1, 12))
def test_round_trip(conversation, tmp_path, drawn, positions):
    expected = [conversation(positions, *one, seed=seed) for seed, one in enumerate(drawn)]
    path = tmp_path / "a.safetensors"
    save_shard(path, expected)
    for found, one in zip(load_shard(path), expected, strict=True):
        check(found, one)
        assert found.duration_s == pytest.approx(positions * 0.08)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_cut_file_is_refused(conversation, tmp_path, share):
    path = tmp_path / "a.safetensors"
    save_shard(path, [conversation(turns=[(0, 1, 0)], speakers=[3])])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a\.safetensors is no whole shard") as error:
        load_shard(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no whole shard"):
        ShardSet([tmp_path])


def test_other_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"short": torch.zeros(2, 3, 192)}, path)
    with pytest.raises(ValueError, match="no whole shard"):
        load_shard(path)


def test_written_whole_or_not_at_all(conversation, tmp_path, monkeypatch):
    def fail(content, path):
        path.write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(shards, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_shard(tmp_path / "a.safetensors", [conversation()])
    assert not list(tmp_path.glob("*.safetensors"))


def test_key_tells_settings_apart():
    one = {"protocol": "a", "task": {"noise": None, "other_ratio": 0.2}}
    assert shard_key(one) == shard_key({"task": {"other_ratio": 0.2, "noise": None}, **one})
    assert shard_key(one) != shard_key({**one, "protocol": "b"})
    assert len(shard_key(one)) == 12


# ---- many shards --------------------------------------------------------------------------------


@pytest.fixture
def folder(conversation, tmp_path):
    """Conversations of 10, 20 and 40 positions, two, three and one of them, in two files each."""
    for number, (positions, rows) in enumerate([(20, 2), (10, 2), (40, 1), (20, 1)]):
        many = [conversation(positions, speakers=[number, row]) for row in range(rows)]
        save_shard(tmp_path / f"key-{number}.safetensors", many)
    return tmp_path


def who(conversation: Encoded) -> tuple[int, ...]:
    return tuple(conversation.speakers)


def test_all_shards_of_all_folders(folder, conversation, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save_shard(other / "a.safetensors", [conversation(15)])
    shards = ShardSet([folder, str(other)])
    assert shards.lengths.tolist() == [10, 10, 15, 20, 20, 20, 40]
    assert shards.hours == pytest.approx(135 * POSITION_S / 3600)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no features"):
        ShardSet([tmp_path])


def test_drawn_in_proportion_to_length(folder):
    shards, rng = ShardSet([folder]), np.random.default_rng(0)
    drawn = [who(shards.draw(rng, at_least=1, exactly=None)) for _ in range(6000)]
    for conversation in shards.conversations:
        share = drawn.count(who(conversation)) / len(drawn)
        expected = conversation.features.num_positions / 120
        assert share == pytest.approx(expected, abs=4 * (expected / 6000) ** 0.5)


def test_long_enough(folder):
    shards, rng = ShardSet([folder]), np.random.default_rng(0)
    drawn = [shards.draw(rng, at_least=11, exactly=None) for _ in range(500)]
    assert {one.features.num_positions for one in drawn} == {20, 40}
    assert len({who(one) for one in drawn}) == 4
    assert who(shards.draw(rng, at_least=40, exactly=None)) == (2, 0)
    assert shards.draw(rng, at_least=41, exactly=None) is None


def test_of_just_that_length(folder):
    shards, rng = ShardSet([folder]), np.random.default_rng(0)
    drawn = [shards.draw(rng, at_least=10, exactly=20) for _ in range(600)]
    assert {one.features.num_positions for one in drawn} == {20}
    counts = np.unique([who(one) for one in drawn], axis=0, return_counts=True)[1]
    assert len(counts) == 3 and counts.min() > 150  # all alike
    # Where there is none, any that is long enough.
    other = shards.draw(rng, at_least=15, exactly=15)
    assert other.features.num_positions in (20, 40)


def test_same_seed_same_draw(folder):
    one, other = ShardSet([folder]), ShardSet([folder])
    for seed in range(5):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        for exactly in (None, 20, None, 10, 99):
            pair = [s.draw(rng, 5, exactly) for s, rng in zip((one, other), rngs, strict=True)]
            assert who(pair[0]) == who(pair[1])
