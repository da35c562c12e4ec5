"""`Pix2SeqDiarization`: from a recording to who spoke when.

    chunk > prompts of people known so far > model writes turns > letters become people > stitch

Chunk after chunk, each with prompts from its past: labels stay with their people over the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from numbers import Integral
from pathlib import Path

from pyannote.audio.core.pipeline import Pipeline
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.audio.pipelines.utils import PipelineModel, SpeakerDiarizationMixin, get_model
from pyannote.audio.utils.reproducibility import fix_reproducibility
from pyannote.core import Annotation, Segment
from pyannote.database import ProtocolFile
from pyannote.metrics.diarization import GreedyDiarizationErrorRate
from pyannote.pipeline.parameter import Uniform
from torch import Tensor

from ..audio import Audio, AudioFile
from ..decoding import transcribe
from ..models.pix2seq import Pix2SeqDiarizer, Prompts
from ..tokens import MERGE_GAP
from .people import People
from .prompts import choose, cut
from .stitching import Turn, clip, exclusive, merge, split

PRETRAINED_MODEL = str(Path(__file__).parents[1] / "pretrained" / "diarizer")


class Pix2SeqDiarization(SpeakerDiarizationMixin, Pipeline):
    """Speaker diarization by writing turns.

    Parameters
    ----------
    model : Model, str, or dict, optional
        A `Pix2SeqDiarizer`, as pyannote.audio's `get_model` takes it. Defaults to the packaged one.
    context : float, optional
        Seconds heard beyond either end of what a chunk tells, at inner edges (DESIGN.md,
        section 4: 3 to 5 s).
    token : str or bool, optional
    cache_dir : Path or str, optional
        Where `model` comes from the Hugging Face hub.

    Hyper-parameters
    ----------------
    threshold : float
        Turns that are less probable are dropped: higher means fewer false alarms and more misses.
        The probability of a turn is the geometric mean of those of its three tokens.
    min_duration_off : float
        A pause of one speaker shorter than that, in seconds, does not end a turn.

    Examples
    --------
    >>> pipeline = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)
    >>> output = pipeline("meeting.wav")
    >>> for turn, speaker in output.speaker_diarization:
    ...     print(f"{turn.start:.1f} to {turn.end:.1f} s: {speaker}")
    """

    def __init__(
        self,
        model: PipelineModel = PRETRAINED_MODEL,
        context: float = 4.0,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
    ):
        super().__init__()
        self.model = get_model(model, token=token, cache_dir=cache_dir)
        if not isinstance(self.model, Pix2SeqDiarizer):
            kind = type(self.model).__name__
            raise ValueError(f"model must be a Pix2SeqDiarizer, got {kind}.")
        duration = self.model.specifications.duration
        if not 0 <= context < duration / 2:
            raise ValueError(
                f"context must be from 0 s to less than half of a chunk of {duration:g} s, "
                f"got {context!r}."
            )
        self.context = context
        self._audio = Audio(sample_rate=self.model.hparams.sample_rate, mono="downmix")

        self.threshold = Uniform(0.0, 1.0)
        self.min_duration_off = Uniform(0.0, 1.0)

    def default_parameters(self) -> dict[str, float]:
        """Keep all turns; pauses as in the targets that the model has learnt."""
        return {"threshold": 0.0, "min_duration_off": MERGE_GAP}

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
        hook: Callable | None = None,
    ) -> DiarizeOutput | Iterator[tuple[AudioFile, DiarizeOutput]]:
        """Diarize a file, or each of a list of files.

        pyannote's own `__call__` ends by measuring the file for its usage statistics with
        torchcodec, which fails without FFmpeg when all is done. This one reports no usage.

        Parameters
        ----------
        file : AudioFile or list of AudioFile
            See `apply`. Files of a list must have distinct `uri`s.
        preload : bool, optional
            Has no effect: each file is read once, as a whole.
        num_speakers, min_speakers, max_speakers, hook : optional
            See `apply`. What a file has under "pipeline_kwargs" takes precedence.

        Returns
        -------
        output : DiarizeOutput, or iterator of (file, DiarizeOutput)
        """
        fix_reproducibility(self.model.device)
        if not self.instantiated:
            self.instantiate(self.default_parameters())
        options = {
            "num_speakers": num_speakers,
            "min_speakers": min_speakers,
            "max_speakers": max_speakers,
            "hook": hook,
        }

        def diarize(prepared: AudioFile) -> DiarizeOutput:
            return self.apply(prepared, **(options | prepared.get("pipeline_kwargs", {})))

        if not isinstance(file, list):
            return diarize(self.prepare_one(file))
        files = [self.prepare_one(one) for one in file]
        uris = [one["uri"] for one in files]
        duplicates = sorted({uri for uri in uris if uris.count(uri) > 1})
        if duplicates:
            raise ValueError(f"files of a list must have distinct uris, got twice: {duplicates}.")
        return ((one, diarize(one)) for one in files)

    # ---- diarization ----------------------------------------------------------------------------

    def write(self, waveform: Tensor, prompts: Prompts | None, max_speakers: int) -> list[Turn]:
        """Turns of one chunk.

        Parameters
        ----------
        waveform : (samples,) Tensor
        prompts : Prompts or None
            A batch of one.
        max_speakers : int
            Letters that may be used, prompted ones included.

        Returns
        -------
        turns : list of Turn
            In seconds from the beginning of the chunk; speakers are letters, counted from 0.
        """
        waveforms = waveform[None].to(self.model.device)  # (1, samples)
        tokens, probabilities = transcribe(self.model, waveforms, prompts, max_speakers)
        vocabulary = self.model.vocabulary
        triplets = vocabulary.to_triplets(tokens[0].tolist())
        per_token = probabilities[0, : 3 * len(triplets)].view(-1, 3)  # (turns, 3)
        return [
            Turn(start * vocabulary.resolution, end * vocabulary.resolution, speaker, probability)
            for (start, end, speaker), probability in zip(
                triplets, per_token.log().mean(1).exp().tolist(), strict=True
            )
        ]

    def transcribe_file(self, waveform: Tensor, max_speakers: float, hook: Callable) -> list[Turn]:
        """Turns of a whole file, (samples,); speakers are numbers of people."""
        rate = self.model.hparams.sample_rate
        chunks = split(
            len(waveform),
            duration=round(self.model.specifications.duration * rate),
            context=round(self.context * rate),
            tail=self.model.bin_samples,  # too short to be written
        )
        num_letters = min(self.model.vocabulary.max_speakers, max_speakers)
        people, turns = People(max_speakers), []
        hook("chunks", None, total=len(chunks), completed=0)
        for completed, chunk in enumerate(chunks, 1):
            start, first, last = chunk.start / rate, chunk.first / rate, chunk.last / rate
            # While somebody else may come, a letter is kept for them.
            others = len(people) < max_speakers or len(people) > num_letters
            prompted = choose(people.known, num_letters - others, now=start)
            prompts = cut(waveform, rate, prompted, self.model.device)

            heard = self.write(waveform[chunk.start : chunk.stop], prompts, num_letters)
            heard = [
                turn._replace(start=start + turn.start, end=start + turn.end)
                for turn in heard
                if turn.probability >= self.threshold
            ]
            who = people.recognise(heard, prompted, turns, (start, first, last))
            emitted = [
                turn._replace(speaker=who[turn.speaker].number) for turn in clip(heard, first, last)
            ]
            people.remember(emitted)
            turns += emitted
            hook("chunks", None, total=len(chunks), completed=completed)
        return merge(turns, self.min_duration_off)

    def apply(
        self,
        file: AudioFile,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        hook: Callable | None = None,
    ) -> DiarizeOutput | Annotation:
        """Diarize one file.

        Parameters
        ----------
        file : AudioFile
            A path, an open binary file, `{"audio": either}` or `{"waveform", "sample_rate"}`, at
            any rate and with any number of channels, which are mixed.
        num_speakers : int, optional
            Number of speakers, when known.
        min_speakers : int, optional
            A warning tells when fewer are heard.
        max_speakers : int, optional
            Never exceeded.
        hook : callable, optional
            Called as `hook("chunks", None, file=file, total=…, completed=…)` after each chunk, then
            as `hook("turns", list of Turn, file=file)` and
            `hook("diarization", Annotation, file=file)`.

        Returns
        -------
        output : DiarizeOutput
            Speakers are named by arrival. `exclusive_speaker_diarization` has no overlap.
            While being optimized (`self.training`), the speaker diarization alone, which is what
            pyannote.pipeline's optimizer scores.

        Raises
        ------
        ValueError
            If the audio cannot be read, or if numbers of speakers are not possible.
        """
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
        _, _, max_speakers = self.set_num_speakers(**asked)

        file = Audio.validate_file(file)
        hook = self.setup_hook(file, hook)
        waveform = self._audio(file)[0][0]  # (samples,)
        turns = self.transcribe_file(waveform, max_speakers, hook)
        hook("turns", turns)

        numbers = list(dict.fromkeys(turn.speaker for turn in turns))  # by arrival
        names = dict(zip(numbers, self.classes(), strict=False))
        wanted = num_speakers or asked["min_speakers"] or 0
        if len(names) < wanted:
            warnings.warn(
                f"{wanted} speakers were asked for, {len(names)} were heard in {file['uri']!r}.",
                stacklevel=2,
            )

        diarization = self._annotate(turns, names, file["uri"])
        hook("diarization", diarization)
        if self.training:
            return diarization
        return DiarizeOutput(
            speaker_diarization=diarization,
            exclusive_speaker_diarization=self._annotate(exclusive(turns), names, file["uri"]),
            speaker_embeddings=None,
        )

    def _annotate(self, turns: list[Turn], names: dict[int, str], uri: str) -> Annotation:
        annotation = Annotation(uri=uri)
        for track, turn in enumerate(turns):
            annotation[Segment(turn.start, turn.end), track] = names[turn.speaker]
        return annotation
