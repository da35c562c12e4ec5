"""Voices: single-speaker speech in memory, cut at pauses into pieces."""

import hashlib
import os
import warnings
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch

from ...io.atomic import atomic_write
from ..reading import read_mono
from ..slices import SAMPLE_RATE
from .likeness import Likeness, find_likeness

FRAME = SAMPLE_RATE // 100  # 10 ms, of the energy that finds pauses
THRESHOLD_DB = 30.0  # speech is within 30 dB of a region's loud frames (its 95th percentile)
MIN_PAUSE_S = 0.15  # shorter dips are stop closures (up to about 0.15 s), not pauses
MIN_PIECE_S = 0.12  # about one short syllable
MARGIN_S = 0.03  # kept on both sides of a piece: weak onsets and decays
FORMAT = 2  # of cache files: raise it when pieces are cut in another way

# One piece of a voice.
PIECE = np.dtype(
    [
        ("start", np.int64),  # first sample, in the bank
        ("length", np.int64),  # in samples
        ("speaker", np.int64),  # in the bank
        ("utterance", np.int64),  # region it comes from, unique in the bank
        ("gain", np.float32),  # int16 sample -> sample of speech with a root mean square of 1
    ]
)


class VoiceFile(NamedTuple):
    """Where one speaker is heard alone."""

    path: str | Path
    speaker: str
    source: str  # collection it comes from: recordings that sound alike
    regions: Sequence[tuple[float, float]]  # (start_s, end_s), each one utterance


class VoiceBank:
    """All voices at hand, in one tensor.

    Attributes
    ----------
    samples : Tensor
        (total,) int16 at 16 kHz: the pieces, one after the other.
    pieces : ndarray
        (num_pieces,) of `PIECE`, sorted by speaker, each speaker's in order of time.
    speakers, sources : list of str
        Label and collection of every speaker.
    likeness : Likeness, optional
        Who sounds like whom; None until `embeddings` are set.
    """

    def __init__(
        self, samples: torch.Tensor, pieces: np.ndarray, speakers: list[str], sources: list[str]
    ):
        self.samples, self.pieces, self.speakers, self.sources = samples, pieces, speakers, sources
        numbers = np.arange(len(speakers))
        self._begins = np.searchsorted(pieces["speaker"], numbers, side="left")
        self._ends = np.searchsorted(pieces["speaker"], numbers, side="right")
        lengths = np.bincount(pieces["speaker"], pieces["length"], len(speakers))
        self.speech_s = lengths / SAMPLE_RATE  # (speakers,) distinct speech of every voice
        names = sorted(set(sources))
        self.source_names = names
        self.source_of = np.array([names.index(source) for source in sources])  # (speakers,)
        self.longest_s = [  # per source, its voices' speech in falling order
            np.sort(self.speech_s[self.source_of == k])[::-1] for k in range(len(names))
        ]
        self._embeddings: np.ndarray | None = None
        self.likeness: Likeness | None = None

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def embeddings(self) -> np.ndarray | None:
        """What an encoder hears in every voice, (speakers, dimensions) float32 of any length.

        None, unless set: banks neither make nor save them.

        Raises
        ------
        ValueError
            When set, if there is not one of finite numbers for every speaker.
        """
        return self._embeddings

    @embeddings.setter
    def embeddings(self, embeddings: np.ndarray | None) -> None:
        self.likeness = None
        if embeddings is not None:
            embeddings = np.asarray(embeddings, dtype=np.float32)
            if embeddings.ndim != 2 or len(embeddings) != len(self):
                raise ValueError(
                    f"a bank of {len(self)} speakers takes ({len(self)}, dimensions) embeddings, "
                    f"not {embeddings.shape}."
                )
            bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
            if len(bad):
                raise ValueError(f"the embedding of '{self.speakers[bad[0]]}' is not finite.")
            self.likeness = find_likeness(embeddings)
        self._embeddings = embeddings

    def pieces_of(self, speaker: int) -> np.ndarray:
        """Pieces of a speaker: a view of `pieces`."""
        return self.pieces[self._begins[speaker] : self._ends[speaker]]

    @classmethod
    def from_files(cls, files: Iterable[VoiceFile | tuple]) -> "VoiceBank":
        """Read the files and cut their regions into pieces.

        Parameters
        ----------
        files : iterable of (path, speaker, source, regions)
            See `VoiceFile`. A speaker may come in several files.

        Raises
        ------
        ValueError
            If there is no file, a file is missing or cannot be read, or no speech is found.
        """
        files = sorted((VoiceFile(*file) for file in files), key=lambda f: (f.speaker, str(f.path)))
        if not files:
            raise ValueError("no voice to load: the list of files is empty.")
        for file in files:
            if not os.path.isfile(file.path):
                raise ValueError(f"audio file '{file.path}' of voice '{file.speaker}' is missing.")
        speakers: list[str] = []
        sources: list[str] = []
        chunks: list[np.ndarray] = []
        tables: list[np.ndarray] = []
        total, utterances = 0, 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves the interpreter's lock
            for file, (samples, pieces) in zip(files, pool.map(_read_pieces, files)):
                if len(pieces) == 0:
                    continue
                if not speakers or speakers[-1] != file.speaker:
                    speakers.append(file.speaker)
                    sources.append(file.source)
                pieces["speaker"] = len(speakers) - 1
                pieces["start"] += total
                pieces["utterance"] += utterances
                total, utterances = total + len(samples), utterances + len(file.regions)
                chunks.append(samples)
                tables.append(pieces)
        if not speakers:
            raise ValueError(f"no speech was found in the {len(files)} files given.")
        samples = torch.from_numpy(np.concatenate(chunks))
        return cls(samples, np.concatenate(tables), speakers, sources)

    def at_speeds(self, speeds: Sequence[float]) -> "VoiceBank":
        """Bank of these voices, and after them every voice at each of the speeds, as somebody else.

        Played faster, people sound like other people: pitch and formants move together
        (Yamamoto et al., "Speaker augmentation and bandwidth extension", Interspeech 2019).

        Parameters
        ----------
        speeds : sequence of float
            1 is the speed of the recording.

        Raises
        ------
        ValueError
            If a speed is not within 0.5 and 2, or is 1, or comes twice.
        """
        if any(not 0.5 <= speed <= 2 or speed == 1 for speed in speeds):
            raise ValueError(f"speeds must be within 0.5 and 2, and not 1, got {list(speeds)}.")
        if len(set(speeds)) < len(speeds):
            raise ValueError(f"every speed must come once, got {list(speeds)}.")
        samples, pieces = [self.samples], [self.pieces]
        speakers, num_utterances = list(self.speakers), int(self.pieces["utterance"].max()) + 1
        total = len(self.samples)
        for k, speed in enumerate(speeds, start=1):
            played = torch.from_numpy(_play(self.samples.numpy(), speed))
            table = self.pieces.copy()
            end = (table["start"] + table["length"]) / speed
            table["start"] = np.ceil(table["start"] / speed)
            table["length"] = np.minimum(np.floor(end), len(played)) - table["start"]
            table["start"] += total
            table["speaker"] += k * len(self)
            table["utterance"] += k * num_utterances
            samples.append(played)
            pieces.append(table)
            speakers += [f"{speaker} x {speed:g}" for speaker in self.speakers]
            total += len(played)
        sources = list(self.sources) * (1 + len(speeds))
        return VoiceBank(torch.cat(samples), np.concatenate(pieces), speakers, sources)

    def save(self, path: str | Path) -> None:
        """Write the bank to a file, all of it or nothing."""
        content = {
            "format": FORMAT,
            "samples": self.samples,
            "speakers": self.speakers,
            "sources": self.sources,
            "pieces": torch.from_numpy(self.pieces.view(np.uint8).copy()),
        }
        content["checksum"] = _checksum(content)
        with atomic_write(path) as part:
            torch.save(content, part)

    @classmethod
    def load(cls, path: str | Path) -> "VoiceBank":
        """Read a bank that `save` wrote; the samples stay on disk until they are needed.

        Raises
        ------
        ValueError
            The file was cut or altered, or is of another format.
        """
        try:
            content = torch.load(path, mmap=True, weights_only=True)
            if content.get("format") != FORMAT or content["checksum"] != _checksum(content):
                raise ValueError("its format or checksum is another")
            pieces = content["pieces"].numpy().copy().view(PIECE)
            return cls(content["samples"], pieces, content["speakers"], content["sources"])
        except Exception as error:  # what torch says of random bytes has many types
            raise ValueError(
                f"'{path}' is no voice bank of format {FORMAT}, or was damaged ({error}): build it "
                f"again."
            ) from error

    @classmethod
    def cached(
        cls,
        files: Iterable[VoiceFile | tuple],
        cache_dir: str | Path,
        speeds: Sequence[float] = (),
    ) -> "VoiceBank":
        """`from_files` and `at_speeds`, remembered in `cache_dir` under a key made of the content.

        The key holds paths, sizes, times of modification, speakers, sources, regions and speeds.
        """
        files = [VoiceFile(*file) for file in files]
        key = hashlib.sha256(f"voices {FORMAT}".encode())
        for file in sorted(files, key=lambda f: (f.speaker, str(f.path))):
            if not os.path.isfile(file.path):
                raise ValueError(f"audio file '{file.path}' of voice '{file.speaker}' is missing.")
            stat = os.stat(file.path)
            regions = [(float(start), float(end)) for start, end in file.regions]
            key.update(
                repr(
                    (str(file.path), stat.st_size, stat.st_mtime_ns, file.speaker, file.source)
                    + (regions,)
                ).encode()
            )
        if speeds:
            key.update(repr([float(speed) for speed in speeds]).encode())
        path = Path(cache_dir) / f"voices-{key.hexdigest()[:16]}.pt"
        if path.is_file():
            try:
                return cls.load(path)
            except ValueError as error:  # cut or altered: it is made again
                warnings.warn(str(error), stacklevel=2)
        bank = cls.from_files(files)
        if speeds:
            bank = bank.at_speeds(speeds)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            bank.save(path)
        except OSError as error:  # a cache is a convenience
            warnings.warn(f"decoded voices cannot be kept for the next time: {error}", stacklevel=2)
        return bank


def _checksum(content: dict) -> int:
    """Of all that a file of voices holds; some seconds for hours of audio."""
    checksum = zlib.crc32(repr((content["speakers"], content["sources"])).encode())
    for name in ("pieces", "samples"):
        checksum = zlib.crc32(content[name].numpy(), checksum)
    return checksum


def _play(samples: np.ndarray, speed: float) -> np.ndarray:
    """(samples,) int16 played at another speed, block by block to keep memory small."""
    resampler = soxr.ResampleStream(SAMPLE_RATE * speed, SAMPLE_RATE, 1, dtype="int16")
    block = 600 * SAMPLE_RATE
    played = [
        resampler.resample_chunk(samples[first : first + block], first + block >= len(samples))
        for first in range(0, len(samples), block)
    ]
    return np.concatenate(played)


def find_speech(audio: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of speech between pauses, as (first, last + 1) sample, found by energy.

    `audio` is one region, (samples,) float32.
    """
    num_frames = len(audio) // FRAME
    if num_frames < 3:
        return []
    frames = audio[: num_frames * FRAME].reshape(num_frames, FRAME)
    power = np.einsum("nf,nf->n", frames, frames) / FRAME
    power = np.convolve(power, np.full(3, 1 / 3), mode="same")  # 30 ms
    loud = np.sort(power)[int(0.95 * (num_frames - 1))]
    if loud < 1e-9:  # -90 dBFS: digital silence
        return []
    active = np.concatenate([[0], power > loud * 10 ** (-THRESHOLD_DB / 10), [0]]).astype(np.int8)
    change = np.flatnonzero(np.diff(active))
    begins, ends = change[::2], change[1::2]
    keep = (begins[1:] - ends[:-1]) * 0.01 >= MIN_PAUSE_S  # pauses; the other gaps are closed
    begins = begins[np.concatenate([[True], keep])]
    ends = ends[np.concatenate([keep, [True]])]
    margin = int(MARGIN_S * SAMPLE_RATE)
    return [
        (max(b * FRAME - margin, 0), min(e * FRAME + margin, len(audio)))
        for b, e in zip(begins.tolist(), ends.tolist())
        if (e - b) * 0.01 >= MIN_PIECE_S
    ]


def _read_pieces(file: VoiceFile) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of a file, (samples,) int16, and their table of `PIECE` (speaker not filled)."""
    audio = read_mono(file.path)
    chunks, rows, total = [], [], 0
    for utterance, (start_s, end_s) in enumerate(file.regions):
        if not 0 <= start_s < end_s:
            raise ValueError(f"region {start_s}..{end_s} s of '{file.path}' is not a stretch.")
        region = audio[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
        found = find_speech(region)
        if not found:
            continue
        pieces = [region[begin:end] for begin, end in found]
        power = sum(float(np.dot(p, p)) for p in pieces) / sum(len(p) for p in pieces)
        gain = 1 / (32768 * power**0.5)
        for piece in pieces:
            rows.append((total, len(piece), 0, utterance, gain))
            total += len(piece)
            chunks.append((piece * 32768).clip(-32768, 32767).astype(np.int16))
    table = np.array(rows, dtype=PIECE)
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), table
