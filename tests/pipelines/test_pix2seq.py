import warnings

import pytest
import soundfile
import torch
from pyannote.audio import Pipeline
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment
from pyannote.database import ProtocolFile
from typer.testing import CliRunner

from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization
from pyannote_drz.pipelines.stitching import Turn

RATE = 16000


@pytest.fixture
def wav(tmp_path, noise):
    """15 s, in stereo, at 44.1 kHz."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise["waveform"][0, : 30 * 44100].reshape(-1, 2).numpy(), 44100)
    return path


def script(pipeline, monkeypatch, conversation: Annotation):
    """Make the model write the truth, with letters by arrival after those of prompts.

    Voices are told from the samples: the value of each sample says who speaks.
    """
    prompted_per_chunk = []

    def write(waveform, prompts, max_speakers):
        start = float(waveform[0]) / RATE  # the file counts its samples
        names = []
        if prompts is not None:
            for voice, length in zip(prompts.waveforms[0], prompts.lengths[0], strict=True):
                middle = float(voice[length // 2]) / RATE
                (name,) = conversation.crop(Segment(middle - 0.01, middle + 0.01)).labels()
                names.append(name)
        prompted_per_chunk.append(tuple(names))
        chunk = Segment(start, start + len(waveform) / RATE)
        turns = []
        for segment, _, name in conversation.crop(chunk).itertracks(yield_label=True):
            if name not in names:
                names.append(name)
            turns.append(Turn(segment.start - start, segment.end - start, names.index(name), 0.9))
        assert len(names) <= max_speakers <= 4
        return turns

    monkeypatch.setattr(pipeline, "write", write)
    return prompted_per_chunk


def counting(duration: float) -> dict:
    """A file whose samples count from 0."""
    samples = torch.arange(round(duration * RATE), dtype=torch.float32)
    return {"waveform": samples[None], "sample_rate": RATE, "uri": "counting"}


def conversation_of(*turns: tuple[float, float, str]) -> Annotation:
    annotation = Annotation(uri="counting")
    for track, (start, end, name) in enumerate(turns):
        annotation[Segment(start, end), track] = name
    return annotation


# ---- the whole path, untrained --------------------------------------------------------------


def test_output(pipeline, noise):
    output = pipeline(noise)

    assert isinstance(output, DiarizeOutput) and output.speaker_embeddings is None
    diarization, alone = output.speaker_diarization, output.exclusive_speaker_diarization
    assert diarization.uri == alone.uri == "noise"
    labels = diarization.labels()
    assert labels == [f"SPEAKER_{i:02d}" for i in range(len(labels))] and labels
    arrivals = [diarization.label_timeline(label)[0].start for label in labels]
    assert arrivals == sorted(arrivals)
    assert Segment(0, 90).duration >= diarization.get_timeline().extent().end
    assert not alone.get_overlap()
    assert alone.get_timeline().support() == diarization.get_timeline().support()
    assert set(output.serialize()) == {"diarization", "exclusive_diarization"}


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_max_speakers_is_never_exceeded(pipeline, noise, most):
    assert len(pipeline(noise, max_speakers=most).speaker_diarization.labels()) <= most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = pipeline(noise, num_speakers=most)
    assert len(output.speaker_diarization.labels()) <= most


@pytest.mark.parametrize("asked", [{"num_speakers": 3}, {"min_speakers": 3}])
def test_one_warning_when_the_audio_does_not_have_that_many(pipeline, monkeypatch, asked):
    script(pipeline, monkeypatch, conversation_of((1, 2, "ann")))
    with pytest.warns(UserWarning) as caught:
        pipeline(counting(5), **asked)
    assert [str(one.message) for one in caught] == [
        "3 speakers were asked for, 1 were heard in 'counting'."
    ]


def test_nobody_speaks(pipeline, monkeypatch):
    script(pipeline, monkeypatch, conversation_of())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = pipeline(counting(25), max_speakers=3)
    assert not output.speaker_diarization and not output.exclusive_speaker_diarization
    assert output.speaker_diarization.uri == "counting"


def test_threshold(pipeline, noise):
    everything = pipeline(noise).speaker_diarization
    pipeline.instantiate({"threshold": 1.0, "min_duration_off": 0.0})
    assert everything and not pipeline(noise).speaker_diarization


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 0.5, 3.0, 10.0, 10.01, 10.5])
def test_any_length(pipeline, noise, seconds):
    waveform = noise["waveform"][:, : max(1, round(seconds * RATE))]
    output = pipeline({"waveform": waveform, "sample_rate": RATE})
    assert all(turn.end <= seconds for turn, _ in output.speaker_diarization)


def test_every_way_in(pipeline, wav):
    expected = pipeline(wav).speaker_diarization
    samples, rate = soundfile.read(wav, dtype="float32")
    assert expected and expected.uri == "talk"
    with open(wav, "rb") as opened:
        for file in (
            str(wav),
            {"audio": wav},
            opened,
            {"audio": opened, "uri": "open"},
            {"waveform": torch.tensor(samples.T), "sample_rate": rate},
            ProtocolFile({"uri": "protocol"}, lazy={"audio": lambda file: wav}),
        ):
            assert list(pipeline(file).speaker_diarization) == list(expected)


def test_a_list_is_its_files(pipeline, wav, noise):
    results = dict(
        (file["uri"], output.speaker_diarization) for file, output in pipeline([wav, noise])
    )
    assert results == {
        "talk": pipeline(wav).speaker_diarization,
        "noise": pipeline(noise).speaker_diarization,
    }
    with pytest.raises(ValueError, match="distinct uris, got twice: \\['talk'\\]"):
        pipeline([wav, str(wav)])


def test_pipeline_kwargs_of_a_file(pipeline, noise):
    file = {**noise, "pipeline_kwargs": {"max_speakers": 1}}
    assert len(pipeline(file, max_speakers=4).speaker_diarization.labels()) == 1


def test_hooks(pipeline, noise):
    calls = []

    def hook(step, artifact, file=None, total=None, completed=None):
        assert file["uri"] == "noise"
        calls.append((step, artifact, completed, total))

    output = pipeline(noise, hook=hook)
    chunks = [(completed, total) for step, _, completed, total in calls if step == "chunks"]
    assert chunks == [(i, len(chunks) - 1) for i in range(len(chunks))] and len(chunks) > 10
    assert [call[0] for call in calls[-2:]] == ["turns", "diarization"]
    assert calls[-1][1] is output.speaker_diarization
    assert all(0 < turn.probability <= 1 for turn in calls[-2][1])


def test_pyannotes_own_hooks(pipeline, wav):
    from pyannote.audio.pipelines.utils.hook import ArtifactHook, Hooks, ProgressHook, TimingHook

    file = {"audio": wav}
    with Hooks(ArtifactHook(), ProgressHook(transient=True), TimingHook()) as hook:
        pipeline(file, hook=hook)
    assert file["timing"].keys() == {"total", "chunks"}
    assert isinstance(file["artifact"]["diarization"], Annotation)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_speakers": 0}, "num_speakers must be a whole number from 1 up, got 0."),
        ({"max_speakers": 2.5}, "max_speakers must be a whole number from 1 up, got 2.5."),
        ({"min_speakers": "two"}, "min_speakers must be a whole number from 1 up, got 'two'."),
        ({"min_speakers": 3, "max_speakers": 2}, "min_speakers must be smaller"),
    ],
)
def test_impossible_numbers_of_speakers(pipeline, noise, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(noise, **options)


def test_bad_inputs(pipeline, tmp_path, model):
    (tmp_path / "text.wav").write_text("not audio")
    for file in ("nowhere.wav", tmp_path / "text.wav", {"uri": "nothing"}, 3):
        with pytest.raises(ValueError):
            pipeline(file)
    with pytest.raises(ValueError, match="context must be .* less than half .* 10 s, got 5"):
        Pix2SeqDiarization(model, context=5.0)
    with pytest.raises(ValueError, match="must be a Pix2SeqDiarizer, got PyanNet"):
        from pyannote.audio.models.segmentation import PyanNet

        Pix2SeqDiarization(PyanNet())


def test_defaults_need_no_instantiation(model, noise, pipeline):
    fresh = Pix2SeqDiarization(model, context=2.0)
    assert fresh(noise).speaker_diarization == pipeline(noise).speaker_diarization
    assert fresh.parameters(instantiated=True) == fresh.default_parameters()


# ---- long files, with a model that writes the truth -----------------------------------------


def test_seams_and_labels(pipeline, monkeypatch):
    conversation = conversation_of(
        (0.0, 3.0, "ann"),
        (2.5, 21.0, "bob"),  # over two seams, at 8 and 14 s
        (4.0, 5.0, "ann"),
        (13.9, 14.2, "ann"),
        (30.0, 33.0, "cyd"),
        (33.5, 38.4, "ann"),  # 13 s after her last word
        (37.0, 44.0, "bob"),
    )
    prompted = script(pipeline, monkeypatch, conversation)
    diarization = pipeline(counting(45)).speaker_diarization

    names = dict(zip(pipeline.classes(), ["ann", "bob", "cyd"], strict=False))
    turns = sorted((t.start, t.end, names[label]) for t, label in diarization)
    expected = sorted((t.start, t.end, label) for t, label in conversation)
    assert [turn[2] for turn in turns] == [turn[2] for turn in expected]
    for found, true in zip(turns, expected, strict=True):
        assert found[:2] == pytest.approx(true[:2], abs=1e-3)
    assert prompted[0] == () and prompted[1] == ("ann", "bob")
    assert prompted[-1] == ("ann", "bob", "cyd")  # four letters: one is left for a newcomer


def test_more_people_than_letters(pipeline, monkeypatch):
    everybody = [f"person {i}" for i in range(7)]
    order = everybody + everybody[-3:]  # the last three come back
    turns = [(6.0 * i, 6.0 * i + 2, name) for i, name in enumerate(order)]
    prompted = script(pipeline, monkeypatch, conversation_of(*turns))
    diarization = pipeline(counting(60)).speaker_diarization

    assert diarization.labels() == [f"SPEAKER_{i:02d}" for i in range(7)]
    assert max(len(names) for names in prompted) == 3


def test_somebody_without_prompt_is_recognised_at_the_seam(pipeline, monkeypatch):
    conversation = conversation_of((0.0, 9.5, "ann"), (6.2, 9.0, "bob"))  # bob is never alone
    script(pipeline, monkeypatch, conversation)
    diarization = pipeline(counting(12)).speaker_diarization
    assert sorted((round(t.start, 3), round(t.end, 3)) for t, _ in diarization) == [
        (0.0, 9.5),
        (6.2, 9.0),
    ]


# ---- pyannote's own tools -------------------------------------------------------------------


def test_optimizer_scores_what_it_gets(pipeline, noise):
    from pyannote.pipeline.optimizer import Optimizer

    reference = conversation_of((0, 8, "ann"), (9, 20, "bob"))
    uem = reference.get_timeline().extent()
    file = {**noise, "annotation": reference, "annotated": Annotation().get_timeline().add(uem)}
    files = [{**file, "uri": uri} for uri in ("first", "second")]
    for file in files:
        file["waveform"] = file["waveform"][:, : 20 * RATE]
    best = Optimizer(pipeline).tune(files, n_iterations=1, show_progress=False)
    assert set(best["params"]) == {"threshold", "min_duration_off"}


def test_pyannote_audio_apply_without_ffmpeg(folder, wav, monkeypatch):
    from pyannote.audio.__main__ import app
    from pyannote.audio.core import io

    def no_decoder(*args):
        raise RuntimeError("torchcodec was asked to decode")

    monkeypatch.setattr(io, "AudioDecoder", no_decoder)
    # usage statistics, on by default, would decode the file to measure it
    monkeypatch.setattr("pyannote.audio.core.pipeline.track_pipeline_apply", no_decoder)
    expected = Pipeline.from_pretrained(folder)(wav).speaker_diarization.to_rttm()
    result = CliRunner().invoke(app, ["apply", str(folder), str(wav), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert expected and expected in result.output
