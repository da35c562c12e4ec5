"""Material of conversations: voices of pyannote.database protocols, scripts, plain random turns."""

from __future__ import annotations

import hashlib
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..io.atomic import atomic_write
from ..io.errors import InputError, one_line
from ..models.encoders.campplus import SAMPLE_RATE, CAMPPlus
from ..models.encoders.features import WEIGHTS
from ..simulation import RandomTurns, VoiceBank, VoiceFile

if TYPE_CHECKING:
    from pyannote.database.protocol import SpeakerDiarizationProtocol

# Where decoded voices are kept, so that the next run starts in seconds.
CACHE = Path(os.environ.get("PYANNOTE_DRZ_CACHE", "~/.cache/pyannote_drz")).expanduser()

SUBSETS = ("train", "development", "test")


def protocol_voices(protocol: SpeakerDiarizationProtocol, subset: str) -> list[VoiceFile]:
    """Voices of one subset of a protocol: at least two people, each heard alone somewhere.

    Raises
    ------
    ValueError
        There is no such subset, its labels have file scope, nobody is heard alone, or one person
        only is.
    FileNotFoundError
        Audio is missing.
    """
    name = protocol.name
    if subset not in SUBSETS:
        raise ValueError(f"subset must be {', '.join(SUBSETS[:-1])} or test, not '{subset}'.")
    try:
        files = list(getattr(protocol, subset)())
    except (AttributeError, NotImplementedError):
        raise ValueError(f"protocol {name} has no {subset} subset.") from None
    voices = list(voice_files(files))
    speakers = {voice.speaker for voice in voices}
    if not speakers and files and all(file["scope"] == "file" for file in files):
        raise ValueError(
            f"protocol {name} ({subset}) has labels of file scope, which do not tell people apart: "
            f"there are no voices to make conversations of."
        )
    if not speakers:
        raise ValueError(
            f"protocol {name} ({subset}) has no single-speaker speech: there are no voices to make "
            f"conversations of."
        )
    if len(speakers) == 1:
        raise ValueError(
            f"protocol {name} ({subset}) has one speaker only ({speakers.pop()}): conversations "
            f"take two."
        )
    return voices


def voice_files(files: Iterable[Mapping]) -> Iterator[VoiceFile]:
    """Who is heard alone, and where.

    Parameters
    ----------
    files : iterable of ProtocolFile
        Labels of file scope are left out: they do not tell people apart.

    Yields
    ------
    file : VoiceFile
        One for each speaker of each file. Its source is the file's "source" if it has one, the
        part of the URI before "--" if there is one, or else the database.
    """
    for file in files:
        scope = file["scope"]
        if scope == "file":
            continue
        annotation = file["annotation"].crop(file["annotated"])
        labels = annotation.labels()
        overlap = annotation.get_overlap() if len(labels) > 1 else None
        source = file.get("source") or _source(file["uri"], file["database"])
        for label in labels:
            alone = annotation.label_timeline(label)
            if overlap:
                alone = alone.extrude(overlap)
            regions = [(segment.start, segment.end) for segment in alone]
            if not regions:
                continue
            if not Path(file["audio"]).is_file():
                raise FileNotFoundError(f"audio of {file['uri']} is missing: {file['audio']}.")
            speaker = label if scope == "global" else f"{file['database']}|{label}"
            yield VoiceFile(file["audio"], speaker, source, regions)


def _source(uri: str, database: str) -> str:
    prefix, dashes, _ = uri.partition("--")
    return prefix if dashes else database


# s; what is heard of a voice to find those like it. CAM++ tells stretches of 2 s apart with 3.5 %
# equal error rate (DESIGN.md, section 3).
EMBEDDED_S = 5.0
CHECKSUM_BYTES = 4  # after what NumPy writes
EMBEDDED_AT = 0.05  # root mean square of that: -26 dBFS


@torch.inference_mode()
def bank_embeddings(bank: VoiceBank, encoder: CAMPPlus, cache: Path) -> np.ndarray:
    """Speaker embedding of every voice of a bank, (speakers, 192); kept in `cache`."""
    key = hashlib.sha256((WEIGHTS / "campplus.safetensors").read_bytes())
    key.update(repr((bank.speakers, EMBEDDED_S)).encode())
    key.update(bank.pieces.tobytes())  # where voices are and how loud: as good as all samples
    path = Path(cache) / f"embeddings-{key.hexdigest()[:16]}.npy"
    if path.is_file():
        try:
            return _kept_embeddings(path)
        except (OSError, ValueError, EOFError) as error:  # cut or altered: made again
            warnings.warn(f"{path} is made again: {error}", stacklevel=2)
    embeddings = np.zeros((len(bank), encoder.mean.shape[0]), dtype=np.float32)
    for speaker in range(len(bank)):
        pieces = bank.pieces_of(speaker)
        speech = torch.cat(
            [
                bank.samples[start : start + length].float() * gain
                for start, length, gain in zip(pieces["start"], pieces["length"], pieces["gain"])
            ]
        )[: round(EMBEDDED_S * SAMPLE_RATE)]
        missing = max(0, SAMPLE_RATE // 2 - len(speech))  # half a second at least
        speech = torch.nn.functional.pad(EMBEDDED_AT * speech, (0, missing))
        embeddings[speaker] = encoder(speech[None])[0].numpy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        np.save(content, embeddings)
        checksum = zlib.crc32(content.getvalue()).to_bytes(CHECKSUM_BYTES, "big")
        with atomic_write(path) as part:
            part.write_bytes(content.getvalue() + checksum)
    except OSError as error:  # a cache is a convenience
        warnings.warn(f"embeddings cannot be kept for the next time: {error}", stacklevel=2)
    return embeddings


def _kept_embeddings(path: Path) -> np.ndarray:
    """Embeddings of a file.

    Raises
    ------
    ValueError, OSError, EOFError
        It was cut or altered.
    """
    content = path.read_bytes()
    array, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if zlib.crc32(array).to_bytes(CHECKSUM_BYTES, "big") != checksum:
        raise ValueError("its checksum is another")
    return np.load(BytesIO(array), allow_pickle=False)


def rttm_paths(scripts: str | Path | Sequence[str | Path]) -> list[Path]:
    """RTTM files, those of folders included, sorted.

    Raises
    ------
    FileNotFoundError
        A path does not exist, or a folder holds no RTTM file.
    """
    paths = []
    for path in [scripts] if isinstance(scripts, (str, Path)) else scripts:
        found = sorted(Path(path).glob("**/*.rttm")) if Path(path).is_dir() else [Path(path)]
        if not found or not found[0].is_file():
            raise FileNotFoundError(f"no scripts (RTTM) at {path}.")
        paths += found
    return paths


def plain_turns(parameters: Mapping, max_speakers: int) -> RandomTurns:
    """Plain random turns, of no more speakers than the language has.

    Raises
    ------
    InputError
        There is no such parameter, it is out of its range, or asks for more speakers.
    """
    try:
        turns = RandomTurns(**parameters)
    except (TypeError, InputError) as error:  # TypeError: there is no such parameter
        raise InputError(f"random_turns: {one_line(error)}") from None
    for name in {"min_speakers", "max_speakers"} & parameters.keys():
        if parameters[name] > max_speakers:
            raise InputError(
                f"random_turns.{name} ({parameters[name]}) must not be above max_speakers "
                f"({max_speakers})."
            )
    turns.max_speakers = min(turns.max_speakers, max_speakers)
    return turns
