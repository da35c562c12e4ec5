"""Rehearse the recipe without AMI's 10.7 GiB: simulated audio that stands in for the recordings.

    python recipes/ami/stand_in.py data /tmp/rehearsal --seconds 60
    python -m pyannote_drz.evaluate pyannote_drz/pretrained AMI.SpeakerDiarization.only_words \
        --registry /tmp/rehearsal/database.yml --subset test

Every meeting of AMI's lists gets its first seconds: AMI's own references and names, other people's
voices in other rooms, and a UEM that ends there. What is measured on it shows that the commands
work, and nothing about AMI.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pyannote.database.util import load_uem
from rich.progress import track

from pyannote_drz.cli.simulate import load_protocol
from pyannote_drz.simulation import SimulationConfig, Simulator, Turn, VoiceBank, read_rttm
from pyannote_drz.simulation.turn_taking.turns import cut_window
from pyannote_drz.simulation.writing.encoding import write_audio, write_text
from pyannote_drz.tasks.material import CACHE, protocol_voices

TOP = Path(__file__).resolve().parents[2] / "database.yml"
SUBSETS = ("train", "dev", "test")
MICS = ("Mix-Headset", "Array1-01")


class Script:
    """Turns that are given."""

    turns: list[Turn]

    def sample(self, rng: np.random.Generator, duration_s: float) -> list[Turn]:
        return self.turns


def make(
    data: Path,
    out: Path,
    bank: VoiceBank,
    seconds: float,
    mics: Sequence[str] = MICS,
    seed: int = 0,
) -> Path:
    """Write `out`/database.yml, and all that it names of AMI.

    Parameters
    ----------
    data : Path
        Has ami/, BUT's setup.
    out : Path
        New folder.
    bank : VoiceBank
        Who speaks.
    seconds : float
        Of every meeting, from its beginning.
    mics : sequence of str, optional
        As in file names. Each is another cast in other rooms.
    seed : int, optional

    Raises
    ------
    FileExistsError
        `out` is there already.
    """
    out.mkdir(parents=True)
    shutil.copy(TOP, out)
    shutil.copytree(data / "ami", out / "data" / "ami")
    script = Script()
    simulator = Simulator(bank, script, SimulationConfig(empty_share=0.0))
    meetings = [
        (subset, uri)
        for subset in SUBSETS
        for uri in (data / "ami" / "lists" / f"{subset}.meetings.txt").read_text().split()
    ]
    for number, (subset, uri) in enumerate(track(meetings, "AMI's stand-ins")):
        [turns] = read_rttm([data / "ami" / "only_words" / "rttms" / subset / f"{uri}.rttm"])
        people: dict[int, int] = {}
        script.turns = [
            Turn(start_s, end_s, people.setdefault(who, len(people)))
            for start_s, end_s, who in cut_window(turns, 0.0, seconds)
        ]
        for mic, name in enumerate(mics):
            rng = np.random.default_rng([seed, number, mic])
            conversation = simulator.draw(rng, seconds, with_prompts=False)
            path = out / "data" / "amicorpus" / uri / "audio" / f"{uri}.{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_audio(path, simulator.render([conversation], "cpu").waveforms[0].numpy())
        uem = data / "ami" / "uems" / subset / f"{uri}.uem"
        [annotated] = load_uem(uem).values()
        end_s = min(seconds, annotated.extent().end)
        write_text(
            out / "data" / "ami" / "uems" / subset / f"{uri}.uem", f"{uri} 1 0.000 {end_s:.3f}\n"
        )
    return out / "database.yml"


def main(
    data: Annotated[Path, typer.Argument(help="Folder that database.yml calls data.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Of every meeting.")] = 60.0,
    voices: Annotated[str, typer.Option(help="Protocol.")] = "Voices.SpeakerDiarization.Voices",
    registry: Annotated[Path, typer.Option(exists=True, dir_okay=False)] = TOP,
) -> None:
    """Simulate the first seconds of all of AMI, for both microphones."""
    files = protocol_voices(load_protocol(voices, registry), "development")
    print(make(data, out, VoiceBank.cached(files, CACHE), seconds))


if __name__ == "__main__":
    typer.run(main)
