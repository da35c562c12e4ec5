import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from pyannote_drz.pipelines.agreement import agreement, seconds_together
from pyannote_drz.pipelines.linking import ChunkVoice, link
from pyannote_drz.pipelines.stitching import Turn


def turns(*spans: tuple[float, float]) -> list[Turn]:
    return [Turn(start, end, 0, 1.0) for start, end in spans]


def apart(edges: list[int]) -> list[Turn]:
    """Turns that do not overlap each other."""
    edges = sorted(set(edges))
    return turns(*zip(edges[0::2], edges[1::2]))


some_turns = st.lists(st.integers(0, 40), max_size=8).map(apart)


def test_same_turns_agree_and_others_do_not():
    a = turns((2.0, 5.0), (8.0, 12.0))
    assert seconds_together(a, a, 0.0, 10.0) == approx(3.0 + 2.0)  # what is behind 10 s is unheard
    assert seconds_together(a, turns((5.0, 8.0)), 0.0, 10.0) == approx(-(5.0 + 3.0) / 2)
    assert seconds_together(a, [], 0.0, 10.0) == approx(-2.5)
    assert seconds_together(a, a, 20.0, 30.0) == 0.0


@given(some_turns, some_turns)
def test_it_is_counted_second_by_second(a, b):
    def active(some, second):
        return any(turn.start <= second < turn.end for turn in some)

    both = sum(active(a, s) and active(b, s) for s in range(10, 30))
    one = sum(active(a, s) != active(b, s) for s in range(10, 30))
    assert seconds_together(a, b, 10.0, 30.0) == approx(both - one / 2)
    assert seconds_together(b, a, 10.0, 30.0) == approx(both - one / 2)


def test_only_neighbours_agree():
    said = turns((10.0, 18.0))
    found = agreement(
        [(0, said), (1, said), (1, []), (3, said)],
        [(0.0, 20.0), (10.0, 30.0), (20.0, 40.0), (30.0, 50.0)],
    ).toarray()
    assert (found == found.T).all() and (np.diag(found) == 0).all()
    assert found[0, 1] == approx(8.0) and found[0, 2] == approx(-4.0)
    assert not found[3].any()


def test_agreement_decides_where_voices_do_not():
    """Two people who sound alike, in two chunks whose letters are the other way round."""
    vector = np.array([1.0, 0.1])
    voices = [ChunkVoice(chunk, vector, 10.0) for chunk in (0, 0, 1, 1)]
    first, second = turns((10.0, 14.0)), turns((15.0, 19.0))
    said = [(0, first), (0, second), (1, second), (1, first)]
    agreed = agreement(said, [(0.0, 20.0), (10.0, 30.0)])
    people, _ = link(voices, threshold=0.4, agreed=agreed)
    assert people[0] == people[3] and people[1] == people[2] and people[0] != people[1]


def test_known_people_are_linked_by_voice_and_agreement():
    """Nobody knows how known people agree: they are no chunk's."""
    known = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    vectors = [np.array([0.9, 0.1]), np.array([0.5, 0.6])]  # one person, whom chunk 1 hears badly
    said = [(0, turns((10.0, 18.0))), (1, turns((10.0, 18.0)))]
    voices = [ChunkVoice(chunk, vector, 10.0) for chunk, vector in enumerate(vectors)]
    agreed = agreement(said, [(0.0, 20.0), (10.0, 30.0)])
    assert link(voices, 0.4, known=known)[0].tolist() == [0, 1]
    assert link(voices, 0.4, known=known, agreed=agreed)[0].tolist() == [0, 0]
