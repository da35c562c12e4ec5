"""AMI's recipe: the download against a server of our own; the official protocol, simulated audio.

What is not tested is the site itself: it cannot be reached from where the tests were written.
"""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests
import soundfile
import yaml
from hydra.core.global_hydra import GlobalHydra
from pyannote.database import FileFinder
from pyannote.database.registry import Registry
from typer.testing import CliRunner

import pyannote_drz
from pyannote_drz.cli import train
from pyannote_drz.evaluation import evaluate
from pyannote_drz.simulation import VoiceBank, VoiceFile

MEETINGS = {"train": ["IS1000a", "IS1003b"], "dev": ["ES2011a"], "test": ["EN2002a"]}
SECONDS = 3


@pytest.fixture(scope="module")
def download(recipe):
    module = recipe("ami/download.py")
    module.PAUSE_S, module.BLOCK = 0.0, 1000
    module.TIMEOUT_S = 5.0
    return module


class Site(SimpleHTTPRequestHandler):
    """Files with byte ranges; may hang up, lie, or not know ranges."""

    cut_after: int | None = None  # bytes, then the connection ends
    lie: int = 0  # bytes that are told too many
    ranges = True
    seen: list[str] = []

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = Path(self.directory) / self.path.lstrip("/")
        asked = self.headers.get("Range")
        if with_body:
            self.seen.append(f"{path.name} {asked or ''}".strip())
        if not path.is_file():
            self.send_error(404)
            return
        content, first = path.read_bytes(), 0
        if asked and self.ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        told = len(content) - first + (0 if with_body else self.lie)
        self.send_header("Content-Length", str(told))
        self.end_headers()
        if with_body:
            body = content[first:]
            if self.cut_after is not None and len(body) > self.cut_after:
                body = body[: self.cut_after]
                self.close_connection = True
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """A site with all recordings, by their official paths, and how it behaves."""
    rng = np.random.default_rng(0)
    for meeting in sum(MEETINGS.values(), []):
        for name in ("Mix-Headset", "Array1-01"):
            path = tmp_path / "site" / meeting / "audio" / f"{meeting}.{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.1, SECONDS * 16000), 16000)
    kind = type("ThisSite", (Site,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=tmp_path / "site"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kind.url, kind.folder = f"http://127.0.0.1:{server.server_port}", tmp_path / "site"
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def data(tmp_path) -> Path:
    """BUT's lists, of few meetings."""
    for subset, meetings in MEETINGS.items():
        path = tmp_path / "data" / "ami" / "lists" / f"{subset}.meetings.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(meetings) + "\n")
    return tmp_path / "data"


@pytest.fixture
def run(download, site, data):
    def run(*arguments, url=None):
        words = [str(data), "--site", url or site.url, *map(str, arguments)]
        return CliRunner().invoke(download.app, words)

    return run


def audio(folder: Path, meeting: str, name: str = "Mix-Headset") -> Path:
    return folder / meeting / "audio" / f"{meeting}.{name}.wav"


def same(site, data, meeting, name="Mix-Headset") -> bool:
    ours = audio(data / "amicorpus", meeting, name)
    return ours.read_bytes() == audio(site.folder, meeting, name).read_bytes()


def left(data: Path) -> list[str]:
    return sorted(path.name for path in data.rglob("*.partial"))


def test_tells_the_cost_and_does_not_begin_unasked(run, data):
    done = run()
    assert done.exit_code != 0
    assert "4 of 4 recordings are to be downloaded: 0.00 GiB, about 0.0 h" in done.output
    assert "say --yes to begin; nothing was downloaded." in str(done.exception)
    assert not (data / "amicorpus").exists()


def test_downloads_once(run, site, data):
    done = run("--yes")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "4 of 4 recordings are in" in done.output
    assert all(same(site, data, meeting) for meeting in sum(MEETINGS.values(), []))
    assert not left(data) and not audio(data / "amicorpus", "ES2011a", "Array1-01").exists()

    site.seen.clear()
    assert run("--yes").exit_code == 0 and not site.seen  # all is there: sizes alone were asked
    audio(data / "amicorpus", "ES2011a").write_bytes(b"half of it")
    done = run("--mic", "array", "--mic", "headset", "--subset", "development", "--yes")
    assert done.exit_code == 0 and "2 of 2 recordings are to be" in done.output
    assert same(site, data, "ES2011a") and same(site, data, "ES2011a", "Array1-01")


def test_goes_on_where_the_connection_ended(run, site, data):
    site.cut_after = 40_000  # of 96044 bytes
    done = run("--subset", "test", "--yes")
    assert done.exit_code == 0, (done.output, done.exception)
    assert same(site, data, "EN2002a") and not left(data)
    name = "EN2002a.Mix-Headset.wav"
    probe, *rest = site.seen
    assert rest == [name, f"{name} bytes=40000-", f"{name} bytes=80000-"]


def test_goes_on_after_an_end(run, site, data, download, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    site.cut_after = 40_000
    done = run("--subset", "test", "--yes")
    assert "40000 of 96044 bytes are there" in str(done.exception)
    assert "the same command goes on" in str(done.exception)
    assert left(data) == ["EN2002a.Mix-Headset.wav.partial"]
    assert not audio(data / "amicorpus", "EN2002a").exists()
    site.cut_after = None
    site.seen.clear()
    assert run("--subset", "test", "--yes").exit_code == 0
    assert site.seen[-1].endswith("bytes=40000-")
    assert same(site, data, "EN2002a") and not left(data)


def test_a_server_without_ranges(run, site, data):
    site.ranges = False
    part = audio(data / "amicorpus", "EN2002a").with_suffix(".wav.partial")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    done = run("--subset", "test", "--yes")
    assert done.exit_code == 0 and same(site, data, "EN2002a") and not left(data)


def test_a_wrong_size_is_told_and_nothing_is_kept(run, site, data):
    site.lie = 10
    done = run("--subset", "test", "--yes")
    assert done.exit_code != 0
    assert "ended after 96044 bytes, and 96054 were told" in done.output
    assert "1 of 1 recordings are missing" in str(done.exception)
    site.lie = -10
    done = run("--subset", "test", "--yes")
    assert "has 96044 bytes, and 96034 were told" in done.output
    assert not left(data) and not audio(data / "amicorpus", "EN2002a").exists()


def test_what_is_no_audio_is_told_and_others_come(run, site, data):
    audio(site.folder, "IS1000a").write_bytes(b"<html>Sorry</html>" * 99)
    done = run("--yes")
    assert done.exit_code != 0
    assert "IS1000a.Mix-Headset.wav is no audio that can be decoded" in done.output
    assert "1 of 4 recordings are missing" in str(done.exception)
    assert same(site, data, "EN2002a") and not left(data)


def test_absent_ones_are_told_and_left_out(run, site, data, repository):
    audio(site.folder, "IS1003b").unlink()
    done = run("--yes")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "1 recordings are not on the server: IS1003b (Mix-Headset)." in done.output
    assert "3 of 4 recordings are in" in done.output
    registry = Registry()
    registry.load_database(data / "amicorpus" / "database.yml")
    name = "SpeakerDiarization.only_words"
    there = registry.get_protocol(f"AMI.{name}", preprocessors={"audio": FileFinder(registry)})
    other = registry.get_protocol(f"AMI-SDM.{name}")
    content = yaml.safe_load((data / "amicorpus" / "database.yml").read_text())
    lists = content["Protocols"]["AMI"]["SpeakerDiarization"]["only_words"]["train"]
    assert lists["annotation"] == "../ami/only_words/rttms/train/{uri}.rttm"
    for subset, meetings in MEETINGS.items():
        uem = data / "ami" / "uems" / subset
        uem.mkdir(parents=True)
        rttm = data / "ami" / "only_words" / "rttms" / subset
        rttm.mkdir(parents=True)
        for uri in meetings:
            (uem / f"{uri}.uem").write_text(f"{uri} 1 0 3\n")
            (rttm / f"{uri}.rttm").write_text(f"SPEAKER {uri} 1 0 1 <NA> <NA> A <NA> <NA>\n")
    assert [file["uri"] for file in there.train()] == ["IS1000a"]
    assert all(file["audio"].is_file() for file in (*there.train(), *there.test()))
    assert [file["uri"] for file in other.train()] == MEETINGS["train"]


def test_no_network_no_lists_no_room(run, site, data, download, monkeypatch):
    done = run("--yes", url="http://127.0.0.1:1")
    assert "IS1000a.Mix-Headset.wav cannot be reached: ConnectionRefusedError" in str(
        done.exception
    )
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert "the disk of" in str(run("--yes").exception)
    (data / "ami" / "lists" / "train.meetings.txt").unlink()
    assert "git clone https://github.com/BUTSpeechFIT" in str(run("--yes").exception)
    assert not (data / "amicorpus").exists()


def test_as_a_program_it_says_one_sentence(repository, tmp_path):
    done = subprocess.run(
        [sys.executable, repository / "recipes/ami/download.py", tmp_path, "--yes"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("download.py: ") and "is missing: git clone" in done.stderr


def test_fetch_without_any_answer(download, tmp_path):
    with requests.Session() as session, pytest.raises(ConnectionError, match="0 of 9 bytes"):
        download.fetch(session, "http://127.0.0.1:1/x", tmp_path / "x", 9)
    assert not any(tmp_path.iterdir())


# ---- the official protocol, simulated audio standing in for the recordings ----------------------

NAME = "AMI.SpeakerDiarization.only_words"
STAND_IN_S = 30.0  # of every meeting
VOICE_S = 6.0


def buzz(seed: int) -> np.ndarray:
    """Syllables of a voice that nobody has."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(VOICE_S * 16000)) / 16000
    pitch_hz = rng.uniform(90, 250)
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2, 4) * time), 0, None)
    return 0.1 * syllables * sum(np.sin(2 * np.pi * h * pitch_hz * time) / h for h in range(1, 9))


@pytest.fixture(scope="module")
def stand_in(recipe, shared, tmp_path_factory) -> Path:
    """database.yml of all of AMI, the first seconds of each meeting spoken by nobody."""
    folder = tmp_path_factory.mktemp("ami")
    files = []
    for k in range(8):
        soundfile.write(folder / f"{k}.wav", buzz(k), 16000)
        files.append(VoiceFile(folder / f"{k}.wav", f"buzz{k}", "buzz", [(0.0, VOICE_S)]))
    bank = VoiceBank.from_files(files)
    module = recipe("ami/stand_in.py")
    return module.make(shared, folder / "out", bank, STAND_IN_S)


def test_official_protocol_from_the_top_database(stand_in, repository):
    assert stand_in.read_bytes() == (repository / "database.yml").read_bytes()
    registry = Registry()
    registry.load_database(stand_in)
    protocol = registry.get_protocol(NAME, preprocessors={"audio": FileFinder(registry)})
    subsets = [list(subset()) for subset in (protocol.train, protocol.development, protocol.test)]
    assert [len(files) for files in subsets] == [136, 18, 16]
    for file in sum(subsets, []):
        assert soundfile.info(file["audio"]).frames == STAND_IN_S * 16000
        assert file["annotated"].extent().end <= STAND_IN_S


def test_evaluate_and_fine_tune(stand_in, tmp_path, monkeypatch):
    """The commands of recipes/ami/README.md; what they measure here says nothing about AMI."""
    pretrained = str(pyannote_drz.PRETRAINED)

    def scored(pipeline: str, name: str = NAME) -> str:
        words = [pipeline, name, "--registry", str(stand_in), "--subset", "test"]
        done = CliRunner().invoke(evaluate.app, words)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    for name in (NAME, NAME.replace("AMI", "AMI-SDM")):  # all headsets mixed; Array1
        said = scored(pretrained, name)
        assert f"### {name}, test" in said and "16 files, 480 s of audio" in said
        assert "| nobody speaks | 100.0 |" in said

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.CACHE", tmp_path / "cache")
    words = [
        f"registry={stand_in}", f"protocol={NAME}", f"task.real={NAME}", "task.real_ratio=0.7",
        "task.duration=15", "model=Pretrained", f"model.checkpoint={pretrained}",
        "optimizer.lr=1e-4", "hydra.run.dir=run",
        "trainer.max_steps=2", "task.batch_size=2", "task.num_workers=0",
        "task.chunks_per_epoch=4", "task.validation_conversations=1", "trainer.limit_val_batches=2",
        "trainer.accelerator=cpu", "trainer.num_sanity_val_steps=0",
        "trainer.enable_model_summary=false",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["pyannote-audio-train", *words])
    try:
        train.main()
    finally:
        GlobalHydra.instance().clear()
    assert "16 files, 480 s of audio" in scored("run/pipeline")
