"""Casting: people who sound alike together, and nobody with himself."""

import numpy as np
import pytest

from pyannote_drz.simulation import RandomTurns, SimulationConfig, Simulator
from pyannote_drz.simulation.speakers import likeness as likeness_module
from pyannote_drz.simulation.speakers.casting import choose_voices
from pyannote_drz.simulation.speakers.likeness import NUM_NEIGHBOURS, find_likeness


def of_families(count, families):
    """Embeddings of voices, (count, 8): voice k is of family k % families, cosine 0.6 to the others
    of it, 0 to strangers; the last two voices are one person."""
    embeddings = np.zeros((count, families + count), dtype=np.float32)
    for k in range(count):
        embeddings[k, k % families] = np.sqrt(0.6)
        embeddings[k, families + k] = np.sqrt(0.4)
    embeddings[-1] = embeddings[-2] * 3  # of any length
    return embeddings


@pytest.fixture
def families(bank):
    """Families: 0 2 4 6 (8 9) and 1 3 5 7; 8 and 9 are one person."""
    bank.embeddings = of_families(10, 2)
    yield bank
    bank.embeddings = None


def test_likeness(monkeypatch):
    embeddings = of_families(10, 2)
    whole = find_likeness(embeddings)
    assert whole.neighbours[0].tolist() == [2, 4, 6, 8, 9]
    assert whole.neighbours[8].tolist() == [0, 2, 4, 6]  # not 9, which may be 8
    assert whole.doubles[8].tolist() == [9] and whole.doubles[9].tolist() == [8]
    assert not any(len(doubles) for doubles in whole.doubles[:8])
    monkeypatch.setattr(likeness_module, "BLOCK", 3)
    for one, two in zip(find_likeness(embeddings), whole):
        assert [row.tolist() for row in one] == [row.tolist() for row in two]


def test_the_nearest_are_neighbours():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((200, 16)) + 0.6
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(200)
    cosine[cosine > 0.72] = -1
    for k, found in enumerate(find_likeness(embeddings).neighbours):
        expected = [v for v in np.argsort(-cosine[k])[:NUM_NEIGHBOURS] if cosine[k, v] >= 0.3]
        assert sorted(expected) == found.tolist()


def test_similar_voices_are_chosen(families):
    rng = np.random.default_rng(0)
    for _ in range(50):
        voices = choose_voices(families, [2.0, 3.0, 1.0, 1.0], 0, [], rng, similar=True)
        assert len(set(voices)) == 4
        parity = {voice % 2 if voice < 8 else 0 for voice in voices}
        assert len(parity) == 1
        assert not {8, 9} <= set(voices)


def test_nobody_meets_himself_unless_nobody_else_is_left(families):
    rng = np.random.default_rng(0)
    for _ in range(50):
        voices = choose_voices(families, [1.0] * 9, None, [], rng)
        assert len(set(voices)) == 9 and not {8, 9} <= set(voices)
    assert sorted(choose_voices(families, [1.0] * 10, None, [], rng)) == list(range(10))


def test_who_has_too_little_speech_is_no_neighbour(families):
    """Voices of 16 s may be heard three times for the sake of likeness, not four times."""

    def stay_in_the_family(need_s):
        rng = np.random.default_rng(0)
        casts = [choose_voices(families, [70, need_s], None, [], rng, True) for _ in range(30)]
        return all(min(one, 8) % 2 == min(two, 8) % 2 for one, two in casts)

    assert stay_in_the_family(45) and not stay_in_the_family(60)


def test_shares_and_seed(families):
    def drawn(share):
        config = SimulationConfig(similar_share=share, same_source=0.0, empty_share=0.0)
        simulator = Simulator(families, RandomTurns(2, 2), config)
        rng = np.random.default_rng(0)
        return [simulator.draw(rng, 6.0, False).voices.tolist() for _ in range(60)]

    def same_family(casts):
        pairs = [cast for cast in casts if len(cast) == 2]
        return np.mean([(one - two) % 2 == 0 or 9 in (one, two) for one, two in pairs])

    assert same_family(drawn(1.0)) == 1 > same_family(drawn(0.0))
    assert drawn(0.5) == drawn(0.5)


def test_bad_embeddings(bank):
    with pytest.raises(ValueError, match=r"\(10, dimensions\) embeddings, not \(9, 4\)"):
        bank.embeddings = np.zeros((9, 4))
    bad = np.zeros((10, 4))
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="the embedding of 'speaker3' is not finite"):
        bank.embeddings = bad
    assert bank.embeddings is None and bank.likeness is None
