"""`SyntheticPix2SeqDiarization`: learn to diarize from conversations made of single voices."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch.utils.data import get_worker_info
from torch_audiomentations import Shift, TimeInversion
from torch_audiomentations.augmentations.mix import Mix
from torchmetrics import Metric

from ..io.checked import Share, checks_arguments, number, whole
from ..io.errors import InputError
from ..models.encoders import FeatureEncoder, Features
from ..simulation import (
    Conversation,
    FittedTurns,
    MixedTurns,
    NoiseBank,
    ReplayedTurns,
    RoomBank,
    SimulationConfig,
    Simulator,
    VoiceBank,
    other_kinds,
)
from ..simulation.config import MAX_SPEAKERS
from ..simulation.turn_taking.fitted import AMI
from ..simulation.turn_taking.turns import TurnSource
from ..tokens import Vocabulary
from .batches import Batch, Cut, Drawn, Progress, batch_of
from .learning import WritingTask
from .material import CACHE, bank_embeddings, plain_turns, protocol_voices, rttm_paths
from .objective import Objective
from .real import RealChunk, RealConversations
from .shards import POSITION_S, Encoded, ShardSet
from .windows import Window, cut, cut_prompted

SAMPLE_RATE = 16000  # Hz, of the simulator
MOVES_SPEECH = (Mix, Shift, TimeInversion)  # augmentations that turns would have to follow
FULL_SHARE = 0.6  # of batches are as long as can be; the others are of any length
# Short recordings are no parts of long ones: the encoders hear nothing beyond their ends. Half of
# the short windows are whole conversations.
WHOLE_SHARE = 0.5


class SyntheticPix2SeqDiarization(WritingTask):
    """Speaker diarization as writing a sequence, learnt from simulated conversations.

    Speakers are the single-speaker regions of the protocol's files. Conversations are made on the
    fly and never repeat, or come from `features` that were made once, ten times as fast.

    Parameters
    ----------
    protocol : SpeakerDiarizationProtocol
        Its labels must have database or global scope: they tell voices apart.
    cache : str, optional
        Folder where decoded voices are kept. Defaults to ~/.cache/pyannote_drz.
    speeds : sequence of float, optional
        Training voices are also played at these speeds, as other people, (0.9, 1.1) for example.
    duration : float, optional
        Duration of chunks, in seconds, and longest chunk that the model can read.
    min_duration : float, optional
        Each batch draws its duration between `min_duration` and `duration`, in whole seconds.
        Defaults to `duration`.
    max_speakers : int, optional
        Of the language, prompted ones included.
    chunks_per_epoch : int, optional
        An epoch is that many conversations.
    validation_conversations : int, optional
        Simulated conversations to validate on, of development voices; always the same.
    scripts : path or list of paths, optional
        RTTM files, or folders of them, whose windows are re-voiced.
    random_turns : dict, optional
        Parameters of the plain generator, see `pyannote_drz.simulation.RandomTurns`.
    scripts_ratio : float, optional
        Share of conversations that follow `scripts`, if there are any.
    turn_model : path, optional
        Fitted turn-taking model, see `pyannote_drz.simulation.FittedTurns`. Defaults to AMI's,
        which is packaged.
    fitted_ratio : float, optional
        Share of conversations that follow `turn_model`.
    other_ratio : float, optional
        Share of conversations of other kinds: monologues with short questions, crowds of 5 to 8,
        one speaker only. What the three shares leave are plain random turns.
    noise : path, optional
        CSV manifest of recorded noise, see `pyannote_drz.simulation.NoiseBank`.
    rooms : path, optional
        NPZ file of room responses, see `pyannote_drz.simulation.RoomBank`. Validation does without:
        it stays comparable, and never hears rooms that were trained in.
    simulation : dict or SimulationConfig, optional
        Configuration of the simulator.
    features : path or list of paths, optional
        Folders of `recipes/synthetic/make_features.py`, to learn from.
    fresh_ratio : float, optional
        Share of examples that are simulated now, where there are `features`; else all are.
    prompt_ratio : float, optional
        Share of batches that come with prompts.
    real : SpeakerDiarizationProtocol, optional
        Annotated conversations. Their development files, and those of `protocol`, are validated
        on; their training files are learnt from, if `real_ratio` says so.
    real_ratio : float, optional
        Share of chunks cut out of real training conversations.
    objective : dict or Objective, optional
        Weights of the losses.
    batch_size, num_workers, pin_memory, augmentation, metric
        See `pyannote.audio.core.task.Task`. Augmentations must leave speech where it is.

    Raises
    ------
    InputError
        An argument is of another kind, or out of its range.
    ValueError
        The protocol has labels of file scope only, no single-speaker speech, or one speaker.
    FileNotFoundError
        Audio is missing.
    """

    @checks_arguments
    def __init__(
        self,
        protocol: SpeakerDiarizationProtocol,
        cache: str | Path | None = None,
        speeds: Sequence[number(0.25, 4)] | None = None,
        duration: number(0.5, 60) = 30.0,
        min_duration: number(1, 60) | None = None,
        max_speakers: whole(2, 26) = 8,
        chunks_per_epoch: whole(1) = 10_000,
        validation_conversations: whole(0) = 100,
        scripts: str | Path | Sequence[str | Path] | None = None,
        random_turns: Mapping | None = None,
        scripts_ratio: Share = 0.5,
        turn_model: str | Path | None = None,
        fitted_ratio: Share = 0.0,
        other_ratio: Share = 0.0,
        noise: str | Path | None = None,
        rooms: str | Path | None = None,
        simulation: Mapping | SimulationConfig | None = None,
        features: str | Path | Sequence[str | Path] | None = None,
        fresh_ratio: Share = 0.0,
        prompt_ratio: Share = 0.5,
        real: SpeakerDiarizationProtocol | None = None,
        real_ratio: Share = 0.0,
        objective: Mapping | Objective | None = None,
        batch_size: whole(1, 2**16) = 32,
        num_workers: whole(0, 1024) | None = None,
        pin_memory: bool = False,
        augmentation: torch.nn.Module | None = None,
        metric: Metric | Sequence[Metric] | dict[str, Metric] | None = None,
    ):
        ratios = (fitted_ratio, other_ratio, 0.0 if scripts is None else scripts_ratio)
        if sum(ratios) > 1 + 1e-6:
            raise ValueError(
                f"scripts_ratio ({scripts_ratio}), fitted_ratio ({fitted_ratio}) and other_ratio "
                f"({other_ratio}) must not sum to more than 1."
            )
        if min_duration is not None and min_duration > duration:
            raise InputError(
                f"min_duration must be at most duration ({duration} s), got {min_duration} s."
            )
        for transform in () if augmentation is None else augmentation.modules():
            if isinstance(transform, MOVES_SPEECH):
                raise ValueError(
                    f"augmentation must leave speech where it is, as turns do not follow: "
                    f"{type(transform).__name__} does not."
                )
        self.random_turns = plain_turns(random_turns or {}, max_speakers)
        self.simulation = SimulationConfig.of(simulation)
        self.objective = Objective.of(objective)
        if real_ratio > 0 and real is None:
            raise ValueError(f"real_ratio={real_ratio} needs conversations: real=….")
        super().__init__(
            protocol,
            duration=duration,
            min_duration=min_duration,
            batch_size=batch_size,
            num_workers=num_workers,
            pin_memory=pin_memory,
            augmentation=augmentation,
            metric=metric,
        )
        self.speeds = tuple(speeds or ())
        self.has_validation = True  # conversations can always be simulated
        self.cache = CACHE if cache is None else Path(cache)
        self.max_speakers = max_speakers
        self.chunks_per_epoch = chunks_per_epoch
        self.validation_conversations = validation_conversations
        self.scripts, self.scripts_ratio = scripts, scripts_ratio
        self.turn_model, self.fitted_ratio = turn_model, fitted_ratio
        self.other_ratio = other_ratio
        self.noise, self.rooms = noise, rooms
        self.features = [features] if isinstance(features, (str, Path)) else features
        self.fresh_ratio = 1.0 if features is None else fresh_ratio
        self.prompt_ratio = prompt_ratio
        self.real, self.real_ratio = real, real_ratio
        self._banks: dict[str, VoiceBank] = {}  # of each subset
        self._is_set_up = False

        self.vocabulary = Vocabulary(duration=duration, max_speakers=max_speakers)
        self.specifications = Specifications(
            problem=Problem.MULTI_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=self.duration,
            min_duration=self.min_duration,
            classes=list(self.vocabulary.labels),
            permutation_invariant=True,
        )

    def __getstate__(self) -> dict:
        """What spawned workers need: neither protocols, which cannot be sent, nor the model."""
        state = {**self.__dict__, "protocol": None, "real": None, "trainer": None, "_banks": {}}
        if state.get("model") is not None:
            state["model"] = self._progress()
        return state

    def _progress(self) -> Progress:
        if isinstance(self.model, Progress):
            return self.model
        per_step = getattr(self.trainer, "accumulate_grad_batches", 1)
        return Progress(self.model.global_rank, self.model.global_step * per_step)

    # ---- data -----------------------------------------------------------------------------------

    def prepare_data(self):
        """Decode all voices, once; later runs find them in the cache."""
        if self.fresh_ratio > 0:
            self._bank("train")
        self._bank("development")

    def _bank(self, subset: Literal["train", "development"]) -> VoiceBank:
        """Voices of a subset; training voices where there are no others to validate on."""
        if subset not in self._banks:
            speeds = self.speeds if subset == "train" else ()
            try:
                files = protocol_voices(self.protocol, subset)
            except ValueError:
                if subset == "train":
                    raise
                self._banks[subset] = self._bank("train")
            else:
                bank = VoiceBank.cached(files, self.cache, speeds)
                if self.simulation.similar_share > 0:
                    bank.embeddings = bank_embeddings(bank, FeatureEncoder().campplus, self.cache)
                self._banks[subset] = bank
        return self._banks[subset]

    def _turns(self) -> TurnSource:
        """Who speaks when."""
        sources, ratios = [], []
        if self.scripts is not None:
            paths = rttm_paths(self.scripts)
            sources.append(ReplayedTurns.from_rttm(paths, self.max_speakers))
            ratios.append(self.scripts_ratio)
        if self.fitted_ratio > 0:
            people = min(self.max_speakers, MAX_SPEAKERS)
            model = AMI if self.turn_model is None else self.turn_model
            sources.append(FittedTurns.load(model, people))
            ratios.append(self.fitted_ratio)
        if self.other_ratio > 0:
            sources.append(other_kinds(min(self.max_speakers, MAX_SPEAKERS)))
            ratios.append(self.other_ratio)
        return MixedTurns([self.random_turns, *sources], [max(0.0, 1 - sum(ratios)), *ratios])

    def setup(self, stage: str | None = None):
        """Load voices, scripts, noise and real conversations into memory, once."""
        if self._is_set_up:  # Lightning sets up for every stage, and so do those who fine-tune
            return
        turns = self._turns()

        def noises(split: str) -> NoiseBank | None:
            return self.noise and NoiseBank.from_manifest(self.noise, split)

        rooms = self.rooms and RoomBank.from_file(self.rooms)
        if self.fresh_ratio > 0:
            self.simulator = Simulator(
                self._bank("train"), turns, self.simulation, noises("train"), rooms
            )
        self.validation_simulator = Simulator(
            self._bank("development"), turns, self.simulation, noises("test")
        )

        protocols = {self.protocol.name: self.protocol}
        if self.real is not None:  # which may be the same: voices and conversations of one corpus
            protocols[self.real.name] = self.real
        development = (file for protocol in protocols.values() for file in _development(protocol))
        self.real_validation = RealConversations(development, SAMPLE_RATE)
        self.real_validation.warn_of_short(self.duration, "validated on")
        self.windows = self.real_validation.windows(self.duration)
        if self.real_ratio > 0:
            self.real_training = RealConversations(self.real.train(), SAMPLE_RATE)
            self.real_training.check(self.duration)
        self.shards = None if self.features is None else ShardSet(self.features)
        self._is_set_up = True

    def train__iter__(self) -> Iterator[tuple[Conversation | RealChunk | Window, Cut]]:
        """Draw examples, endlessly: the same for any number of workers and processes.

        Of step k of the run, the examples that rank r learns from are numbers r * batch_size to
        (r + 1) * batch_size - 1, each drawn with its own seed; worker w of W draws every W-th step.
        So a run that goes on after it was killed hears what it would have heard.
        All examples of a step, which will be one batch on every rank, share their duration and
        whether they have prompts, so that nothing is padding and no rank waits.
        """
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, num_batches = self._progress()
        run = int(os.environ.get("PL_GLOBAL_SEED", 0))
        for step in itertools.count(num_batches + first, every):
            rng = np.random.default_rng([0, run, step])
            duration_s = self.duration
            if self.min_duration < self.duration and rng.random() >= FULL_SHARE:
                duration_s = float(rng.integers(int(self.min_duration), int(self.duration) + 1))
            prompted = bool(rng.random() < self.prompt_ratio)
            for row in range(self.batch_size):
                seed = [1, run, step, rank * self.batch_size + row]
                what = Cut(math.ceil(duration_s / POSITION_S - 1e-6), prompted, seed)
                yield self._draw(np.random.default_rng(seed), duration_s, what), what

    def _draw(
        self, rng: np.random.Generator, duration_s: float, what: Cut
    ) -> Conversation | RealChunk | Encoded:
        """Something that a window can be cut out of."""
        if rng.random() < self.real_ratio:
            return self.real_training.draw(rng, duration_s)
        if rng.random() >= self.fresh_ratio:
            whole = not what.prompted and rng.random() < WHOLE_SHARE
            found = self.shards.draw(
                rng,
                at_least=2 * what.num_positions if what.prompted else what.num_positions,
                exactly=what.num_positions if whole and duration_s < self.duration else None,
            )
            if found is None:  # nothing is that long: without prompts then
                found = self.shards.draw(rng, at_least=what.num_positions, exactly=None)
            if found is None:
                raise ValueError(f"no conversation of {self.features} lasts {duration_s} s.")
            return found
        return self.simulator.draw(rng, (1 + what.prompted) * duration_s, with_prompts=False)

    def train__len__(self) -> int:
        """Conversations of an epoch, for each of the processes that share it."""
        num_processes = 1 if self.trainer is None else self.trainer.world_size
        return max(self.batch_size, self.chunks_per_epoch // num_processes)

    def val__getitem__(self, index: int) -> Conversation | RealChunk:
        """A simulated conversation of development voices, then a window of a real one."""
        if index < self.validation_conversations:
            rng = np.random.default_rng([0, index])
            return self.validation_simulator.draw(rng, self.duration, with_prompts=False)
        file, start_s = self.windows[index - self.validation_conversations]
        return self.real_validation.chunk(file, start_s, self.duration)

    def val__len__(self) -> int:
        return self.validation_conversations + len(self.windows)

    def collate_fn(self, batch: list, stage: Literal["train", "val"] = "train") -> Drawn:
        if stage == "val":
            whole = math.ceil(self.duration / POSITION_S - 1e-6)
            batch = [(example, Cut(whole, False, [0])) for example in batch]
        examples, cuts = zip(*batch)
        return Drawn(list(examples), list(cuts))

    def _encode(self, examples: list[Conversation | RealChunk], stage: str) -> list[Encoded]:
        """Render and encode what is not yet, where the model is; in single precision."""
        device = self.model.device
        encoded: dict[int, Encoded] = {}
        # Real chunks are not twice as long where there are prompts.
        lengths = {id(example): _num_samples(example) for example in examples}
        for length in set(lengths.values()):
            group = [example for example in examples if lengths[id(example)] == length]
            drawn = [example for example in group if isinstance(example, Conversation)]
            real = [example for example in group if isinstance(example, RealChunk)]
            waveforms = [example.waveform.to(device) for example in real]
            if drawn:
                simulator = self.simulator if stage == "train" else self.validation_simulator
                waveforms = [*simulator.render(drawn, device).waveforms, *waveforms]
            waveforms = torch.stack(waveforms)
            if stage == "train":
                rate = self.model.hparams.sample_rate
                waveforms = self.augmentation(waveforms[:, None], rate).samples[:, 0]
            features = self.model.encoder(waveforms)
            for row, example in enumerate([*drawn, *real]):
                heard = Features(*(tensor[row] for tensor in features))
                encoded[id(example)] = Encoded(heard, example.turns, [])
        return [encoded[id(example)] for example in examples]

    def make_batch(self, drawn: Drawn, stage: str) -> Batch:
        """Windows of all examples."""
        raw = [example for example in drawn.examples if not isinstance(example, Encoded)]
        fresh = iter(self._encode(raw, stage) if raw else ())
        windows = []
        for example, what in zip(drawn.examples, drawn.cuts):
            encoded = example if isinstance(example, Encoded) else next(fresh)
            rng = np.random.default_rng([2, *what.seed])
            prompted = what.prompted and encoded.features.num_positions > what.num_positions
            windows.append((cut_prompted if prompted else cut)(encoded, what.num_positions, rng))
        return batch_of(windows, self.model.device)


def _num_samples(example: Conversation | RealChunk) -> int:
    if isinstance(example, RealChunk):
        return len(example.waveform)
    return example.chunk.num_samples


def _development(protocol: SpeakerDiarizationProtocol) -> Iterable[Mapping]:
    try:
        return list(protocol.development())
    except (AttributeError, NotImplementedError):
        return []
