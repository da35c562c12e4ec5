"""`SyntheticPix2SeqDiarization`: learn to diarize from conversations made of single voices."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications, Task
from pyannote.audio.torchmetrics import (
    DiarizationErrorRate,
    FalseAlarmRate,
    MissedDetectionRate,
    SpeakerConfusionRate,
)
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch import Tensor
from torch.utils.data import get_worker_info
from torch_audiomentations import Identity, Shift, TimeInversion
from torch_audiomentations.augmentations.mix import Mix
from torch_audiomentations.core.transforms_interface import BaseWaveformTransform
from torchmetrics import Metric
from torchmetrics.classification import BinaryEER

from ..decoding import decode
from ..models.pix2seq import Memory
from ..simulation import (
    Batch,
    Conversation,
    FittedTurns,
    MixedTurns,
    NoiseBank,
    RandomTurns,
    ReplayedTurns,
    RoomBank,
    SimulationConfig,
    Simulator,
    VoiceBank,
)
from ..simulation.config import MAX_SPEAKERS
from ..simulation.fitted import AMI
from ..simulation.turns import TurnSource
from ..tokens import Vocabulary
from .halves import halve
from .material import CACHE, protocol_voices, rttm_paths
from .objective import (
    Objective,
    Targets,
    Turns,
    VoiceLoss,
    activity_loss,
    activity_of,
    corrupt,
    make_targets,
    same_voice,
    token_loss,
    turns_of,
)
from .prompted import begin_with_prompts
from .real import RealChunk, RealConversations, join

SAMPLE_RATE = 16000  # Hz, of the simulator
MOVES_SPEECH = (Mix, Shift, TimeInversion)  # augmentations that turns would have to follow


class Drawn:
    """Conversations that will be rendered where the model is.

    Nothing that Lightning knows its way through: it would copy every turn of every conversation,
    in search of tensors.
    """

    def __init__(self, examples: list[Conversation | RealChunk]):
        self.examples = examples


class SyntheticPix2SeqDiarization(Task):
    """Speaker diarization as writing a sequence, learnt from simulated conversations.

    Voices are the single-speaker regions of the protocol's files. Conversations are drawn on the
    fly and never repeat: each has its own random generator.

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
        Letters of the language, prompted voices included.
    chunks_per_epoch : int, optional
        An epoch is that many conversations.
    validation_conversations : int, optional
        Simulated conversations to validate on, of development voices; always the same.
    scripts : path or list of paths, optional
        RTTM files, or folders of them, whose windows are re-voiced.
    random_turns : dict, optional
        Dials of the plain generator, see `pyannote_drz.simulation.RandomTurns`.
    scripts_ratio : float, optional
        Share of conversations that follow `scripts`, if there are any.
    turn_model : path, optional
        Fitted turn-taking model, see `pyannote_drz.simulation.FittedTurns`. Defaults to AMI's,
        which is packaged.
    fitted_ratio : float, optional
        Share of conversations that follow `turn_model`. What the two shares leave are plain
        random turns.
    noise : path, optional
        CSV manifest of recorded noise, see `pyannote_drz.simulation.NoiseBank`.
    rooms : path, optional
        NPZ file of room responses, see `pyannote_drz.simulation.RoomBank`. Validation does without:
        it stays comparable, and never hears rooms that were trained in.
    simulation : dict or SimulationConfig, optional
        Dials of the simulator.
    ramp_epochs : float, optional
        Begin without rooms, noise, bleeds and channels, and hear them in more and more
        conversations, from epoch to epoch; after that many epochs, in all of them. Voices are
        learnt much sooner that way (recipes/synthetic/RUNS.md). Defaults to 0, from the start.
    prompt_ratio : float, optional
        Share of batches that come with prompts.
    halves_ratio : float, optional
        Share of the other batches whose conversations are twice as long, and cut into two chunks:
        so voices are learnt to be told across chunks. Needs an even `batch_size`.
    real : SpeakerDiarizationProtocol, optional
        Annotated conversations. Their development files, and those of `protocol`, are validated
        on; their training files are learnt from, if `real_ratio` says so.
    real_ratio : float, optional
        Share of chunks cut out of real training conversations.
    objective : dict or Objective, optional
        Weights of the losses.
    render : {"worker", "device"}, optional
        Where conversations become audio: in the workers of the data loader, or in the training
        step, on the device that trains.
    batch_size, num_workers, pin_memory, augmentation, metric
        See `pyannote.audio.core.task.Task`. Augmentations must leave speech where it is.

    Raises
    ------
    ValueError
        The protocol has labels of file scope only, no single-speaker speech, or one speaker.
    FileNotFoundError
        Audio is missing.
    """

    def __init__(
        self,
        protocol: SpeakerDiarizationProtocol,
        cache: str | None = None,
        speeds: Sequence[float] | None = None,
        duration: float = 30.0,
        min_duration: float | None = None,
        max_speakers: int = 8,
        chunks_per_epoch: int = 10_000,
        validation_conversations: int = 100,
        scripts: str | Path | Sequence[str | Path] | None = None,
        random_turns: Mapping | None = None,
        scripts_ratio: float = 0.5,
        turn_model: str | Path | None = None,
        fitted_ratio: float = 0.0,
        noise: str | Path | None = None,
        rooms: str | Path | None = None,
        simulation: Mapping | SimulationConfig | None = None,
        ramp_epochs: float = 0,
        prompt_ratio: float = 0.5,
        halves_ratio: float = 0.0,
        real: SpeakerDiarizationProtocol | None = None,
        real_ratio: float = 0.0,
        objective: Mapping | Objective | None = None,
        render: Literal["worker", "device"] = "worker",
        batch_size: int = 32,
        num_workers: int | None = None,
        pin_memory: bool = False,
        augmentation: BaseWaveformTransform | None = None,
        metric: Metric | Sequence[Metric] | dict[str, Metric] | None = None,
    ):
        for name, share in (
            ("scripts_ratio", scripts_ratio),
            ("fitted_ratio", fitted_ratio),
            ("prompt_ratio", prompt_ratio),
            ("halves_ratio", halves_ratio),
            ("real_ratio", real_ratio),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}.")
        if scripts is not None and scripts_ratio + fitted_ratio > 1:
            raise ValueError(
                f"scripts_ratio ({scripts_ratio}) and fitted_ratio ({fitted_ratio}) must not sum "
                f"to more than 1."
            )
        if min_duration is not None and not 1 <= min_duration <= duration:
            raise ValueError(
                f"min_duration must be between 1 s and duration ({duration} s), "
                f"got {min_duration} s."
            )
        if halves_ratio > 0 and batch_size % 2:
            raise ValueError(f"halves_ratio={halves_ratio} needs an even batch_size: {batch_size}.")
        if render not in ("worker", "device"):
            raise ValueError(f"render must be 'worker' or 'device', got {render!r}.")
        for transform in () if augmentation is None else augmentation.modules():
            if isinstance(transform, MOVES_SPEECH):
                raise ValueError(
                    f"augmentation must leave speech where it is, as turns do not follow: "
                    f"{type(transform).__name__} does not."
                )
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
        self.scripts, self.scripts_ratio, self.random_turns = scripts, scripts_ratio, random_turns
        self.turn_model, self.fitted_ratio = turn_model, fitted_ratio
        self.noise, self.rooms = noise, rooms
        self.simulation = _configured(SimulationConfig, simulation)
        if ramp_epochs < 0:
            raise ValueError(f"ramp_epochs must not be negative, got {ramp_epochs}.")
        self.ramp_epochs = ramp_epochs
        self.prompt_ratio, self.halves_ratio = prompt_ratio, halves_ratio
        self.real, self.real_ratio = real, real_ratio
        self.objective = _configured(Objective, objective)
        self.render = render
        self._banks: dict[str, VoiceBank] = {}  # of each subset
        self._is_set_up = False

        self.vocabulary = Vocabulary(duration=duration, max_speakers=max_speakers)
        self.specifications = Specifications(
            problem=Problem.MULTI_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=self.duration,
            min_duration=self.min_duration,
            classes=list(self.vocabulary.letters),
            permutation_invariant=True,
        )

    # ---- data -----------------------------------------------------------------------------------

    def prepare_data(self):
        """Decode all voices, once; later runs find them in the cache."""
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
                self._banks[subset] = VoiceBank.cached(files, self.cache, speeds)
        return self._banks[subset]

    def _turns(self) -> TurnSource:
        """Who speaks when."""
        plain = RandomTurns(**(self.random_turns or {}))
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
        if not sources:
            return plain
        return MixedTurns([plain, *sources], [max(0.0, 1 - sum(ratios)), *ratios])

    def setup(self, stage: str | None = None):
        """Load voices, scripts, noise and real conversations into memory, once."""
        if self._is_set_up:  # Lightning sets up for every stage, and so do those who fine-tune
            return
        turns = self._turns()

        def noises(split: str) -> NoiseBank | None:
            return self.noise and NoiseBank.from_manifest(self.noise, split)

        rooms = self.rooms and RoomBank.from_file(self.rooms)
        self.simulator = Simulator(
            self._bank("train"), turns, self.simulation, noises("train"), rooms
        )
        self.clean_simulator = Simulator(self.simulator.bank, turns, SimulationConfig.clean())
        self.validation_simulator = Simulator(
            self._bank("development"), turns, self.simulation, noises("test")
        )

        protocols = {self.protocol.name: self.protocol}
        if self.real is not None:  # which may be the same: voices and conversations of one corpus
            protocols[self.real.name] = self.real
        development = (file for protocol in protocols.values() for file in _development(protocol))
        self.real_validation = RealConversations(development, SAMPLE_RATE)
        self.windows = self.real_validation.windows(self.duration)
        if self.real_ratio > 0:
            self.real_training = RealConversations(self.real.train(), SAMPLE_RATE)
        self._is_set_up = True

    def setup_loss_func(self):
        num_people = len(self.simulator.bank)
        self.model.loss_func = VoiceLoss(self.model.hparams.voice_dim, num_people)

    def setup_validation_metric(self):
        super().setup_validation_metric()
        # Beside the tokens: what the auxiliary head says, and "one speaker wherever somebody
        # speaks". A model below that last one may not diarize at all (DESIGN.md, section 6).
        self.model.head_metric = DiarizationErrorRate().to(self.model.device)
        self.model.oracle_activity_metric = DiarizationErrorRate().to(self.model.device)
        # Do two turns of a conversation sound like the same person? 50 % is chance.
        self.model.voice_metric = BinaryEER(thresholds=201).to(self.model.device)

    def train__iter__(self) -> Iterator[Conversation | RealChunk | None]:
        """Draw conversations, endlessly: the same for any number of workers and processes.

        Of step k, the conversations that rank r learns from are numbers r * batch_size to
        (r + 1) * batch_size - 1, each drawn with its own seed; worker w of W draws every W-th step.
        All conversations of a step, which will be one batch on every rank, share their duration
        and whether they have prompts, so that little is padding and no rank waits.
        """
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank = self.model.global_rank
        # Who resumes in the middle of an epoch hears new conversations: hence the step.
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        run = [seed, self.model.current_epoch, self.model.global_step]
        disturbed = 1.0  # share of conversations
        if self.ramp_epochs:
            disturbed = self.model.current_epoch / self.ramp_epochs
        for step in itertools.count(first, every):
            rng = np.random.default_rng([0, *run, step])
            duration_s = self.duration
            if self.min_duration < self.duration:
                duration_s = float(rng.integers(int(self.min_duration), int(self.duration) + 1))
            with_prompts = bool(rng.random() < self.prompt_ratio)
            halved = not with_prompts and bool(rng.random() < self.halves_ratio)
            if halved:
                duration_s = 2 * duration_s
            for row in range(self.batch_size):
                rng = np.random.default_rng([1, *run, step, rank * self.batch_size + row])
                if halved and row % 2:
                    yield None  # the second half of the conversation before
                elif rng.random() < self.real_ratio:
                    yield self.real_training.draw(rng, duration_s)
                elif rng.random() < disturbed:
                    yield self.simulator.draw(rng, duration_s, with_prompts)
                else:
                    yield self.clean_simulator.draw(rng, duration_s, with_prompts)

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

    def collate_fn(self, batch: list, stage: Literal["train", "val"] = "train") -> Batch | Drawn:
        if stage == "train" and self.render == "device":
            return Drawn(batch)
        return self._render(batch, stage, torch.device("cpu"))

    def _render(self, examples: list, stage: str, device: torch.device) -> Batch:
        halved = None in examples
        simulator = self.simulator if stage == "train" else self.validation_simulator
        simulated = [example for example in examples if isinstance(example, Conversation)]
        real = [example for example in examples if isinstance(example, RealChunk)]
        batch = simulator.render(simulated, device) if simulated else None
        batch = join(batch, real) if real else batch
        if any(batch.prompted):
            return begin_with_prompts(batch, SAMPLE_RATE, self.model.position_samples)
        return halve(batch, SAMPLE_RATE) if halved else batch

    # ---- learning -------------------------------------------------------------------------------

    def _losses(
        self, batch: Batch, waveforms: Tensor, stage: str
    ) -> tuple[dict[str, Tensor], Memory | None, Targets, Tensor, Turns]:
        """Losses of a batch, and what was heard and should have been written.

        Returns
        -------
        losses : dict
        memory : Memory or None where no words are learnt
        targets : Targets
        activity : (batch, frames, speakers) Tensor of logits
        turns : Turns
        """
        model, v = self.model, self.model.vocabulary
        objective = self.objective
        memory = None
        # Made first, on the CPU, while a GPU is still busy with what came before.
        num_frames, device = model.num_frames(waveforms.shape[-1]), waveforms.device
        targets = make_targets(v, batch.turns, batch.prompted, batch.voices, num_frames, device)
        if objective.token_weight:
            memory = model.listen(waveforms)
            voice_sums, activity = memory.voice_sums, memory.activity
        else:
            voice_sums, activity = model.recognize(waveforms)

        losses = {"activity": activity_loss(activity, targets.activity)}
        total = objective.activity_weight * losses["activity"]
        if objective.token_weight:
            written = targets.tokens[:, :-1]
            num_bins = memory.bin_keys.shape[1]
            if stage == "train":
                written = corrupt(v, written, targets.given[:, :-1], objective, num_bins)
            logits = model.write(written, memory)
            losses["tokens"] = token_loss(v, logits, targets, objective, num_bins)
            total = total + objective.token_weight * losses["tokens"]

        # Whose voice is it? Asked of all turns with enough speech of their own, prompts included.
        turns = turns_of(v, targets, model.turn_voices(targets.tokens, voice_sums))
        vectors, people, weight = (x.flatten(0, 1) for x in turns)
        if stage == "train":
            losses["contrast"] = model.loss_func.contrast(vectors, people, weight)
            losses["voice"], losses["voice_accuracy"] = model.loss_func(vectors, people, weight)
            total = total + objective.contrast_weight * losses["contrast"]
            total = total + objective.voice_weight * losses["voice"]
        return {"loss": total, **losses}, memory, targets, activity, turns

    def training_step(self, batch: Batch | Drawn, batch_idx: int) -> Tensor | None:
        if isinstance(batch, Drawn):
            device = self.model.device
            with torch.autocast(device.type, enabled=False):  # audio is made in single precision
                batch = self._render(batch.examples, "train", device)
        waveforms = batch.waveforms  # (batch, samples)
        if not isinstance(self.augmentation, Identity):  # which asks a GPU questions, and waits
            sample_rate = self.model.hparams.sample_rate
            augmented = self.augmentation(samples=waveforms[:, None], sample_rate=sample_rate)
            waveforms = augmented.samples[:, 0]
        losses, *_ = self._losses(batch, waveforms, "train")
        if not torch.isfinite(losses["loss"]):
            return None  # as pyannote.audio does: one bad batch must not end a long run
        for name, value in losses.items():
            self.model.log(
                f"loss/train/{name}" if name != "loss" else "loss/train",
                value.detach(),
                on_step=True,
                on_epoch=False,
                prog_bar=name == "loss",
                batch_size=len(batch.turns),
            )
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Decode, and compare with the reference frame by frame (a frame is a time bin).

        Where no words are learnt, the activity head is compared instead.
        """
        model, v = self.model, self.model.vocabulary
        losses, memory, targets, activity, turns = self._losses(batch, batch.waveforms, "val")
        head = activity.float().sigmoid().transpose(1, 2)  # (batch, speakers, frames)
        target = targets.activity.float().transpose(1, 2)
        if memory is None:
            decoded = (head > 0.5).float()
        else:
            rows = decode(model, memory).tokens.tolist()
            decoded = torch.stack(
                [activity_of(v.to_triplets(row), head.shape[-1], v.max_speakers) for row in rows]
            )
            decoded = decoded.to(model.device).float().transpose(1, 2)
        anybody = torch.zeros_like(target)
        anybody[:, 0] = target.amax(1)

        model.validation_metric(decoded, target)
        model.head_metric(head, target)
        model.oracle_activity_metric(anybody, target)
        cosine, same = same_voice(turns)
        if len(same):
            model.voice_metric(0.5 + 0.5 * cosine, same)
        size = len(batch.turns)
        model.log_dict(model.validation_metric, on_epoch=True, prog_bar=True, batch_size=size)
        for name, value in (
            ("loss/val", losses["loss"]),
            ("DiarizationErrorRate/activity_head", model.head_metric),
            ("DiarizationErrorRate/oracle_activity", model.oracle_activity_metric),
            ("VoiceEqualErrorRate", model.voice_metric),
        ):
            model.log(name, value, on_epoch=True, batch_size=size, sync_dist=True)

    def default_metric(self) -> Sequence[Metric]:
        """Diarization error rate and its parts."""
        return [
            DiarizationErrorRate(),
            FalseAlarmRate(),
            MissedDetectionRate(),
            SpeakerConfusionRate(),
        ]


def _development(protocol: SpeakerDiarizationProtocol) -> Iterable[Mapping]:
    try:
        return list(protocol.development())
    except (AttributeError, NotImplementedError):
        return []


def _configured(kind: type, values: object) -> object:
    """A configuration from a mapping of its fields, itself, or nothing."""
    if values is None:
        return kind()
    if isinstance(values, kind):
        return values
    if hasattr(kind, "from_dict"):
        return kind.from_dict(values)
    unknown = set(values) - set(kind.__dataclass_fields__)
    if unknown:
        raise ValueError(f"{kind.__name__} has no {sorted(unknown)}.")
    return kind(**values)
