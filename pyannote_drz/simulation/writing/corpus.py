"""A corpus: simulated conversations as files, which pyannote.database reads as a protocol.

    OUT/
      database.yml                       protocol NAME.SpeakerDiarization.Simulated
      train.yml                          what the training subset was made with
      train.lst, train.uem               its conversations, once all are there
      audio/NAME-train-000000.flac …
      rttm/NAME-train-000000.rttm …

Conversation k is drawn from (seed, subset, k) and nothing else: it has the same bytes whoever makes
it, in whatever order. It is there when its RTTM is there, which is written last.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ..acoustics.noises import NoiseBank
from ..config import SimulationConfig
from ..mixing import Conversation, Simulator
from ..speakers.voices import VoiceBank, VoiceFile
from ..turn_taking.turns import Turn, TurnSource
from .encoding import write_audio, write_text

SUBSETS = ("train", "development", "test")
PREVIEW = "preview"  # folder inside OUT that is no part of the corpus


@dataclass(frozen=True)
class Ingredients:
    """What a simulator is made of; small enough to be sent to every worker.

    Attributes
    ----------
    voices : list of VoiceFile
    turns : TurnSource
    config : SimulationConfig
    cache : Path
        Folder where decoded voices are kept.
    noise : Path, optional
        CSV manifest of recorded noise.
    noise_split : str
    """

    voices: list[VoiceFile]
    turns: TurnSource
    config: SimulationConfig
    cache: Path
    noise: Path | None = None
    noise_split: str = "train"

    def simulator(self) -> Simulator:
        """Load voices and noise."""
        noises = self.noise and NoiseBank.from_manifest(self.noise, self.noise_split)
        bank = VoiceBank.cached(self.voices, self.cache)
        return Simulator(bank, self.turns, self.config, noises)


class Corpus:
    """One subset of a corpus in its folder.

    Parameters
    ----------
    folder : Path
    subset : {"train", "development", "test"}
    seed : int
    duration_s : float
        Of every conversation.
    file_format : {"flac", "opus", "wav"}
    scope : {"database", "global"}
        Of the speakers' labels.
    made_with : mapping of plain data
        Whatever else the conversations depend on.
    """

    def __init__(
        self,
        folder: Path,
        subset: str,
        seed: int,
        duration_s: float,
        file_format: str,
        scope: str,
        made_with: Mapping,
    ):
        self.folder, self.subset, self.seed, self.duration_s = folder, subset, seed, duration_s
        self.format = file_format
        self.name = database_name(folder)
        settings = {
            "name": self.name,
            "seed": seed,
            "duration": duration_s,
            "format": file_format,
            "scope": scope,
            **made_with,
        }
        self.settings = yaml.safe_load(yaml.safe_dump(settings, sort_keys=False))  # as if read

    def uri(self, index: int) -> str:
        return f"{self.name}-{self.subset}-{index:06d}"

    def audio(self, index: int) -> Path:
        return self.folder / "audio" / f"{self.uri(index)}.{self.format}"

    def rttm(self, index: int) -> Path:
        return self.folder / "rttm" / f"{self.uri(index)}.rttm"

    def begin(self, count: int) -> list[int]:
        """Make the folder, or go on in it.

        Parameters
        ----------
        count : int
            Conversations that shall be there in the end.

        Returns
        -------
        missing : list of int
            Conversations still to make.

        Raises
        ------
        ValueError
            The folder holds something else, the subset was made with other settings, or it has
            more conversations already.
        """
        path = self.folder / f"{self.subset}.yml"
        if path.is_file():
            there = yaml.safe_load(path.read_text())
            if not isinstance(there, Mapping) or "conversations" not in there:
                raise ValueError(f"{path} is of something else: choose another folder.")
            num_there = there.pop("conversations")
            there, now = _flat(there), _flat(self.settings)
            different = [
                f"{key}: {there.get(key)} there, {now.get(key)} now"
                for key in sorted({*there, *now})
                if there.get(key) != now.get(key)
            ]
            if different:
                raise ValueError(
                    f"{self.folder} holds a {self.subset} subset made with other settings "
                    f"({'; '.join(different)}): choose another folder."
                )
            if num_there > count:
                raise ValueError(
                    f"{self.folder} holds or is to hold {num_there} {self.subset} conversations, "
                    f"more than {count}: ask for as many, or choose another folder."
                )
        elif self.folder.exists():
            if not self.folder.is_dir():
                raise ValueError(f"{self.folder} is no folder.")
            others = any(entry.name != PREVIEW for entry in self.folder.iterdir())
            if others and not any((self.folder / f"{s}.yml").is_file() for s in SUBSETS):
                raise ValueError(
                    f"{self.folder} holds files of something else: choose another folder."
                )
        for name in ("audio", "rttm"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f"*/{self.name}-{self.subset}-*.part"):
            left.unlink()  # by somebody who was killed
        settings = {"conversations": count, **self.settings}
        write_text(path, yaml.safe_dump(settings, sort_keys=False))
        return [k for k in range(count) if not (self.rttm(k).is_file() and self.audio(k).is_file())]

    def draw(self, simulator: Simulator, index: int) -> Conversation:
        """Draw conversation number `index`; touches no audio."""
        rng = np.random.default_rng([self.seed, SUBSETS.index(self.subset), index])
        return simulator.draw(rng, self.duration_s, with_prompts=False)

    def make(self, simulator: Simulator, index: int) -> Conversation:
        """Draw, render and write conversation number `index`."""
        conversation = self.draw(simulator, index)
        self.rttm(index).unlink(missing_ok=True)
        waveforms = simulator.render([conversation], "cpu").waveforms  # (1, samples)
        write_audio(self.audio(index), waveforms[0].numpy())
        labels = [simulator.bank.speakers[voice] for voice in conversation.voices]
        write_text(self.rttm(index), rttm(conversation.turns, self.uri(index), labels))
        return conversation

    def finish(self, count: int) -> None:
        """Write lists and database.yml, once all conversations are there."""
        uris = [self.uri(index) for index in range(count)]
        write_text(
            self.folder / f"{self.subset}.uem",
            "".join(f"{uri} 1 0.000 {self.duration_s:.3f}\n" for uri in uris),
        )
        write_text(self.folder / f"{self.subset}.lst", "".join(f"{uri}\n" for uri in uris))
        write_text(self.folder / "database.yml", database_yml(self.folder))

    @property
    def protocol(self) -> str:
        return f"{self.name}.SpeakerDiarization.Simulated"


def _flat(settings: Mapping, prefix: str = "") -> dict:
    """Nested settings under dotted names."""
    flat = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def num_conversations(hours: float, duration_s: float) -> int:
    """Conversations that make at least so many hours."""
    return math.ceil(round(hours * 3600 / duration_s, 6))


def database_name(folder: Path) -> str:
    """Name of a database, after its folder; what pyannote.database cannot have in one is "-"."""
    name = "".join(c if c.isalnum() and c.isascii() or c == "_" else "-" for c in folder.name)
    return name.strip("-") or "simulated"


def rttm(turns: Iterable[Turn], uri: str, labels: list[str]) -> str:
    """Turns as RTTM, in milliseconds; speaker k is called `labels[k]`."""
    lines = []
    for start_s, end_s, speaker in turns:
        start_s, end_s = round(start_s, 3), round(end_s, 3)
        label = "_".join(labels[speaker].split())
        lines.append(
            f"SPEAKER {uri} 1 {start_s:.3f} {end_s - start_s:.3f} <NA> <NA> {label} <NA> <NA>\n"
        )
    return "".join(lines)


def database_yml(folder: Path) -> str:
    """`database.yml` of all subsets of the folder that are complete."""
    name, formats, subsets, scopes = database_name(folder), set(), {}, set()
    for subset in SUBSETS:
        if not (folder / f"{subset}.lst").is_file():
            continue
        settings = yaml.safe_load((folder / f"{subset}.yml").read_text())
        formats.add(settings["format"])
        scopes.add(settings["scope"])
        subsets[subset] = {
            "uri": f"{subset}.lst",
            "annotation": "rttm/{uri}.rttm",
            "annotated": f"{subset}.uem",
        }
    scope = "global" if scopes == {"global"} else "database"
    content = {
        "Databases": {name: [f"audio/{{uri}}.{kind}" for kind in sorted(formats)]},
        "Protocols": {name: {"SpeakerDiarization": {"Simulated": {"scope": scope, **subsets}}}},
    }
    return yaml.safe_dump(content, sort_keys=False)
