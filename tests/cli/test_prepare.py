"""`pyannote-drz prepare`: a folder becomes a protocol, or what is wrong is told."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyannote.core import Segment
from pyannote.database import FileFinder, registry
from pympi import Elan
from typer.testing import CliRunner

from pyannote_drz.cli import main
from pyannote_drz.cli.formats import rttm_of
from pyannote_drz.cli.prepare import check
from pyannote_drz.cli.reading import read_annotations

RATE = 8000
NAMES = ("Ann", "Bob B.")


def wav(path: Path, seconds: float = 6.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(path, noise, RATE)
    return path


def rttm(path: Path, *turns: tuple[float, float, str], uri: str | None = None) -> Path:
    lines = [
        f"SPEAKER {uri or path.stem} 1 {start} {end - start} <NA> <NA> {who} <NA> <NA>\n"
        for start, end, who in turns
    ]
    path.write_text("".join(lines))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six recordings, each labelled in another way."""
    top = tmp_path / "our meetings"
    for uri in ("rttm", "audacity", "elan", "whisper", "named-otherwise"):
        wav(top / f"{uri}.wav")
    wav(top / "more" / "nemo.flac")
    rttm(top / "rttm.rttm", (0.5, 2, "Ann"), (1.5, 4, "Bob"), (3, 4.5, "Bob"))
    rttm(top / "named-otherwise.rttm", (0.5, 2, "Ann"), (1.5, 3, "Bob"), uri="waveform")
    (top / "audacity.txt").write_text("0.5\t2\tAnn\n1.5\t6.2\tBob B.\n")
    (top / "notes.txt").write_text("no labels at all")
    (top / "settings.json").write_text("{}")
    document = Elan.Eaf()
    document.remove_tier("default")
    for who, begin_ms in zip(NAMES, (500, 1500)):
        document.add_tier(who)
        document.add_annotation(who, begin_ms, begin_ms + 1500)
    document.to_file(str(top / "elan.eaf"))
    segments = [{"start": 0.5, "end": 2, "speaker": "SPEAKER_00"},
                {"start": 2.5, "end": 4, "speaker": "SPEAKER_01"}]  # fmt: skip
    (top / "whisper.json").write_text(json.dumps({"segments": segments}))
    entries = [{"audio_filepath": "nemo.flac", "offset": k, "duration": 1, "label": who}
               for k, who in enumerate(NAMES)]  # fmt: skip
    (top / "manifest.json").write_text("".join(json.dumps(e) + "\n" for e in entries))
    (top / "parts.uem").write_text("rttm 1 0 2.5\nrttm 1 3 99\n")
    return top


def run(*arguments):
    return CliRunner().invoke(main.app, ["prepare", *map(str, arguments)])


def test_a_folder_of_all_formats(folder):
    done = run(folder)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "6 recordings (5 train, 1 development)" in done.output
    assert "12 people" in done.output  # two of their own in every recording
    assert "audacity.txt': turns were cut at the end of the recording, 6.000 s." in done.output
    assert "calls its recording 'waveform': taken for 'named-otherwise'" in done.output
    name = "our-meetings.SpeakerDiarization.Own"
    assert f"{name} is in {folder / 'protocol' / 'database.yml'}." in done.output

    moved = folder.rename(folder.parent / "elsewhere")  # audio is where it was, beside the protocol
    registry.load_database(moved / "protocol" / "database.yml")
    protocol = registry.get_protocol(name, preprocessors={"audio": FileFinder()})
    files = {file["uri"]: file for file in (*protocol.train(), *protocol.development())}
    assert set(files) == {"rttm", "audacity", "elan", "whisper", "nemo", "named-otherwise"}
    for uri, file in files.items():
        assert soundfile.info(file["audio"]).frames == 6 * RATE
        assert file["scope"] == "database"
        assert all(label.startswith(f"{uri}/") for label in file["annotation"].labels())
    assert files["elan"]["annotation"].labels() == ["elan/Ann", "elan/Bob%20B."]
    assert list(files["rttm"]["annotated"]) == [Segment(0, 2.5), Segment(3, 6)]
    assert list(files["elan"]["annotated"]) == [Segment(0, 6)]
    bob = files["rttm"]["annotation"].label_timeline("rttm/Bob")
    assert list(bob) == [Segment(1.5, 2.5), Segment(3, 4.5)]  # within what is annotated
    assert (moved / "protocol/rttm/rttm.rttm").read_text().splitlines()[1].split()[3:5] == [
        "1.500", "3.000",  # what overlapped itself is one turn
    ]  # fmt: skip


def test_seed_chooses_and_same_names_are_the_same_people(folder, tmp_path):
    lists = set()
    for seed in (0, 0, 1, 2, 3):
        out = tmp_path / "out"
        done = run(folder, "--out", out, "--seed", seed, "--development", 0.4, "--same-names")
        assert done.exit_code == 0, done.output
        assert "4 train, 2 development" in done.output
        lists.add((seed, (out / "development.lst").read_text()))
        assert "/" not in "".join(p.read_text() for p in (out / "rttm").iterdir())
        shutil.rmtree(out)
    assert len({seed for seed, _ in lists}) == len(lists)  # same seed, same list
    assert len({names for _, names in lists}) > 1


def test_no_development(folder):
    done = run(folder, "--development", 0, "--name", "Ours")
    assert done.exit_code == 0 and "(6 train)" in done.output
    assert not (folder / "protocol" / "development.lst").exists()
    assert "development" not in (folder / "protocol" / "database.yml").read_text()


def broken(folder: Path, what: str) -> None:
    if what == "late turn":
        rttm(folder / "rttm.rttm", (5, 7.5, "Ann"))
    elif what == "unknown uri":
        rttm(folder / "stranger.rttm", (0, 1, "Ann"))
    elif what == "no turn":
        (folder / "rttm.rttm").write_text("")
    elif what == "no labels":
        wav(folder / "new.wav")
    elif what == "empty audio":
        wav(folder / "rttm.wav", 0)
    elif what == "no audio":
        (folder / "rttm.wav").write_bytes(b"not audio")
    elif what == "two labels":
        (folder / "rttm.txt").write_text("0\t1\tAnn\n")
    elif what == "two recordings":
        wav(folder / "more" / "rttm.wav")
    elif what == "space":
        (folder / "rttm.wav").rename(folder / "r ttm.wav")
        (folder / "rttm.rttm").unlink()
    elif what == "words":
        rttm(folder / "rttm.rttm", *((k / 10, k / 10 + 0.1, f"word{k}") for k in range(40)))
    elif what == "bad line":
        (folder / "rttm.rttm").write_text("SPEAKER rttm 1 zero 1 <NA> <NA> A <NA> <NA>\n")
    elif what == "not annotated":
        (folder / "parts.uem").write_text("rttm 1 5 6\n")


@pytest.mark.parametrize(
    "what, told",
    [
        ("late turn", "rttm.rttm' has turns until 7.5 s, and"),
        ("unknown uri", "stranger.rttm' is of 'stranger', and there is no such recording"),
        ("no turn", "rttm.rttm' holds no turn."),
        ("no labels", "nothing tells who speaks in"),
        ("empty audio", "rttm.wav' is empty."),
        ("no audio", "rttm.wav' cannot be read"),
        ("two labels", "tell who speaks in 'rttm'."),
        ("two recordings", "two recordings are called 'rttm'"),
        ("words", "names 40 people, such as 'word0'"),
        ("bad line", "line 1 is not RTTM"),
        ("not annotated", "nobody speaks in the part of"),
    ],
)
def test_problems_are_told_and_may_be_left_out(folder, what, told):
    broken(folder, what)
    before = sorted(folder.rglob("*"))
    done = run(folder)
    assert done.exit_code != 0 and told in done.output
    assert "nothing was written, because of" in str(done.exception)
    assert sorted(folder.rglob("*")) == before
    done = run(folder, "--skip-bad")
    assert done.exit_code == 0 and told in done.output
    kept = 6 if what in ("unknown uri", "no labels") else 5
    assert f"{kept} recordings" in done.output


def test_what_cannot_be_written_leaves_nothing(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyannote_drz.cli.prepare.database_yml", full)
    before = sorted(folder.rglob("*"))
    done = run(folder)
    assert done.exit_code != 0 and "disk is full" in str(done.exception)
    assert sorted(folder.rglob("*")) == before


def test_bad_options_are_told(folder, tmp_path):
    assert "is there already" in str(run(folder, "--out", folder).exception)
    assert "'a.b'" in str(run(folder, "--name", "a.b").exception)
    assert run(tmp_path / "nowhere").exit_code == 2
    (tmp_path / "nothing").mkdir()
    assert "0 recordings are left, and it takes 2" in str(run(tmp_path / "nothing").exception)


def test_labels_that_agree_are_no_problem(folder):
    line = {"audio_filepath": "rttm.wav", "rttm_filepath": "rttm.rttm"}
    with open(folder / "manifest.json", "a") as file:
        file.write(json.dumps(line) + "\n")
    done = run(folder)
    assert done.exit_code == 0, (done.output, done.exception)


def test_time_is_linear_in_turns(tmp_path):
    """Four times the turns take about four times as long, not sixteen."""

    def seconds(count: int) -> float:
        path = tmp_path / f"{count}.rttm"
        path.write_text(
            "".join(
                f"SPEAKER m 1 {0.4 * k:.3f} {0.6 if k % 3 else 0.3} <NA> <NA> P{k % 7} <NA> <NA>\n"
                for k in range(count)
            )
        )
        soundfile.write(tmp_path / "m.wav", np.full(round(0.4 * count * 100) + 100, 0.1), 100)
        begun = time.process_time()
        [(uri, annotation)] = read_annotations(path).items()
        recording, _ = check(uri, [tmp_path / "m.wav"], [(path, annotation)], None)
        assert len(rttm_of(recording.annotation, uri).splitlines()) > count / 2
        return time.process_time() - begun

    seconds(100)  # what is imported first
    assert seconds(8000) < 8 * seconds(2000) + 0.5
