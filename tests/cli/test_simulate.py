"""`pyannote-drz simulate`: a protocol that loads, the same bytes however made, bad input told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile as sf
from pyannote.database import FileFinder, registry
from pyannote.database.util import load_rttm
from typer.testing import CliRunner

from pyannote_drz.cli import main

PROTOCOL = "CliToy.SpeakerDiarization.Voices"
DURATION = 5.0


@pytest.fixture(scope="module")
def options(database, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return ["--registry", database, "--cache", cache, "--turns", "random", "--duration", DURATION]


def command(out: Path, *arguments, protocol=PROTOCOL) -> list[str]:
    return [str(word) for word in ("simulate", protocol, out, *arguments)]


def run(out: Path, *arguments, protocol=PROTOCOL):
    return CliRunner().invoke(main.app, command(out, *arguments, protocol=protocol))


def hours(conversations: int) -> list:
    return ["--hours", conversations * DURATION / 3600]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(options, tmp_path_factory) -> Path:
    """Six conversations, made by two workers."""
    out = tmp_path_factory.mktemp("two") / "sim"
    done = run(out, *options, *hours(6), "--jobs", 2)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "6 conversations" in done.output
    assert "sim.SpeakerDiarization.Simulated (train)" in done.output
    return out


def test_loads_as_a_protocol(made):
    registry.load_database(made / "database.yml")
    protocol = registry.get_protocol(
        "sim.SpeakerDiarization.Simulated", preprocessors={"audio": FileFinder()}
    )
    loaded = list(protocol.train())
    assert [file["uri"] for file in loaded] == [f"sim-train-{k:06d}" for k in range(6)]
    num_turns = 0
    for file in loaded:
        uri = file["uri"]
        audio, rate = sf.read(file["audio"])
        assert (len(audio), rate) == (DURATION * 16000, 16000)
        written = load_rttm(made / "rttm" / f"{uri}.rttm").get(uri, [])
        assert list(file["annotation"].itertracks(yield_label=True)) == (
            list(written.itertracks(yield_label=True)) if written else []
        )
        assert set(file["annotation"].labels()) <= {f"train{k}" for k in range(4)}
        assert [tuple(segment) for segment in file["annotated"]] == [(0.0, DURATION)]
        extent = file["annotation"].get_timeline().extent()
        assert not extent or 0 <= extent.start < extent.end <= DURATION
        assert file["scope"] == "global"
        num_turns += len(file["annotation"])
    assert num_turns > 6


def test_same_bytes_with_one_worker_resumed_and_extended(made, options, tmp_path):
    out = tmp_path / "sim"
    first = run(out, *options, *hours(4), "--jobs", 1)
    assert first.exit_code == 0, first.exception
    assert {k: v for k, v in files(made).items() if k.startswith("audio/")}.items() >= {
        k: v for k, v in files(out).items() if k.startswith("audio/")
    }.items()

    (out / "audio" / "sim-train-000001.flac").unlink()
    (out / "rttm" / "sim-train-000002.rttm").unlink()
    (out / "audio" / "sim-train-000003.flac.123.part").write_bytes(b"half")
    untouched = out / "audio" / "sim-train-000000.flac"
    since = untouched.stat().st_mtime_ns
    again = run(out, *options, *hours(6), "--jobs", 1)
    assert again.exit_code == 0, again.exception
    assert "of which 4 were made now" in again.output
    assert files(out) == files(made)
    assert untouched.stat().st_mtime_ns == since

    nothing = run(out, *options, *hours(6))
    assert nothing.exit_code == 0 and "of which 0 were made now" in nothing.output


def test_another_subset_joins(made, options, tmp_path):
    out = tmp_path / "sim"
    shutil.copytree(made, out)
    done = run(out, *options, *hours(1), "--subset", "development", "--format", "opus", "--jobs", 1)
    assert done.exit_code == 0, done.exception
    registry.load_database(out / "database.yml")
    protocol = registry.get_protocol(
        "sim.SpeakerDiarization.Simulated", preprocessors={"audio": FileFinder()}
    )
    (file,) = protocol.development()
    assert file["audio"].suffix == ".opus" and len(list(protocol.train())) == 6
    assert set(file["annotation"].labels()) <= {f"development{k}" for k in range(4)}


@pytest.mark.parametrize(
    "changed, said",
    [
        (["--seed", 1], r"\(seed: 0 there, 1 now\)"),
        (["--format", "wav"], r"\(format: flac there, wav now\)"),
        (["--duration", 4], "duration: 5.0 there, 4.0 now"),
        (["--max-speakers", 3], "speakers"),
        (["--hours", 0.001], "6 train conversations, more than 1"),
    ],
)
def test_other_settings_are_refused(made, options, changed, said):
    before = files(made)
    done = run(made, *options, *hours(6), *changed)
    with pytest.raises(ValueError, match=said):
        raise done.exception
    assert files(made) == before


def test_foreign_folder_is_refused(options, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run(tmp_path, *options)
    with pytest.raises(ValueError, match="holds files of something else"):
        raise done.exception
    assert files(tmp_path) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--hours", -1], "must be positive, not -1.0"),
        (["--hours", "inf"], "inf h in conversations of .* are more than 10000000 of them"),
        (["--hours", "nan"], "must be positive, not nan"),
        (["--hours", 1e9], "are more than 10000000 of them"),
        (["--hours", 1, "--duration", 1e-6], "are more than 10000000 of them"),
        (["--duration", 0], "must be positive"),
        (["--duration", "nan"], "must be positive"),
        (["--duration", "inf"], "at most 14400 s, not inf"),
        (["--duration", 20000], "at most 14400 s, not 20000"),
        (["--min-speakers", 3, "--max-speakers", 2], r"\(3\) must not be above max-speakers \(2\)"),
        (["--turns", "replay"], "replay and no --scripts"),
        (["--scripts", "no-such.rttm"], "random and --scripts do not go together"),
        (["--turns", "replay", "--scripts", "no-such.rttm"], "no-such.rttm"),
        (["--noise", "no-such.csv"], "noise manifest 'no-such.csv' is missing"),
        (["--subset", "test"], "has no test subset"),
    ],
)
def test_bad_option(options, tmp_path, arguments, said):
    done = run(tmp_path / "sim", *options, *arguments)
    with pytest.raises((ValueError, OSError), match=said):
        raise done.exception
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, said",
    [
        ("loudness: 3", "no parameter 'loudness'"),
        ("rooms: {loudness: 3}", "no parameter 'loudness'"),
        ("bleed_share: often", "simulation.yml"),
        ("- 3", "must hold parameters"),
        ("a: [", "simulation.yml"),
    ],
)
def test_bad_config(options, tmp_path, text, said):
    (tmp_path / "simulation.yml").write_text(text)
    done = run(tmp_path / "sim", *options, "--config", tmp_path / "simulation.yml")
    with pytest.raises(ValueError, match=said):
        raise done.exception
    assert not (tmp_path / "sim").exists()


def test_unknown_protocol(options, tmp_path):
    done = run(tmp_path / "sim", *options, protocol="No.Such.Protocol")
    with pytest.raises(ValueError, match=rf"No.Such.Protocol is unknown: .*{PROTOCOL}"):
        raise done.exception


def test_preview(options, tmp_path):
    out = tmp_path / "sim"
    done = run(out, *options, "--preview")
    assert done.exit_code == 0, done.exception
    names = [path.name for path in out.rglob("*") if path.is_file()]
    assert sorted(names) == sorted(
        ["index.html"]
        + [f"sim-train-{k:06d}.{kind}" for k in range(10) for kind in ("flac", "rttm", "png")]
    )
    page = (out / "preview" / "index.html").read_text()
    assert page.count("data:audio/mpeg;base64,") == page.count("data:image/png;base64,") == 10
    assert "://" not in page and "silence, % of time" in page  # "http" may be Base64
    # a preview is no reason to refuse the folder
    assert run(out, *options, *hours(1), "--jobs", 1).exit_code == 0


@pytest.fixture
def started(options, tmp_path, repository):
    """A run of many conversations, under way, in a process group of its own."""
    out = tmp_path / "sim"
    process = subprocess.Popen(
        [sys.executable, "-m", "pyannote_drz.cli.main", *command(out, *options, *hours(5000))]
        + ["--jobs", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
        # Tests that run in the background of a shell are deaf to it, and so would this be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 300
    while not any((out / "rttm").glob("*.rttm")) and time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    yield process, out
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_ctrl_c(started):
    process, out = started
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "of 5000 conversations are there: the same command goes on" in said
    assert "Traceback" not in said
    assert not list(out.rglob("*.part")) and not (out / "database.yml").exists()
    stems = {path.stem for path in (out / "rttm").iterdir()}
    assert stems == {path.stem for path in (out / "audio").iterdir()}


def test_startup_is_quick_and_errors_are_one_line(tmp_path, repository):
    done = subprocess.run(
        [sys.executable, "-m", "pyannote_drz.cli.main", *command(tmp_path, "--hours", 0)],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "pyannote-drz: hours and duration must be positive, not 0.0 and 30.0.\n"
