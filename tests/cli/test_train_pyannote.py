"""`pyannote-audio-train` with pyannote.audio's own tasks and models, without FFmpeg."""

from pathlib import Path

import pytest
import torch
from pyannote.audio import Model
from pyannote.database import registry

from pyannote_drz.cli.protocols import load_protocol, load_registry
from pyannote_drz.cli.train import make_augmentation

SMALL = [
    "task.num_workers=0", "task.duration=2", "trainer.accelerator=cpu",
    "trainer.num_sanity_val_steps=0", "trainer.enable_model_summary=false", "~logger",
]  # fmt: skip
DIARIZATION = ["task=SpeakerDiarization", "model=PyanNet", "model.lstm.hidden_size=16",
               "model.lstm.num_layers=1", "model.linear.hidden_size=16",
               "task.max_speakers_per_chunk=3", "task.batch_size=4"]  # fmt: skip

EXCERPTS = """
Protocols:
  X:
    SpeakerDiarization:
      CliExcerpts:
        train: {AMIExcerpts.SpeakerDiarization.only_words: [development]}
        development: {AMIExcerpts.SpeakerDiarization.only_words: [development]}
"""

CLASSES = """
Protocols:
  CliToy:
    SpeakerDiarization:
      Classes:
        scope: global
        classes: [train0, train1, train2, train3]
        train: {uri: train.lst, annotation: train.rttm, annotated: train.uem}
"""


def step_of(checkpoint: str) -> int:
    return torch.load(checkpoint, weights_only=False)["global_step"]


def test_excerpts_train_resume_sweep_and_fine_tune(command, shared, capsys):
    Path("excerpts.yml").write_text(EXCERPTS)
    begin = [f"registry=[{shared}/database.yml,excerpts.yml]", *SMALL,
             "protocol=X.SpeakerDiarization.CliExcerpts", "trainer.limit_train_batches=3",
             "trainer.limit_val_batches=2"]  # fmt: skip
    command(*begin, *DIARIZATION, "hydra.run.dir=run", "trainer.max_epochs=1",
            "augmentation=Mix", "preprocessor=LowerTemporalResolution")  # fmt: skip
    assert step_of("run/last.ckpt") == 3
    command(*begin, *DIARIZATION, "hydra.run.dir=run", "trainer.max_epochs=2", "resume=auto")
    assert step_of("run/last.ckpt") == 6
    assert isinstance(Model.from_pretrained("run/best.ckpt"), Model)
    assert not Path("run/pipeline").exists()  # a segmentation model is no pipeline

    command("-m", "optimizer.lr=1e-3,1e-4", *begin, *DIARIZATION, "trainer.max_epochs=1",
            "hydra.sweep.dir=sweep")  # fmt: skip
    assert step_of("sweep/0/last.ckpt") == step_of("sweep/1/last.ckpt") == 3

    capsys.readouterr()
    command(*begin, "task=VoiceActivityDetection", "task.batch_size=4", "model=Pretrained",
            "model.checkpoint=run/best.ckpt", "trainer.max_epochs=1",
            "hydra.run.dir=vad")  # fmt: skip
    assert "tensors of weights come from run/best.ckpt" in capsys.readouterr().out
    begun = torch.load("vad/last.ckpt", weights_only=False)["state_dict"]
    assert begun["classifier.weight"].shape[0] == 1  # what depends on the task is new


@pytest.mark.parametrize(
    "protocol, task, model, size",
    [
        ("Classes", "MultiLabelSegmentation", "DebugSegmentation", "batch_size=2"),
        ("Voices", "SpeakerEmbedding", "XVectorMFCC", "num_classes_per_batch=2"),
    ],
)
def test_other_tasks_and_models(command, database, protocol, task, model, size):
    classes = database.parent / "classes.yml"
    classes.write_text(CLASSES)
    command(f"registry=[{database},{classes}]", f"protocol=CliToy.SpeakerDiarization.{protocol}",
            *SMALL, f"task={task}", f"task.{size}", f"model={model}", "trainer.max_steps=1",
            "hydra.run.dir=run")  # fmt: skip


def test_preprocessor(database):
    class Nobody:
        preprocessed_key = "annotation"

        def __call__(self, file):
            return file["annotation"].empty()

    load_registry(str(database))
    name = "CliToy.SpeakerDiarization.Voices"
    assert name in list(registry)
    assert all(file["annotation"] for file in load_protocol(name).train())
    assert not any(file["annotation"] for file in load_protocol(name, Nobody()).train())
    with pytest.raises(ValueError, match="preprocessor=function does not tell its"):
        load_protocol(name, lambda file: file)


def test_augmentation():
    augmentation = make_augmentation({"transform": "Gain", "params": {"p": 1.0}})
    assert augmentation(torch.ones(1, 1, 100), sample_rate=16000).samples.shape == (1, 1, 100)
    with pytest.raises(ValueError, match="does not implement Goin"):
        make_augmentation({"transform": "Goin"})
    with pytest.raises(ValueError, match="augmentation=Gain: .*'q'"):
        make_augmentation({"transform": "Gain", "params": {"q": 1.0}})
