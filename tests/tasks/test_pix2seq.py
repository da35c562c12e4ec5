"""`SyntheticPix2SeqDiarization`, from a tiny protocol to gradients."""

import warnings
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from pyannote.audio.augmentation import MixSpeakerDiarization
from pyannote.audio.core.task import Problem, Resolution, TrainDataset
from torch.utils.data import DataLoader
from torch_audiomentations import Compose, Gain, Shift

from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.simulation import (
    Batch,
    Conversation,
    FittedTurns,
    RandomTurns,
    ReplayedTurns,
    RoomBank,
    SimulationConfig,
)
from pyannote_drz.tasks.objective import Objective
from pyannote_drz.tasks.pix2seq import SyntheticPix2SeqDiarization
from pyannote_drz.tasks.real import RealChunk

TINY = {"num_mels": 20, "dim": 32, "num_layers": 3, "num_heads": 2, "voice_dim": 16}


@pytest.fixture
def make(toy, tmp_path_factory):
    """Make a task on a toy protocol."""
    cache = tmp_path_factory.getbasetemp() / "cache"

    def make(name: str = "Voices", **kwargs) -> SyntheticPix2SeqDiarization:
        defaults = {
            "cache": str(cache), "duration": 3.0, "batch_size": 3, "num_workers": 0,
            "chunks_per_epoch": 6, "validation_conversations": 2,
        }  # fmt: skip
        return SyntheticPix2SeqDiarization(toy(name), **{**defaults, **kwargs})

    return make


def ready(task: SyntheticPix2SeqDiarization) -> SyntheticPix2SeqDiarization:
    """The task with its data, as Lightning would hand it over, and a model."""
    task.prepare_data()
    task.setup("fit")
    task.model = Pix2SeqDiarizer(**TINY, task=task)
    return task


def same(one: Conversation, other: Conversation) -> bool:
    return (
        one.seed == other.seed
        and one.turns == other.turns
        and one.prompted == other.prompted
        and np.array_equal(one.voices, other.voices)
        and np.array_equal(one.chunk.slices, other.chunk.slices)
    )


# ---- arguments ----------------------------------------------------------------------------------


def test_specifications(make):
    task = make(duration=4.0, min_duration=2.0, max_speakers=5)
    specifications = task.specifications
    assert specifications.problem == Problem.MULTI_LABEL_CLASSIFICATION
    assert specifications.resolution == Resolution.FRAME
    assert (specifications.duration, specifications.min_duration) == (4.0, 2.0)
    assert list(specifications.classes) == list("ABCDE")
    assert specifications.permutation_invariant and not specifications.powerset
    assert task.val_monitor == ("DiarizationErrorRate", "min")
    assert task.has_validation


@pytest.mark.parametrize(
    "bad, said",
    [
        ({"prompt_ratio": 2}, "prompt_ratio.* 2"),
        ({"scripts_ratio": -0.5}, "scripts_ratio.* -0.5"),
        ({"fitted_ratio": 1.5}, "fitted_ratio.* 1.5"),
        ({"scripts": "a.rttm", "fitted_ratio": 0.75}, r"\(0.5\).*\(0.75\) must not sum"),
        ({"real_ratio": 1.5}, "real_ratio.* 1.5"),
        ({"real_ratio": 0.5}, "0.5 needs conversations"),
        ({"min_duration": 5.0}, "min_duration.*3.0 s.* 5.0"),
        ({"min_duration": 0.5}, "min_duration.* 0.5"),
        ({"render": "cloud"}, "render.*cloud"),
        ({"simulation": {"rroms": {}}}, "rroms"),
        ({"simulation": {"rooms": {"room_size": 3}}}, "room_size"),
        ({"simulation": {"bleed_share": 3.0}}, "bleed_share.* 3.0"),
        ({"objective": {"eos": 1.0}}, "eos"),
        ({"objective": {"time_noise": 7.0}}, "time_noise.* 7.0"),
        ({"max_speakers": 0}, "max_speakers.* 0"),
        ({"ramp_epochs": -1}, "ramp_epochs.* -1"),
        ({"halves_ratio": 2}, "halves_ratio.* 2"),
        ({"halves_ratio": 0.5, "batch_size": 3}, "halves_ratio=0.5 .*even.* 3"),
    ],
)
def test_bad_argument(make, bad, said):
    with pytest.raises(ValueError, match=said):
        make(**bad)


def test_sources_of_turns(make, tmp_path):
    task = make(max_speakers=3)
    task.setup()
    assert isinstance(task.simulator.turns, RandomTurns)

    (tmp_path / "a.rttm").write_text("SPEAKER a 1 0 9 <NA> <NA> A <NA> <NA>\n")
    task = make(scripts=tmp_path, scripts_ratio=0.25, fitted_ratio=0.75, max_speakers=3)
    task.setup()
    plain, replayed, fitted = task.simulator.turns.sources
    assert isinstance(replayed, ReplayedTurns) and isinstance(fitted, FittedTurns)
    assert fitted.max_speakers == 3 and fitted.model == FittedTurns.ami().model

    with pytest.raises(FileNotFoundError, match=r"'nothing\.json' is missing"):
        make(turn_model="nothing.json", fitted_ratio=0.5).setup()


def test_configurations_are_dictionaries_or_objects(make):
    clean, objective = SimulationConfig.clean(), Objective(eos_weight=0.1)
    task = make(simulation=clean, objective=objective)
    assert task.simulation is clean and task.objective is objective
    task = make(simulation={"bleed_share": 0.1}, objective={"eos_weight": 0.1})
    assert task.simulation.bleed_share == 0.1 and task.objective == objective


@pytest.mark.parametrize(
    "name, said", [("OneSpeaker", r"one speaker only \(train0\)"), ("FileScope", "file scope")]
)
def test_protocol_without_enough_voices(make, name, said):
    with pytest.raises(ValueError, match=f"TaskToy.SpeakerDiarization.{name} .*{said}"):
        make(name).prepare_data()


def test_missing_audio(make):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make("Missing").prepare_data()


# ---- data ---------------------------------------------------------------------------------------


def test_banks(make, tmp_path):
    task = make(cache=str(tmp_path))
    task.prepare_data()
    assert len(list(tmp_path.glob("voices-*.pt"))) == 2  # train and development
    task.setup()
    assert sorted(task.simulator.bank.speakers) == [f"train{k}" for k in range(4)]
    assert sorted(task.validation_simulator.bank.speakers) == [f"dev{k}" for k in range(4)]


def test_second_setup_is_free(make, monkeypatch):
    task = make()
    task.prepare_data()
    monkeypatch.setattr("pyannote_drz.tasks.pix2seq.protocol_voices", None)  # not asked again
    task.setup()
    simulator, bank = task.simulator, task.simulator.bank
    task.setup("fit")
    assert task.simulator is simulator and task.simulator.bank is bank


def test_rooms(make, tmp_path):
    response = np.eye(1, 100)  # a direct sound
    RoomBank(response, np.zeros(1, int)).save(tmp_path / "rooms.npz")
    task = make(rooms=str(tmp_path / "rooms.npz"))
    task.setup()
    assert len(task.simulator.rooms) == 1
    assert task.validation_simulator.rooms is None
    with pytest.raises(ValueError, match="room bank 'nowhere.npz' is missing"):
        make(rooms="nowhere.npz").setup()


def test_speeds(make):
    task = make(speeds=[0.9])
    task.setup()
    assert len(task.simulator.bank) == 8 and task.simulator.bank.speakers[4] == "train0 x 0.9"
    assert len(task.validation_simulator.bank) == 4


def test_ramp_begins_clean(make, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    task = ready(make(ramp_epochs=4))

    def disturbed(epoch: int) -> float:
        monkeypatch.setattr(Pix2SeqDiarizer, "current_epoch", epoch)
        items = list(islice(task.train__iter__(), 60))
        return np.mean([(item.chunk.channel["level"] != 10 ** (-25 / 20)).any() for item in items])

    assert disturbed(0) == 0
    assert 0.2 < disturbed(2) < 0.8
    assert disturbed(4) == disturbed(5) == 1


def test_train_iter(make, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    task = ready(make(min_duration=1.0, prompt_ratio=0.5))
    count = 20 * task.batch_size  # more than an epoch: it never ends
    items = list(islice(task.train__iter__(), count))
    assert len(items) == count > task.train__len__() == 6
    assert all(isinstance(item, Conversation) for item in items)
    batches = [items[i : i + task.batch_size] for i in range(0, count, task.batch_size)]
    durations = [{item.duration_s for item in batch} for batch in batches]
    assert all(len(batch) == 1 for batch in durations)
    assert set.union(*durations) == {1.0, 2.0, 3.0}
    with_prompts = [any(item.prompts for item in batch) for batch in batches]
    assert any(with_prompts) and not all(with_prompts)
    assert len({item.seed for item in items}) == count  # nothing twice

    again = islice(task.train__iter__(), 9)
    assert all(same(one, other) for one, other in zip(items, again))
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    other = islice(task.train__iter__(), 9)
    assert not any(same(one, two) for one, two in zip(items, other))


def test_same_conversations_for_any_layout(make, monkeypatch):
    """Any number of workers and of processes: the same steps, nothing twice."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    num_steps, per_step = 5, 4

    def steps(num_ranks: int, num_workers: int) -> list[list[Conversation]]:
        found = [[] for _ in range(num_steps)]
        for rank in range(num_ranks):
            task = ready(make(min_duration=1.0, batch_size=per_step // num_ranks))
            task.trainer = SimpleNamespace(world_size=num_ranks)
            monkeypatch.setattr(Pix2SeqDiarizer, "global_rank", rank)
            loader = DataLoader(TrainDataset(task), task.batch_size, num_workers=num_workers,
                                collate_fn=list)  # fmt: skip
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Length of IterableDataset")
                for batches, batch in zip(found, loader):
                    batches += batch
        return found

    expected = steps(1, 0)
    assert len({one.seed for step in expected for one in step}) == num_steps * per_step
    assert len({one.duration_s for step in expected for one in step}) > 1
    for num_ranks, num_workers in [(1, 1), (1, 2), (2, 0), (2, 2), (4, 1)]:
        found = steps(num_ranks, num_workers)
        assert all(same(*two) for a, b in zip(expected, found) for two in zip(a, b, strict=True))


def test_processes_share_an_epoch(make):
    task = make(chunks_per_epoch=12)
    assert task.train__len__() == 12
    task.trainer = SimpleNamespace(world_size=2)
    assert task.train__len__() == 6
    task.trainer = SimpleNamespace(world_size=100)
    assert task.train__len__() == task.batch_size


def test_augmentation_that_moves_speech_is_refused(make):
    gain, shift = Gain(output_type="dict"), Shift(output_type="dict")
    assert make(augmentation=gain).augmentation is gain
    for augmentation in (shift, Compose([gain, shift], output_type="dict")):
        with pytest.raises(ValueError, match="Shift does not"):
            make(augmentation=augmentation)
    with pytest.raises(ValueError, match="MixSpeakerDiarization does not"):
        make(augmentation=MixSpeakerDiarization(output_type="dict"))


def test_validation_is_always_the_same(make):
    one, other = make(), make()
    for task in (one, other):
        task.setup()
    assert one.val__len__() == 2
    for index in range(2):
        assert same(one.val__getitem__(index), other.val__getitem__(index))
        assert one.val__getitem__(index).duration_s == 3.0
        assert not one.val__getitem__(index).prompts
    assert not same(one.val__getitem__(0), one.val__getitem__(1))
    waveforms = [
        task.collate_fn([task.val__getitem__(0)], "val").waveforms for task in (one, other)
    ]
    assert torch.equal(*waveforms)


@pytest.mark.parametrize("with_prompts", [False, True])
def test_collate(make, with_prompts):
    task = ready(make(prompt_ratio=float(with_prompts)))
    drawn = list(islice(task.train__iter__(), 3))
    batch = task.collate_fn(drawn, stage="train")
    assert isinstance(batch, Batch)
    assert batch.waveforms.shape == (3, 48000) and batch.waveforms.dtype == torch.float32
    assert batch.waveforms.isfinite().all() and batch.waveforms.abs().max() <= 1
    assert len(batch.turns) == len(batch.prompted) == len(batch.voices) == 3
    for turns, voices in zip(batch.turns, batch.voices):
        assert all(voices[turn.speaker] >= 0 for turn in turns)
    assert any(batch.prompted) == with_prompts


def test_prompts_are_part_of_their_windows(make):
    """The first turns are those of the prompts; nothing else is left of them."""
    task = ready(make(prompt_ratio=1.0))
    drawn = list(islice(task.train__iter__(), 3))
    batch = task.collate_fn(drawn, stage="train")
    assert batch.prompted == [conversation.prompted for conversation in drawn]
    assert batch.prompts.shape[1] == 0
    for turns, prompted in zip(batch.turns, batch.prompted):
        assert [turn.speaker for turn in turns[: len(prompted)]] == prompted
        assert not prompted or turns[0].start_s == 0


def test_real_conversations_among_prompted_ones_begin_at_once(make, toy):
    task = ready(make(real=toy("Real"), real_ratio=0.5, prompt_ratio=1.0))
    items = list(islice(task.train__iter__(), 30))
    real = next(item for item in items if isinstance(item, RealChunk))
    prompted = next(item for item in items if isinstance(item, Conversation) and item.prompted)
    batch = task.collate_fn([prompted, real])
    assert torch.equal(batch.waveforms[1], real.waveform)
    assert batch.turns[1] == real.turns and batch.prompted[1] == []
    assert len(batch.prompted[0]) > 0


def test_collate_halves(make):
    """The same people in both halves of a conversation; as much audio as in any other batch."""
    task = ready(make(prompt_ratio=0.0, halves_ratio=1.0, batch_size=4))
    drawn = list(islice(task.train__iter__(), 4))
    assert [example is None for example in drawn] == [False, True, False, True]
    assert drawn[0].duration_s == 2 * task.duration
    batch = task.collate_fn(drawn, stage="train")
    assert batch.waveforms.shape == (4, 48000)
    assert torch.equal(batch.voices[0::2], batch.voices[1::2])
    for turns in batch.turns:
        assert all(0 <= turn.start_s < turn.end_s <= task.duration for turn in turns)


def test_real_conversations(make, toy):
    """Windows of development conversations; chunks of training ones, by their share."""
    task = ready(make(real=toy("Real"), real_ratio=0.5, duration=3.0))
    assert task.val__len__() == 2 + 4  # 12 s hold 4 windows
    first, last = task.val__getitem__(2), task.val__getitem__(5)
    assert isinstance(first, RealChunk) and first.waveform.shape == (48000,)
    assert [(turn.start_s, turn.end_s) for turn in last.turns] == [(0.0, 3.0)]

    items = list(islice(task.train__iter__(), 30))
    kinds = {type(item) for item in items}
    assert kinds == {Conversation, RealChunk}
    real = next(item for item in items if isinstance(item, RealChunk))
    simulated = next(item for item in items if isinstance(item, Conversation))
    batch = task.collate_fn([real, simulated])
    assert batch.waveforms.shape == (2, 48000)
    assert (batch.voices[1] == -1).all()  # simulated first; people of real ones are unknown


# ---- learning -----------------------------------------------------------------------------------


class Gradients(Callback):
    """Remember losses, and gradients before they are used."""

    def __init__(self):
        self.losses, self.gradients = [], []

    def on_before_optimizer_step(self, trainer, model, optimizer):
        self.gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        self.losses.append(outputs["loss"].item())


@pytest.mark.parametrize(
    "kwargs",
    [
        {"prompt_ratio": 1.0},
        {"prompt_ratio": 1.0, "render": "device"},
        {"prompt_ratio": 0.0, "simulation": {"empty_share": 1.0}},  # nobody speaks
        # Voices only; long enough that somebody is heard twice.
        {"prompt_ratio": 0.0, "objective": {"token_weight": 0}, "duration": 12.0},
    ],
    ids=["worker", "device", "empty", "voices"],
)
def test_fit(make, tmp_path, kwargs):
    torch.manual_seed(0)
    task, watch = make(**kwargs), Gradients()
    model = Pix2SeqDiarizer(**TINY, task=task)
    trainer = Trainer(
        accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        default_root_dir=tmp_path, callbacks=[watch],
    )  # fmt: skip
    trainer.fit(model)
    assert trainer.global_step == 2
    assert len(watch.losses) == 2 and np.isfinite(watch.losses).all()
    for gradients in watch.gradients:
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        learning = {name for name, gradient in gradients.items() if gradient.abs().max() > 0}
        words = {"bin_key.weight", "end_or_pad.weight", "blocks.2.out.weight"}
        assert "activity.weight" in learning
        assert not words & learning if "objective" in kwargs else words <= learning
        if "simulation" not in kwargs:
            assert {"voice.weight", "blocks.1.out.weight", "loss_func.log_scale"} <= learning
    # The epoch is over after two batches: it was validated.
    metrics = trainer.callback_metrics
    assert metrics[task.val_monitor[0]].isfinite()
    assert metrics["loss/val"].isfinite()
    if "simulation" not in kwargs:
        assert model.loss_func.people.any()  # voices are remembered
        assert metrics["DiarizationErrorRate/oracle_activity"] < 1
        assert 0 <= metrics["VoiceEqualErrorRate"] <= 1
