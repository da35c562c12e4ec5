"""The fitted turn-taking model: the contract of sources, the file, and likeness to AMI."""

import json
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment

from pyannote_drz.simulation import FittedTurns, Turn, read_rttm
from pyannote_drz.simulation.turn_taking.fitted import draw, turns_of
from pyannote_drz.simulation.turn_taking.fitting import fit_turn_model, recency_weights
from pyannote_drz.simulation.turn_taking.statistics import compare, measure_turns, windows_of
from pyannote_drz.simulation.turn_taking.turn_model import SINCE_S
from pyannote_drz.simulation.turn_taking.turns import MERGE_GAP_S


def check(turns, duration_s, max_speakers=8):
    assert turns == sorted(turns)
    assert all(0 <= t.start_s < t.end_s <= duration_s for t in turns)
    arrivals = list(dict.fromkeys(t.speaker for t in turns))
    assert arrivals == list(range(len(arrivals))) and len(arrivals) <= max_speakers
    for speaker in arrivals:
        for one, two in pairwise(t for t in turns if t.speaker == speaker):
            assert two.start_s - one.end_s >= MERGE_GAP_S - 1e-9


def meeting(seed: int, num_speakers: int, num_turns: int) -> list[Turn]:
    """People who talk when they like."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.exponential(2.0, num_turns))
    lengths = rng.exponential(2.0, num_turns) + 0.1
    speakers = rng.integers(num_speakers, size=num_turns)
    return [Turn(*map(float, t), int(s)) for *t, s in zip(starts, starts + lengths, speakers)]


# ---- windows ------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.floats(0.5, 120))
def test_ami_windows(seed, max_speakers, duration_s):
    source = FittedTurns.ami(max_speakers)
    turns = source.sample(np.random.default_rng(seed), duration_s)
    check(turns, duration_s, max_speakers)
    assert turns == source.sample(np.random.default_rng(seed), duration_s)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(2, 60))
def test_windows_of_any_meeting(seed, num_speakers, num_turns):
    turns = meeting(seed, num_speakers, num_turns)
    try:
        source = FittedTurns(fit_turn_model([turns]))
    except ValueError as error:  # all turns were merged into one
        assert "no turn follows" in str(error)
        return
    for seed in range(5):
        check(source.sample(np.random.default_rng(seed), 20.0), 20.0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda start, length, speaker: Turn(start, start + length, speaker),
            st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 50.0]),  # ties, and turns inside turns
            st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0, 90.0]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_odd_meetings(turns):
    try:
        model = fit_turn_model([turns])
    except ValueError as error:
        assert "no turn follows" in str(error)
        return
    for seed in range(3):
        check(FittedTurns(model).sample(np.random.default_rng(seed), 30.0), 30.0)


def test_windows_begin_and_end_in_the_middle_of_turns():
    rng = np.random.default_rng(0)
    drawn = [FittedTurns.ami().sample(rng, 30.0) for _ in range(300)]
    assert np.mean([bool(t) and t[0].start_s == 0 for t in drawn]) > 0.7
    assert np.mean([bool(t) and max(x.end_s for x in t) == 30 for t in drawn]) > 0.7
    numbers = {len({t.speaker for t in turns}) for turns in drawn}
    assert numbers >= {0, 1, 2, 3, 4}


def test_one_speaker_only_holds():
    turns = FittedTurns.ami(1).sample(np.random.default_rng(0), 300.0)
    assert {turn.speaker for turn in turns} == {0} and len(turns) > 5


def test_fast_enough_for_workers():
    source, rng = FittedTurns.ami(), np.random.default_rng(0)
    begin = time.thread_time()
    for _ in range(300):
        source.sample(rng, 30.0)
    assert (time.thread_time() - begin) / 300 < 0.002  # s; 0.0002 on the project's machine


# ---- fitting ------------------------------------------------------------------------------------


def test_annotations_and_files_are_the_same(tmp_path):
    turns = meeting(0, 3, 50)
    annotation = Annotation(uri="m")
    for k, turn in enumerate(turns):
        annotation[Segment(turn.start_s, turn.end_s), k] = "abc"[turn.speaker]
    lines = [
        f"SPEAKER m 1 {t.start_s} {t.end_s - t.start_s} <NA> <NA> {t.speaker} x x" for t in turns
    ]
    (tmp_path / "m.rttm").write_text("\n".join(lines))
    one = FittedTurns.fit([annotation]).model
    two = FittedTurns.fit([tmp_path / "m.rttm"]).model
    assert one == two == fit_turn_model([turns_of(annotation)])
    assert one.provenance["conversations"] == 1
    assert one.participants == [0, 0, 1, 0, 0, 0, 0, 0]


def test_what_was_put_in_comes_out():
    """Two people in turn: 1 s each, 0.5 s between them, nothing else."""
    turns = [Turn(1.5 * k, 1.5 * k + 1, k % 2) for k in range(400)]
    source, rng = FittedTurns(fit_turn_model([turns])), np.random.default_rng(0)
    found = measure_turns([source.sample(rng, 30.0) for _ in range(50)], 30.0)
    assert found.kind_shares()["switch"] > 0.99
    assert found.gap_s == pytest.approx(0.5) and found.silence_share.mean() == pytest.approx(
        1 / 3, abs=0.02
    )


def test_draw_keeps_the_mean():
    table = [1.0, 2.0, 4.0, 16.0]
    drawn = [draw(table, u) for u in (np.arange(4000) + 0.5) / 4000]
    assert np.mean(drawn) == pytest.approx(np.mean(table), rel=1e-3)
    assert draw(table, 0.0) == 1 and draw(table, 1.0) == 16 and draw([3.0], 0.2) == 3


def test_recency_weights_are_found_again():
    truth = np.array([1.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2])
    truth /= truth.mean()
    rng, choices = np.random.default_rng(0), []
    for _ in range(20000):
        candidates = rng.integers(len(SINCE_S) + 1, size=3).tolist()
        weights = np.cumsum(truth[candidates])
        choices.append(
            (candidates[np.searchsorted(weights, rng.random() * weights[-1])], candidates)
        )
    np.testing.assert_allclose(recency_weights(choices), truth, rtol=0.12)
    np.testing.assert_allclose(recency_weights([]), 1)


def test_nothing_to_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"RTTM file '.*nowhere\.rttm' is missing"):
        FittedTurns.fit([tmp_path / "nowhere.rttm"])
    (tmp_path / "empty.rttm").write_text("SPKR-INFO m 1 <NA> <NA> <NA> unknown A <NA>\n")
    with pytest.raises(ValueError, match=r"RTTM file '.*empty\.rttm' has no turns"):
        FittedTurns.fit([tmp_path / "empty.rttm"])
    with pytest.raises(ValueError, match="conversation 2 of 2 has no turns"):
        FittedTurns(fit_turn_model([meeting(0, 2, 9), []]))
    with pytest.raises(ValueError, match="no turn follows another"):
        fit_turn_model([[Turn(0, 1, 0)]])
    with pytest.raises(ValueError, match="no conversation"):
        FittedTurns.fit([])
    with pytest.raises(ValueError, match=r"1\.\.8, not 9"):
        FittedTurns.ami(9)


# ---- the file -----------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    path = tmp_path / "turns.json"
    source = FittedTurns(fit_turn_model([meeting(0, 3, 300)], {"corpus": "nobody's"}))
    source.save(path)
    again = FittedTurns.load(path)
    assert again.model == source.model and again.model.provenance["corpus"] == "nobody's"
    seeds = [np.random.default_rng(1), np.random.default_rng(1)]
    assert source.sample(seeds[0], 60.0) == again.sample(seeds[1], 60.0)
    assert [p.name for p in tmp_path.iterdir()] == ["turns.json"]
    with pytest.raises(FileNotFoundError, match="no folder.*nowhere"):
        source.save(tmp_path / "nowhere" / "turns.json")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"format": "of tomorrow"}, "no turn-taking model of format"),
        ({"tempo": 3}, r"unknown keys \['tempo'\]"),
        ({"participants": [1.0]}, "participants must be a list of 8"),
        ({"participants": [0.5] + [0.0] * 7}, "participants must sum to 1"),
        ({"opening_share": -0.1}, "opening_share .* -0.1"),
        ({"opening_share": "often"}, "opening_share .* 'often'"),
        ({"opening_s": []}, "opening_s must be a list"),
        ({"states": []}, "states must not be empty"),
        ({"states": 3}, "states must be a list"),
        ({"states": [{"pace": 1}]}, r"states\[0\] has unknown keys \['pace'\]"),
        ({"states": [{"share": 1}]}, r"states\[0\] lacks"),
    ],
)
def test_bad_model(tmp_path, change, said):
    path = tmp_path / "turns.json"
    FittedTurns.ami().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=said) as raised:
        FittedTurns.load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"turns", b"[1]", b"\xff\xfe\x00", b"{}"])
def test_not_a_model(tmp_path, content):
    path = tmp_path / "turns.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"turns\.json' is no turn-taking model of format"):
        FittedTurns.load(path)
    with pytest.raises(FileNotFoundError, match=r"'.*nothing\.json' is missing"):
        FittedTurns.load(tmp_path / "nothing.json")


def test_packaged_model_says_where_it_comes_from():
    provenance = FittedTurns.ami().model.provenance
    assert provenance["conversations"] == 136 and provenance["licence"] == "Apache-2.0"
    assert {"corpus", "command", "date", "hours", "turns"} <= set(provenance)


# ---- AMI ----------------------------------------------------------------------------------------


def test_likeness_to_ami(shared):
    """The goal of recipes/synthetic/README.md, on more windows: less noise."""
    paths = sorted((shared / "ami/only_words/rttms/train").glob("*.rttm"))
    real = measure_turns(windows_of(read_rttm(paths), 30.0), 30.0)
    source, rng = FittedTurns.ami(), np.random.default_rng(0)
    drawn = measure_turns([source.sample(rng, 30.0) for _ in range(4000)], 30.0)
    for row in compare(real, drawn):
        assert abs(row.relative) < 0.1, row
        assert row.ks < 0.1, row
    for kind, share in real.kind_shares().items():
        assert drawn.kind_shares()[kind] == pytest.approx(share, abs=0.02)
    for number in range(5):
        share = np.mean(real.num_speakers == number)
        assert np.mean(drawn.num_speakers == number) == pytest.approx(share, abs=0.06)


def test_packaged_model_is_the_one_that_is_fitted(shared):
    paths = sorted((shared / "ami/only_words/rttms/train").glob("*.rttm"))
    fitted, packaged = FittedTurns.fit(paths).model, FittedTurns.ami().model
    assert fitted.participants == packaged.participants
    assert len(fitted.states) == len(packaged.states)
    for one, two in zip(fitted.states, packaged.states):
        np.testing.assert_allclose(one.pause_s, two.pause_s, atol=0.002)
        np.testing.assert_allclose(one.kinds, two.kinds, atol=0.001)
