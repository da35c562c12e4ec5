"""Recipes: features made once, the same by any number of workers; how hard they are to hear."""

import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from pyannote.core import Annotation, Segment, Timeline

from pyannote_drz.models.encoders import Features
from pyannote_drz.tasks.shards import ShardSet

RATE = 16000
SECONDS = 6.0

DATABASE = """
Databases:
  FeatureToy: '{uri}.wav'
Protocols:
  FeatureToy:
    SpeakerDiarization:
      Voices:
        scope: global
        train: {uri: voices.lst, annotation: voices.rttm, annotated: voices.uem}
"""
SETTINGS = {
    "protocol": "FeatureToy.SpeakerDiarization.Voices",
    "seed": 3,
    "durations": [{"share": 0.5, "seconds": [2, 3]}, {"share": 0.5, "seconds": [4, 4]}],
    "task": {"other_ratio": 0.0, "simulation": {"similar_share": 0.0}},
}


@pytest.fixture(scope="module")
def make_features(recipe):
    module = recipe("synthetic/make_features.py")
    module.ROWS = 2
    return module


BAD = [
    (["--hours", "inf"], {}, "--hours: input should be a finite number, got inf"),
    (["--hours", "0"], {}, "--hours: input should be greater"),
    (["--hours", "1", "--workers", "0"], {}, "--workers: input should be greater"),
    (["--hours", "1", "--worker", "2", "--workers", "2"], {}, "--worker: input should be less"),
    (["--hours", "1"], {"seed": -1}, "seed: input should be greater"),
    (["--hours", "1"], {"durations": 5}, "durations: input should be a valid list, got 5"),
    (["--hours", "1"], {"durations": [{"share": 0, "seconds": [2, 3]}]}, "no share is above 0"),
    (["--hours", "1"], {"durations": [{"share": 1, "seconds": [3, 2]}]}, "should be a range"),
    (["--hours", "1"], {"mood": 1}, "mood: extra inputs are not permitted"),
    (["--hours", "1"], {"task": {"batch_size": 0}}, "batch_size: input should be greater"),
]  # fmt: skip


@pytest.mark.parametrize("words, changes, said", BAD)
def test_bad_input(make_features, data, tmp_path, monkeypatch, words, changes, said):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    words = ["make_features.py", str(path), str(data), str(tmp_path / "out"), *words]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=said):
        make_features.main()
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of voices, and settings beside it."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    uris = [f"v{k}" for k in range(4)]
    for k, uri in enumerate(uris):
        tone = 0.1 * np.sin(np.arange(int(SECONDS * RATE)) * (k + 1) / 20)
        soundfile.write(folder / f"{uri}.wav", tone + 0.01 * rng.standard_normal(len(tone)), RATE)
    (folder / "database.yml").write_text(DATABASE)
    (folder / "voices.lst").write_text("\n".join(uris) + "\n")
    (folder / "voices.uem").write_text("\n".join(f"{uri} 1 0 {SECONDS}" for uri in uris) + "\n")
    (folder / "voices.rttm").write_text(
        "\n".join(f"SPEAKER {u} 1 0 {SECONDS} <NA> <NA> {u} <NA> <NA>" for u in uris) + "\n"
    )
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder


@pytest.fixture
def run(make_features, data, tmp_path, monkeypatch):
    """The command, with more options."""
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.CACHE", tmp_path / "cache")

    def run(out: str, *options: str) -> dict[str, bytes]:
        arguments = [data / "settings.yaml", data, tmp_path / out, "--hours", "0.006", *options]
        monkeypatch.setattr(sys, "argv", ["make_features.py", *map(str, arguments)])
        threads = torch.get_num_threads()
        try:
            make_features.main()
        finally:
            torch.set_num_threads(threads)
        return {p.name: p.read_bytes() for p in (tmp_path / out).glob("*.safetensors")}

    return run


def test_workers_share_the_work(run, tmp_path):
    alone = run("alone")
    assert len(alone) > 2 and len({name.split("-")[0] for name in alone}) == 1
    first = run("both", "--worker", "1", "--workers", "2")
    assert 0 < len(first) < len(alone)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "both").iterdir()}
    assert run("both", "--worker", "0", "--workers", "2") == alone
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())  # left as they are

    shards = ShardSet([tmp_path / "alone"])
    assert set(shards.lengths) <= {25, 38, 50} and shards.hours >= 0.006
    for conversation in shards.conversations:
        assert all(tensor.isfinite().all() for tensor in conversation.features)
        for turn in conversation.turns:
            assert 0 <= turn.start_s < turn.end_s <= conversation.duration_s + 1e-3
            assert turn.speaker < len(conversation.speakers)


def test_durations(make_features):
    rng = np.random.default_rng(0)
    kinds = [{"share": 3, "seconds": [60, 60]}, {"share": 1, "seconds": [1, 2]}]
    drawn = [make_features.draw_duration(rng, kinds) for _ in range(400)]
    assert set(drawn) == {60.0, 1.0, 2.0}
    assert 0.65 < drawn.count(60.0) / 400 < 0.85


def test_packaged_settings(repository):
    """They are of today's task."""
    from pyannote_drz.tasks.pix2seq import SyntheticPix2SeqDiarization

    settings = yaml.safe_load((repository / "recipes/synthetic/features.yaml").read_text())
    assert set(settings) == {"protocol", "seed", "durations", "task"}
    known = SyntheticPix2SeqDiarization.__init__.__annotations__
    assert set(settings["task"]) <= set(known)


# ---- how hard is it to hear ---------------------------------------------------------------------


@pytest.fixture
def judge(recipe, repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "recipes" / "synthetic"))
    return recipe("synthetic/judge.py")


def test_errors_and_cosines_of_a_window(judge):
    """8 s: a, then b, whom PyanNet does not hear in its last second, then a again."""
    classes = torch.zeros(100, 4, 7)
    heard = torch.tensor([1] * 40 + [2] * 20 + [0] * 15 + [1] * 25)
    classes[torch.arange(100), :, heard] = 1.0
    a, b = torch.nn.functional.normalize(torch.randn(2, 192), dim=-1)
    short = torch.stack([a] * 40 + [b] * 35 + [a] * 25)
    reference = Annotation()
    for k, (start, end, who) in enumerate([(0, 3.2, "a"), (3.2, 6.0, "b"), (6.0, 8.0, "a")]):
        reference[Segment(start, end), k] = who
    tally = judge.Tally()
    tally.add(Features(classes, short, short), reference, Timeline([Segment(0, 8)]))
    assert tally.error["missed detection"] == pytest.approx(1.2)
    assert tally.error["false alarm"] == tally.error["confusion"] == pytest.approx(0)
    assert tally.same == [pytest.approx(1.0, abs=1e-4)]
    assert tally.different == [pytest.approx(float(a @ b), abs=1e-4)] * 2
    assert "15.0 /   0.0 /   0.0" in str(tally)
    assert "- | -" in str(judge.Tally())
