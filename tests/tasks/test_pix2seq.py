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

from pyannote_drz.models.encoders import Features
from pyannote_drz.models.pix2seq import Pix2SeqDiarizer
from pyannote_drz.simulation import (
    Conversation,
    FittedTurns,
    RandomTurns,
    ReplayedTurns,
    RoomBank,
    SimulationConfig,
    Turn,
)
from pyannote_drz.tasks.objective import Objective
from pyannote_drz.tasks.pix2seq import Batch, Drawn, SyntheticPix2SeqDiarization
from pyannote_drz.tasks.real import RealChunk
from pyannote_drz.tasks.shards import Encoded, save_shard

TINY = {"dim": 32, "num_layers": 3, "num_heads": 4}
POSITION_S = 0.08


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


@pytest.fixture
def ready(encoder):
    """The task with its data, as Lightning would hand it over, and a model."""

    def ready(task: SyntheticPix2SeqDiarization) -> SyntheticPix2SeqDiarization:
        task.prepare_data()
        task.setup("fit")
        task.model = Pix2SeqDiarizer(**TINY, task=task)
        task.model.encoder = encoder
        return task

    return ready


@pytest.fixture
def shards(make_features, tmp_path):
    """A folder of encoded conversations: three of 100 positions (8 s), three of 38 (3 s)."""
    (tmp_path / "shards").mkdir()
    for positions in (100, 38):
        features = make_features(3, positions)
        rows = [
            Encoded(
                Features(*(tensor[row] for tensor in features)),
                [
                    Turn(0.1, 0.4 * positions * POSITION_S, 0),
                    Turn(0.5 * positions * POSITION_S, 0.9 * positions * POSITION_S, 1),
                ],
                [positions, row],
            )
            for row in range(3)
        ]
        save_shard(tmp_path / "shards" / f"{positions}.safetensors", rows)
    return tmp_path / "shards"


def same(one: Conversation | Encoded, other: Conversation | Encoded) -> bool:
    if isinstance(one, Encoded):
        return isinstance(other, Encoded) and one.speakers == other.speakers
    return isinstance(other, Conversation) and (
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
        ({"other_ratio": -1}, "other_ratio.* -1"),
        ({"fresh_ratio": 3}, "fresh_ratio.* 3"),
        (
            {"scripts": "a.rttm", "fitted_ratio": 0.75, "other_ratio": 0.1},
            r"\(0.5\).*\(0.75\).*\(0.1\) must not sum",
        ),
        ({"real_ratio": 1.5}, "real_ratio.* 1.5"),
        ({"real_ratio": 0.5}, "0.5 needs conversations"),
        ({"min_duration": 5.0}, "min_duration.*3.0 s.* 5.0"),
        ({"min_duration": 0.5}, "min_duration.* 0.5"),
        ({"simulation": {"rroms": {}}}, "rroms"),
        ({"simulation": {"rooms": {"room_size": 3}}}, "room_size"),
        ({"simulation": {"bleed_share": 3.0}}, "bleed_share.* 3.0"),
        ({"objective": {"eos": 1.0}}, "eos"),
        ({"objective": {"time_noise": 7.0}}, "time_noise.* 7.0"),
        ({"max_speakers": 0}, "max_speakers.* 0"),
    ],
)
def test_bad_argument(make, bad, said):
    with pytest.raises(ValueError, match=said):
        make(**bad)


def test_sources_of_turns(make, tmp_path):
    task = make(max_speakers=3, other_ratio=0.2)
    task.setup()
    plain, others = task.simulator.turns.sources
    assert isinstance(plain, RandomTurns) and not isinstance(others, RandomTurns)
    np.testing.assert_allclose(task.simulator.turns._shares, [0.8, 1.0])

    (tmp_path / "a.rttm").write_text("SPEAKER a 1 0 9 <NA> <NA> A <NA> <NA>\n")
    task = make(
        scripts=tmp_path, scripts_ratio=0.25, fitted_ratio=0.75, other_ratio=0, max_speakers=3
    )
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


def test_similar_voices_are_known_by_embeddings(make, tmp_path):
    """Of both banks, kept in the cache; or not at all, where nobody asks for them."""
    task = make(cache=str(tmp_path))
    task.prepare_data()
    assert len(list(tmp_path.glob("embeddings-*.npy"))) == 2
    task.setup()
    assert task.simulator.bank.embeddings.shape == (4, 192)
    task = make(cache=str(tmp_path / "none"), simulation={"similar_share": 0.0})
    task.prepare_data()
    assert not list((tmp_path / "none").glob("embeddings-*.npy"))


def test_train_iter(make, ready, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    task = ready(make(min_duration=1.0, prompt_ratio=0.5))
    count = 20 * task.batch_size  # more than an epoch: it never ends
    items = list(islice(task.train__iter__(), count))
    assert len(items) == count > task.train__len__() == 6
    assert all(isinstance(example, Conversation) for example, _ in items)
    batches = [items[i : i + task.batch_size] for i in range(0, count, task.batch_size)]
    kinds = [{(what.num_positions, what.prompted) for _, what in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds)  # nothing is padding
    lengths, prompted = zip(*set.union(*kinds))
    assert set(lengths) == {13, 25, 38} and set(prompted) == {True, False}
    for example, what in items:  # prompts are found elsewhere in the conversation
        whole_s = example.duration_s / (2 if what.prompted else 1)
        assert what.num_positions == pytest.approx(whole_s / POSITION_S, abs=1)
    full = np.mean([what.num_positions == 38 for _, what in items])
    assert full > 0.5  # most are as long as can be
    assert len({tuple(what.seed) for _, what in items}) == count  # nothing twice
    assert len({example.seed for example, _ in items}) == count

    again = islice(task.train__iter__(), 9)
    for (one, how), (other, way) in zip(items, again):
        assert same(one, other) and how == way
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    other = islice(task.train__iter__(), 9)
    assert not any(same(one, two) for (one, _), (two, _) in zip(items, other))


def test_who_resumes_hears_what_would_have_come(make, ready, monkeypatch):
    task = ready(make())
    size = task.batch_size
    undisturbed = list(islice(task.train__iter__(), 9 * size))
    monkeypatch.setattr(Pix2SeqDiarizer, "global_step", 7)
    resumed = list(islice(task.train__iter__(), 2 * size))
    for (one, how), (other, way) in zip(undisturbed[7 * size :], resumed, strict=True):
        assert same(one, other) and how == way


@pytest.mark.parametrize("fresh_ratio", [1.0, 0.3])
def test_same_conversations_for_any_layout(make, ready, shards, monkeypatch, fresh_ratio):
    """Any number of workers and of processes: the same steps, nothing twice."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    num_steps, per_step = 5, 4
    source = {} if fresh_ratio == 1 else {"features": str(shards), "fresh_ratio": fresh_ratio}
    tasks = {size: ready(make(min_duration=1.0, batch_size=size, **source)) for size in (1, 2, 4)}

    def steps(num_ranks: int, num_workers: int) -> list[list[tuple]]:
        found = [[] for _ in range(num_steps)]
        for rank in range(num_ranks):
            task = tasks[per_step // num_ranks]
            task.trainer = SimpleNamespace(world_size=num_ranks)
            monkeypatch.setattr(Pix2SeqDiarizer, "global_rank", rank)
            loader = DataLoader(TrainDataset(task), task.batch_size, num_workers=num_workers,
                                collate_fn=task.collate_fn)  # fmt: skip
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Length of IterableDataset")
                for batches, batch in zip(found, loader):
                    batches += zip(batch.examples, batch.cuts, strict=True)
        return found

    expected = steps(1, 0)
    assert len({tuple(what.seed) for step in expected for _, what in step}) == num_steps * per_step
    assert len({what.num_positions for step in expected for _, what in step}) > 1
    kinds = {type(example) for step in expected for example, _ in step}
    assert kinds == ({Conversation} if fresh_ratio == 1 else {Conversation, Encoded})
    for num_ranks, num_workers in [(1, 1), (1, 2), (2, 0), (2, 2), (4, 1)]:
        found = steps(num_ranks, num_workers)
        for step, other in zip(expected, found, strict=True):
            for (one, how), (two, way) in zip(step, other, strict=True):
                assert same(one, two) and how == way


def test_features_made_once(make, ready, shards):
    """Nothing is decoded to learn from them; the share that is fresh is as asked for."""
    task = ready(make(features=shards, prompt_ratio=0.5))
    assert not hasattr(task, "simulator")
    items = list(islice(task.train__iter__(), 60))
    assert all(isinstance(example, Encoded) for example, _ in items)
    # Windows of 3 s and their prompts come from conversations of 6 s or more; others from any.
    assert {e.speakers[0] for e, what in items if what.prompted} == {100}
    assert {e.speakers[0] for e, what in items if not what.prompted} == {100, 38}
    batch = task.make_batch(task.collate_fn(items[:3]), "train")
    assert isinstance(batch, Batch)
    assert batch.features.short.shape == (3, 38, 192)
    assert all(tensor.dtype == torch.float32 for tensor in batch.features)

    task = ready(make(features=[str(shards)], fresh_ratio=0.5))
    kinds = [type(example) for example, _ in islice(task.train__iter__(), 60)]
    assert 15 < kinds.count(Encoded) < 45


def test_short_windows_are_whole_conversations_half_of_the_time(make, ready, shards):
    task = ready(make(features=shards, prompt_ratio=0.0, duration=8.0, min_duration=1.0))
    items = list(islice(task.train__iter__(), 600))
    three = [example.speakers[0] for example, what in items if what.num_positions == 38]
    assert three and three.count(38) > 0.45 * len(three) and 100 in three


def test_features_that_are_too_short_are_refused(make, ready, shards):
    task = ready(make(features=shards, duration=20.0))
    with pytest.raises(ValueError, match=r"no conversation of .*shards.* lasts 20.0 s"):
        next(task.train__iter__())
    with pytest.raises(ValueError, match=r"no features .*nowhere"):
        make(features="nowhere").setup()


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


def test_validation_is_always_the_same(make, ready):
    one, other = ready(make()), ready(make())
    assert one.val__len__() == 2
    for index in range(2):
        assert same(one.val__getitem__(index), other.val__getitem__(index))
        assert one.val__getitem__(index).duration_s == 3.0
        assert not one.val__getitem__(index).prompts
    assert not same(one.val__getitem__(0), one.val__getitem__(1))
    batches = [
        task.make_batch(task.collate_fn([task.val__getitem__(0)], "val"), "val")
        for task in (one, other)
    ]
    assert torch.equal(*(batch.features.short for batch in batches))
    assert batches[0].turns == batches[1].turns


def test_validation_windows_are_whole(make, ready):
    """Encoded as what they are; PyanNet's numbers are drawn all the same."""
    task = ready(make())
    drawn = [task.val__getitem__(index) for index in range(2)]
    batch = task.make_batch(task.collate_fn(drawn, "val"), "val")
    assert batch.features.num_positions == 38 and batch.prompted == [[], []]
    rendered = task.validation_simulator.render(drawn, "cpu")
    expected = task.model.encoder(rendered.waveforms)
    torch.testing.assert_close(batch.features.long, expected.long)
    assert batch.turns == rendered.turns


@pytest.mark.parametrize("prompted", [False, True])
def test_batch(make, ready, prompted):
    """Prompts are part of their windows; the first turns are theirs."""
    task = ready(make(prompt_ratio=float(prompted), duration=6.0))
    drawn = task.collate_fn(list(islice(task.train__iter__(), 6)))
    assert isinstance(drawn, Drawn)
    batch = task.make_batch(drawn, "train")
    assert batch.features.short.shape == (6, 75, 192)
    assert all(tensor.isfinite().all() for tensor in batch.features)
    assert len(batch.turns) == len(batch.prompted) == 6
    assert any(batch.prompted) == prompted
    for turns, people, length in zip(batch.turns, batch.prompted, batch.prompt_positions.tolist()):
        assert [turn.speaker for turn in turns[: len(people)]] == people
        assert not people or turns[0].start_s == 0
        assert all(turn.end_s <= 6.0 + 1e-6 for turn in turns)
        assert all(turn.start_s >= length * POSITION_S - 1e-6 for turn in turns[len(people) :])
    again = task.make_batch(drawn, "train")
    assert torch.equal(again.features.probabilities, batch.features.probabilities)


def test_real_conversations_among_prompted_ones_begin_at_once(make, ready, toy):
    task = ready(make(real=toy("Real"), real_ratio=0.5, prompt_ratio=1.0, duration=6.0))
    items = list(islice(task.train__iter__(), 40))
    real = [item for item in items if isinstance(item[0], RealChunk)]
    others = [item for item in items if isinstance(item[0], Conversation)]
    batch = task.make_batch(task.collate_fn([*others[:4], real[0]]), "train")
    assert batch.turns[4] == real[0][0].turns and batch.prompted[4] == []
    assert batch.prompt_positions[4] == 0 and any(batch.prompted[:4])


def test_real_conversations(make, ready, toy):
    """Windows of development conversations; chunks of training ones, by their share."""
    task = ready(make(real=toy("Real"), real_ratio=0.5, prompt_ratio=0.0, duration=3.0))
    assert task.val__len__() == 2 + 4  # 12 s hold 4 windows
    first, last = task.val__getitem__(2), task.val__getitem__(5)
    assert isinstance(first, RealChunk) and first.waveform.shape == (48000,)
    assert [(turn.start_s, turn.end_s) for turn in last.turns] == [(0.0, 3.0)]

    items = list(islice(task.train__iter__(), 30))
    assert {type(example) for example, _ in items} == {Conversation, RealChunk}
    real = next(item for item in items if isinstance(item[0], RealChunk))
    simulated = next(item for item in items if isinstance(item[0], Conversation))
    batch = task.make_batch(task.collate_fn([real, simulated]), "train")
    assert batch.turns == [real[0].turns, simulated[0].turns]  # in the order they came in
    expected = task.model.encoder(real[0].waveform[None])
    torch.testing.assert_close(batch.features.long[0], expected.long[0], atol=1e-3, rtol=1e-3)


def test_augmentation_is_of_training_only(make, ready):
    gain = Gain(min_gain_in_db=-31, max_gain_in_db=-30, p=1.0, output_type="dict")
    task, plain = ready(make(augmentation=gain)), ready(make())
    drawn = [task.val__getitem__(0)]
    cuts = task.collate_fn(drawn, "val")
    heard, expected = (t.make_batch(cuts, "val").features.short for t in (task, plain))
    assert torch.equal(heard, expected)
    task.simulator = task.validation_simulator
    louder = task.make_batch(cuts, "train").features.short
    assert not torch.equal(louder, expected)


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


@pytest.mark.parametrize("kind", ["prompts", "shards", "empty", "bf16"])
def test_fit(make, shards, tmp_path, kind):
    torch.manual_seed(0)
    kwargs = {
        "prompts": {"prompt_ratio": 1.0},
        "shards": {"features": str(shards)},
        "empty": {"prompt_ratio": 0.0, "simulation": {"empty_share": 1.0}},  # nobody speaks
        "bf16": {},
    }[kind]
    task, watch = make(**kwargs), Gradients()
    model = Pix2SeqDiarizer(**TINY, task=task)
    encoders = [weights.clone() for weights in model.encoder.parameters()]
    trainer = Trainer(
        accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        precision="bf16-mixed" if kind == "bf16" else "32-true",
        default_root_dir=tmp_path, callbacks=[watch],
    )  # fmt: skip
    trainer.fit(model)
    assert trainer.global_step == 2
    assert len(watch.losses) == 2 and np.isfinite(watch.losses).all()
    for gradients in watch.gradients:
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        learning = {name for name, gradient in gradients.items() if gradient.abs().max() > 0}
        assert {
            "activity.weight", "end_or_pad.weight", "blocks.2.out.weight", "audio_factors"
        } <= learning  # fmt: skip
        if kind != "empty":
            assert {"bin_key.weight", "evidence_factors", "token_factors"} <= learning
        assert not any(name.startswith("encoder") for name in learning)
    for before, after in zip(encoders, model.encoder.parameters(), strict=True):
        assert torch.equal(before, after)
    # The epoch is over after two batches: it was validated.
    metrics = trainer.callback_metrics
    assert metrics[task.val_monitor[0]].isfinite()
    assert metrics["loss/val"].isfinite()
    assert metrics["DiarizationErrorRate/activity_head"].isfinite()
    if kind != "empty":
        assert metrics["DiarizationErrorRate/oracle_activity"] < 1
