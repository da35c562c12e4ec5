"""`Pix2SeqDiarization`: from a recording to who spoke when.

    features > chunks > cluster their local speakers > stitch

and, where two passes are asked for, shorter chunks after prompts of their speakers; or, online,
chunk after chunk. Either way labels stay with their speakers over the file. What happens is in
offline.py and online.py; this is how it is called.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral
from pathlib import Path

import torch
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin
from pyannote.audio.utils.reproducibility import fix_reproducibility
from pyannote.core import Annotation
from pyannote.database import ProtocolFile
from pyannote.metrics.diarization import GreedyDiarizationErrorRate
from rich.progress import track
from torch import Tensor

from ..io.audio import Audio, AudioFile
from ..io.errors import InputError
from ..io.longs import is_long, read_long, rewindable
from ..io.scratch import Scratch
from ..models.encoders import Features
from ..models.parallel import mapped, num_workers
from ..models.pix2seq import Pix2SeqDiarizer
from ..storage.sources import ModelSource, model_of
from .batches import Job, no_hook, run
from .chunks import ChunkRequest, ChunkResult, decode_chunks
from .enrollment import call_by_name, enroll
from .hyper_parameters import HyperParameters
from .offline import Diarization, Settings, diarize
from .online import Stream, check_step
from .output import Pix2SeqOutput, make_output
from .stitching import Turn, clip

PRETRAINED_MODEL = str(Path(__file__).parents[1] / "pretrained" / "diarizer")

# Name -> recording of a voice.
KnownSpeakers = Mapping[str, AudioFile]


class Pix2SeqDiarization(SpeakerDiarizationMixin, HyperParameters):
    """Speaker diarization by writing turns.

    Parameters
    ----------
    model : Model, str, Path, or mapping, optional
        A `Pix2SeqDiarizer`, or where it is, see `sources.model_of`. Defaults to the packaged one.
    context : float, optional
        Seconds heard beyond either end of what a chunk tells, at inner edges (DESIGN.md,
        section 4: 3 to 5 s).
    batch_size : int, optional
        Chunks written at once. A CPU gains nothing from more than 8, a GPU does: try 64.
    token : str or bool, optional
    cache_dir : Path or str, optional
        Where `model` comes from the Hugging Face hub.

    Hyper-parameters
    ----------------
    threshold : float
        Turns that are less probable are dropped: higher means fewer false alarms and more misses.
        The probability of a turn is the geometric mean of those of its three tokens.
    newcomer_bias : float
        Log-odds added to those of a speaker who was not heard before in the chunk: higher means
        more speakers.
    min_duration_on : float
        Turns that are shorter, in seconds, are dropped, as by pyannote.audio; and those shorter
        than 20 ms, the resolution of time, always. Streams tell turns before they end: none is.
    min_duration_off : float
        A pause of one speaker shorter than that, in seconds, does not end a turn.
    clustering_threshold : float
        Clusters of local speakers whose embeddings have a lower cosine are different speakers:
        higher means more speakers. From 30 local speakers on, some minutes of conversation, the
        graph of who is most alike may show other numbers of speakers: see `clustering.cluster`.
    num_passes : int
        1: every chunk is heard once, without prompts.
        2: then the file is written again, in chunks that leave room for prompts in their windows:
        the best seconds of their speakers. Online there is one pass, with prompts from the past
        where this is 2.

    Examples
    --------
    >>> pipeline = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)
    >>> output = pipeline("meeting.wav")
    >>> for turn, speaker in output.speaker_diarization:
    ...     print(f"{turn.start:.1f} to {turn.end:.1f} s: {speaker}")
    """

    def __init__(
        self,
        model: ModelSource = PRETRAINED_MODEL,
        context: float = 4.0,
        batch_size: int = 8,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
    ):
        super().__init__()
        self.model = model_of(model, token=token, cache_dir=cache_dir)
        if not isinstance(self.model, Pix2SeqDiarizer):
            kind = type(self.model).__name__
            raise ValueError(f"model must be a Pix2SeqDiarizer, got {kind}.")
        duration = self.model.specifications.duration
        if not 0 <= context < duration / 2:
            raise ValueError(
                f"context must be from 0 s to less than half of a chunk of {duration:g} s, "
                f"got {context!r}."
            )
        if not (isinstance(batch_size, Integral) and batch_size >= 1):
            raise ValueError(f"batch_size must be a whole number from 1 up, got {batch_size!r}.")
        self.context = context
        self.batch_size = batch_size
        self._audio = Audio(sample_rate=self.model.hparams.sample_rate, mono="downmix")

    def classes(self) -> Iterator[str]:
        """SPEAKER_00, SPEAKER_01, …"""
        speaker = 0
        while True:
            yield f"SPEAKER_{speaker:02d}"
            speaker += 1

    def get_metric(self) -> GreedyDiarizationErrorRate:
        """What `pyannote-audio optimize` minimises: no collar, overlap scored."""
        return GreedyDiarizationErrorRate(collar=0.0, skip_overlap=False)

    # ---- calling --------------------------------------------------------------------------------

    def prepare_one(self, file: AudioFile, preload: bool = False) -> AudioFile:
        """Validate one file, without FFmpeg; `preload` is for pyannote's signature only."""
        prepared = Audio.validate_file(file)
        if isinstance(file, dict):  # hooks write into the caller's file, as in pyannote.audio
            file.setdefault("uri", prepared["uri"])
            prepared = Audio.validate_file(file)
        if hasattr(self, "preprocessors"):
            prepared = ProtocolFile(prepared, lazy=self.preprocessors)
        return prepared

    def __call__(
        self,
        file: AudioFile | list[AudioFile],
        preload: bool = False,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known_speakers: KnownSpeakers | None = None,
        online: bool = False,
        step: float = 2.0,
        lookahead: float | None = None,
        hook: Callable | None = None,
        progress: bool = False,
    ) -> Pix2SeqOutput | Iterator[tuple[AudioFile, Pix2SeqOutput]]:
        """Diarize a file, or each of a list of files.

        pyannote's own `__call__` ends by measuring the file for its usage statistics with
        torchcodec, which fails without FFmpeg when all is done. This one reports no usage.

        Parameters
        ----------
        file : AudioFile or list of AudioFile
            See `apply` and `apply_batch`. Files of a list must have distinct `uri`s.
        preload : bool, optional
            Has no effect: each file is read once, as a whole.
        num_speakers, min_speakers, max_speakers, known_speakers, hook : optional
        online, step, lookahead : optional
            See `apply`. What a file has under "pipeline_kwargs" takes precedence.
        progress : bool, optional
            Show how many files of a list are done, as `pyannote-audio benchmark` asks.

        Returns
        -------
        output : Pix2SeqOutput, or iterator of (file, Pix2SeqOutput)
        """
        fix_reproducibility(self.model.device)
        if not self.instantiated:
            self.instantiate({})
        options = {
            "num_speakers": num_speakers,
            "min_speakers": min_speakers,
            "max_speakers": max_speakers,
            "known_speakers": known_speakers,
            "online": online,
            "step": step,
            "lookahead": lookahead,
            "hook": hook,
        }
        if not isinstance(file, list):
            prepared = self.prepare_one(file)
            return self.apply(prepared, **(options | prepared.get("pipeline_kwargs", {})))
        files = [self.prepare_one(one) for one in file]
        uris = [one["uri"] for one in files]
        duplicates = sorted({uri for uri in uris if uris.count(uri) > 1})
        if duplicates:
            raise ValueError(f"files of a list must have distinct uris, got twice: {duplicates}.")
        done = self.apply_batch(files, **options)
        return track(done, description="Files", total=len(files), disable=not progress)

    def apply(
        self,
        file: AudioFile,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known_speakers: KnownSpeakers | None = None,
        online: bool = False,
        step: float = 2.0,
        lookahead: float | None = None,
        hook: Callable | None = None,
    ) -> Pix2SeqOutput | Annotation:
        """Diarize one file.

        Parameters
        ----------
        file : AudioFile
            A path, an open binary file, `{"audio": either}` or `{"waveform", "sample_rate"}`, at
            any rate and with any number of channels, which are mixed.
        num_speakers : int, optional
            Number of speakers, when known: both of the following.
        min_speakers : int, optional
            Merging stops there; where chunks have fewer speakers, turns are told apart instead.
            Online, where labels are given at once, it has no effect. One warning tells when the
            audio does not give as many.
        max_speakers : int, optional
            Never exceeded.
        known_speakers : mapping, optional
            Name -> recording of that voice, as `file` is given: labels of the output are these
            names where these people speak, which is decided for the file as a whole;
            `output.scores` tells how sure that is. Whoever speaks most in a recording is meant.
            What an output has as `prompts` can be given for another file.
        online : bool, optional
            Hear the file as a stream, see `stream`: labels are told from the past alone.
        step, lookahead : float, optional
            See `stream`.
        hook : callable, optional
            Called as `hook("features", None, file=file, total=…, completed=…)` while the file is
            encoded, `hook("chunks", …)` and, with prompts, `hook("prompted chunks", …)` after each
            batch, and with "known speakers" before where there are any; as
            `hook("clustering", list of int, file=file)` when there are speakers; then as
            `hook("turns", list of Turn, file=file)` and
            `hook("diarization", Annotation, file=file)`.

        Returns
        -------
        output : Pix2SeqOutput
            Speakers are named by arrival. `exclusive_speaker_diarization` has no overlap;
            `confidence` is the probability of each turn; `prompts` are seconds of each speaker.
            While being optimized (`self.training`), the speaker diarization alone, which is what
            pyannote.pipeline's optimizer scores.

        Raises
        ------
        ValueError
            If audio cannot be read, if numbers of speakers or seconds are not possible, or if no
            voice is heard in a recording of a known speaker.
        """
        job = self._job(
            file, num_speakers, min_speakers, max_speakers, known_speakers, online, step,
            lookahead, hook,
        )  # fmt: skip
        (output,) = run([job], self.decode, self._at_once)
        return output

    def apply_batch(
        self,
        files: Iterable[AudioFile],
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known_speakers: KnownSpeakers | None = None,
        online: bool = False,
        step: float = 2.0,
        lookahead: float | None = None,
        hook: Callable | None = None,
    ) -> Iterator[tuple[AudioFile, Pix2SeqOutput]]:
        """Diarize many files, chunks of several of them at once.

        Parameters
        ----------
        files : iterable of AudioFile
            Opened as they are needed; those under way are in memory.
        num_speakers, min_speakers, max_speakers, known_speakers, hook : optional
        online, step, lookahead : optional
            See `apply`. What a file has under "pipeline_kwargs" takes precedence.

        Yields
        ------
        file, output : AudioFile, Pix2SeqOutput
            In order, the same as of `apply`.
        """
        given = {
            "num_speakers": num_speakers,
            "min_speakers": min_speakers,
            "max_speakers": max_speakers,
            "known_speakers": known_speakers,
            "online": online,
            "step": step,
            "lookahead": lookahead,
            "hook": hook,
        }
        under_way: list[AudioFile] = []

        def jobs() -> Iterator[tuple[Job, Callable]]:
            for file in files:
                file = Audio.validate_file(file)
                under_way.append(file)
                yield self._job(file, **(given | file.get("pipeline_kwargs", {})))

        for output in run(jobs(), self.decode, self._at_once):
            yield under_way.pop(0), output

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate: int = 16000,
        step: float = 2.0,
        lookahead: float | None = None,
        max_speakers: int | None = None,
        known_speakers: KnownSpeakers | None = None,
        uri: str = "stream",
    ) -> Stream:
        """Follow a stream, with prompts from its past alone.

        Parameters
        ----------
        blocks : iterable of (samples,) or (channel, samples) Tensor or array
            Of any sizes, which make no difference to what is told.
        sample_rate : int, optional
            Of the blocks, in Hz.
        step : float, optional
            In seconds: that much is told at a time. Each step hears a whole chunk again.
        lookahead : float, optional
            In seconds: that much is heard beyond what is told. Defaults to `context`.
        max_speakers : int, optional
            Never exceeded.
        known_speakers : mapping, optional
            See `apply`.
        uri : str, optional

        Returns
        -------
        stream : Stream
            Iterator of `Update`s; with `latency`, which is `step + lookahead`, and `output`.

        Raises
        ------
        ValueError
            If `step`, `lookahead` or `max_speakers` are not possible; while iterating, if a block
            is not audio.

        Examples
        --------
        >>> for update in pipeline.stream(microphone, sample_rate=16000, step=1.0):
        ...     for turn, speaker in update.diarization:
        ...         print(f"{turn.start:.1f} to {turn.end:.1f} s: {speaker}")
        """
        if not self.instantiated:
            self.instantiate({})
        _, _, most = _check_numbers(None, None, max_speakers)
        if not (isinstance(sample_rate, Integral) and sample_rate > 0):
            raise ValueError(f"sample_rate must be a number of hertz, got {sample_rate!r}.")
        settings = self.settings
        lookahead = self.context if lookahead is None else lookahead
        check_step(step, lookahead, settings)
        enrollment = enroll(self._recordings(known_speakers), settings)
        (enrolled,) = run([(enrollment, no_hook)], self.decode, self._at_once)
        taken = {one.name for one in enrolled}
        classes = (label for label in self.classes() if label not in taken)
        return Stream(
            blocks, sample_rate, settings, self.model.encoder, self.decode, step, lookahead,
            enrolled, most, classes, uri,
        )  # fmt: skip

    # ---- diarization ----------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What the parts of this pipeline need to know."""
        model = self.model
        return Settings(
            duration=model.specifications.duration,
            context=self.context,
            max_local_speakers=model.vocabulary.max_speakers,
            threshold=self.threshold,
            min_duration_off=self.min_duration_off,
            clustering_threshold=self.clustering_threshold,
            num_passes=int(self.num_passes),
        )

    def to(self, device: torch.device) -> Pix2SeqDiarization:
        """Move to a device, all of it; where that fails all of it stays where it was."""
        before = self.model.device
        try:
            return super().to(device)
        except BaseException:
            self.model.to(before)
            raise

    @property
    def _at_once(self) -> int:
        """Chunks under way."""
        return self.batch_size * num_workers(self.model.device)

    def decode(self, requests: list[ChunkRequest]) -> list[ChunkResult]:
        """Write windows of the same length; every chunk of every file comes by here."""
        size = -(-len(requests) // num_workers(self.model.device))
        parts = [requests[i : i + size] for i in range(0, len(requests), size)]

        def written(part: list[ChunkRequest]) -> list[ChunkResult]:
            return decode_chunks(self.model, part, self.newcomer_bias)

        results = mapped(written, parts, self.model.device)
        return [result for part in results for result in part]

    def encode(
        self,
        waveform: Tensor,
        hook: Callable | None = None,
        empty: Callable[..., Tensor] = torch.empty,
    ) -> Features:
        """Features of a recording, (samples,) at 16 kHz, once, in half precision."""

        def progress(completed: int, total: int) -> None:
            if hook is not None:
                hook("features", None, total=total, completed=completed)

        return self.model.encoder.encode_file(waveform, torch.float16, progress, empty)

    def _recordings(
        self, known_speakers: KnownSpeakers | None
    ) -> dict[str, tuple[Features, Tensor]]:
        known_speakers = {} if known_speakers is None else known_speakers
        if not isinstance(known_speakers, Mapping):
            kind = type(known_speakers).__name__
            raise ValueError(f"known_speakers must map names to recordings, got {kind}.")
        recordings = {}
        for name, recording in known_speakers.items():
            if not isinstance(name, str) or not name:
                raise ValueError(f"a known speaker must have a name, got {name!r}.")
            waveform = self._audio(recording)[0][0]  # (samples,)
            if not waveform.any():
                raise InputError(f"the recording of known speaker {name!r} is digital silence.")
            recordings[name] = (self.encode(waveform), waveform)
        return recordings

    def _job(
        self,
        file: AudioFile,
        num_speakers: int | None,
        min_speakers: int | None,
        max_speakers: int | None,
        known_speakers: KnownSpeakers | None,
        online: bool,
        step: float,
        lookahead: float | None,
        hook: Callable | None,
    ) -> tuple[Job, Callable]:
        """A file as a job of `run`; what is wrong with the call is told at once."""
        _, fewest, most = _check_numbers(num_speakers, min_speakers, max_speakers)
        asked = num_speakers or min_speakers or 0
        if online:
            check_step(step, self.context if lookahead is None else lookahead, self.settings)
        file = Audio.validate_file(file)
        scratch = Scratch()
        hook = scratch.after(self.setup_hook(file, hook))
        if online:
            job = self._online(file, most, known_speakers, step, lookahead, hook)
        else:
            job = self._offline(file, fewest, most, known_speakers, hook, scratch)
        return self._finish(job, file, asked, hook), hook

    def _offline(self, file, fewest, most, known_speakers, hook, scratch) -> Job:
        settings = self.settings
        enrolled = yield from enroll(self._recordings(known_speakers), settings)
        rate = self._audio.sample_rate
        with rewindable(file) as sound:
            if is_long(sound):  # all of it lies on the disk
                waveform, empty = read_long(sound, rate), scratch.empty
            else:
                waveform, empty = self._audio(sound)[0][0], torch.empty
        features = self.encode(waveform, hook, empty)
        turns, speakers = yield from diarize(features, waveform, settings, fewest, most, hook)
        turns = clip(turns, 0.0, len(waveform) / rate)  # the last position may end later
        shortest = max(self.min_duration_on, self.model.vocabulary.resolution)
        turns = [turn for turn in turns if turn.end - turn.start > shortest - 1e-6]
        told, known, scores = call_by_name(
            Diarization(turns, speakers), enrolled, features, waveform, fewest
        )
        turns, speakers = told
        hook("turns", turns)
        names = self._names(turns, known, {one.name for one in enrolled})
        return make_output(turns, speakers, names, file["uri"], rate, scores)

    def _online(self, file, most, known_speakers, step, lookahead, hook) -> Job:
        yield from ()  # a job, though each of its chunks waits for the one before
        waveform, rate = Audio(mono="downmix")(file)
        blocks = waveform[0].split(rate)  # any size will do
        stream = self.stream(
            blocks, rate, step, lookahead, None if most == float("inf") else most, known_speakers,
            file["uri"],
        )  # fmt: skip
        duration = waveform.shape[1] / rate
        total = max(1, math.ceil((duration - stream.latency) / step) + 1)
        hook("chunks", None, total=total, completed=0)
        for completed, _ in enumerate(stream, 1):
            hook("chunks", None, total=total, completed=min(completed, total))
        hook("chunks", None, total=total, completed=total)
        output = stream.output
        hook("turns", list(output.speaker_diarization.itertracks(yield_label=True)))
        return output

    def _finish(self, job: Job, file: AudioFile, asked: int, hook: Callable) -> Job:
        output = yield from job
        diarization = output.speaker_diarization
        number = len(diarization.labels())
        if number < asked:
            warnings.warn(
                f"{asked} speakers were asked for, {number} were heard in {file['uri']!r}.",
                stacklevel=2,
            )
        hook("diarization", diarization)
        return diarization if self.training else output

    def _names(self, turns: list[Turn], known: dict[int, str], taken: set[str]) -> dict[int, str]:
        """Labels by number: names of known speakers, SPEAKER_00 … by arrival for all others."""
        classes = (label for label in self.classes() if label not in taken)
        numbers = dict.fromkeys(turn.speaker for turn in turns)
        return {n: known.get(n) or next(classes) for n in numbers}


def _check_numbers(num_speakers, min_speakers, max_speakers) -> tuple[int | None, int, float]:
    """Numbers of speakers as pyannote.audio has them, or ValueError."""
    asked = {
        "num_speakers": num_speakers,
        "min_speakers": min_speakers,
        "max_speakers": max_speakers,
    }
    for name, value in asked.items():
        if value is not None and not (
            isinstance(value, Integral) and not isinstance(value, bool) and value >= 1
        ):
            raise ValueError(f"{name} must be a whole number from 1 up, got {value!r}.")
    return SpeakerDiarizationMixin.set_num_speakers(**asked)
