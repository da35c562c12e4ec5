import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from pyannote_drz.evaluation import evaluate
from pyannote_drz.evaluation.systems import Peer

# Says of every file but silence that somebody speaks in its first second.
SCRIPT = """
import sys
from pathlib import Path
for path in map(Path, sys.argv[1:]):
    if path.stem != "silence":
        print(f"SPEAKER {path.stem} 1 0.000 1.000 <NA> <NA> s0 <NA> <NA>")
"""


@pytest.fixture
def command(tmp_path) -> str:
    (tmp_path / "peer.py").write_text(SCRIPT)
    return f"{sys.executable} {tmp_path / 'peer.py'}"


def files(folder: Path, *names: str) -> list[dict]:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, np.zeros(16000), 16000)
    return [{"uri": f"uri of {name}", "audio": folder / name} for name in names]


def test_peer_answers_every_file_in_order(command, tmp_path):
    peer = Peer(command)
    assert peer.start.wall_s > 0 and peer.start.cpu_s > 0
    answers, spent = peer.diarize(files(tmp_path, "b.wav", "a.wav"))
    assert [answer.uri for answer in answers] == ["b", "a"]
    assert [answer.get_timeline().duration() for answer in answers] == [1, 1]
    assert spent.wall_s > 0
    silent, _ = peer.diarize(files(tmp_path, "silence.wav"))
    assert not silent[0]


def test_peers_that_cannot_be_run(command, tmp_path):
    with pytest.raises(ValueError, match="command '/no/such' cannot be run"):
        Peer("/no/such")
    with pytest.raises(ValueError, match="is empty"):
        Peer(" ")
    missing = f"{sys.executable} -c 'import no_such_peer'"
    with pytest.raises(ValueError, match="failed .status 1.: .*No module named 'no_such_peer'"):
        Peer(missing)
    with pytest.raises(ValueError, match="prints no RTTM: 'hello'"):
        Peer(f"{sys.executable} -c 'print(\"hello\")'")
    with pytest.raises(ValueError, match="several are 'a'"):
        Peer(command).diarize(files(tmp_path, "one/a.wav", "two/a.wav"))


def test_a_peer_in_the_table(command, shared, tmp_path):
    into = tmp_path / "out.json"
    protocol = "AMIExcerpts.SpeakerDiarization.only_words"
    common = [protocol, "--registry", f"{shared}/database.yml"]
    rttm = ["--rttm", f"{shared}/ami_excerpts/development.rttm"]
    arguments = [*rttm, *common, "--limit", "2", "--json", str(into)]
    result = CliRunner().invoke(evaluate.app, [*arguments, "--peer", command])
    assert result.exit_code == 0, result.output
    assert "| peer |" in result.output and "hardware: cpu" in result.output
    of = json.loads(into.read_text())["protocols"][protocol]
    heard = [file["speech"] - file["miss"] for file in of["systems"]["peer"]["files"]]
    assert len(heard) == 2 and max(heard) <= 1.0 + 1e-6 and of["peer_cpu_seconds"] > 0
    result = CliRunner().invoke(evaluate.app, [*arguments, "--peer", "no-such-peer"])
    assert result.exit_code == 2 and "no-such-peer" in result.output
