import warnings

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio import Pipeline
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment
from pyannote.database import ProtocolFile
from typer.testing import CliRunner

from pyannote_drz.models.encoders import FeatureEncoder
from pyannote_drz.models.encoders.features import Blocks
from pyannote_drz.pipelines.chunks import ChunkResult
from pyannote_drz.pipelines.embeddings import embed
from pyannote_drz.pipelines.output import VoicePrompts
from pyannote_drz.pipelines.pix2seq import Pix2SeqDiarization
from pyannote_drz.pipelines.stitching import Turn
from pyannote_drz.prompting import POSITION_S

from .speech import features_of, speaker_of

RATE = 16000
POSITION = 1280  # samples


@pytest.fixture
def wav(tmp_path, noise):
    """15 s, in stereo, at 44.1 kHz."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise["waveform"][0, : 30 * 44100].reshape(-1, 2).numpy(), 44100)
    return path


def script(pipeline, monkeypatch, conversation: Annotation):
    """Make the encoders hear, and the model write, the truth.

    Local speakers are numbered by arrival after those of prompts. When something is heard is told
    by the samples, which count; where a chunk begins is told by its long embeddings. Only so many
    speakers are written as there may be.
    """
    prompted_per_chunk = []
    names = sorted(conversation.labels())

    def encode(self, waveform, start, stop, at=0):
        begin = round(float(waveform[0]) / POSITION) - at  # of the recording, in the conversation
        positions = range(begin + start, begin + stop)
        active = []
        for position in positions:
            middle = (position + 0.5) * POSITION_S
            here = conversation.crop(Segment(middle - 0.001, middle + 0.001)).labels()
            active.append(tuple(sorted(names.index(name) for name in here)))
        features = features_of(active)
        long = torch.zeros(len(active), 192)
        long[:, 0] = torch.tensor(positions)
        return features._replace(long=long)

    def encode_file(self, waveform, dtype, progress, empty):
        return encode(self, waveform, 0, -(-len(waveform) // POSITION)).to(dtype)

    def decode(requests):
        return [decode_one(*request) for request in requests]

    def decode_one(features, max_speakers, prompts):
        # what the model has learnt
        assert prompts.features.num_positions + features.num_positions <= 125
        start = float(features.long[0, 0]) * POSITION_S
        local = []
        for begin, end in prompts.spans:
            first, stop = round(begin / POSITION_S), round(end / POSITION_S)
            local.append(names[speaker_of(prompts.features.part(first, stop))])
        prompted_per_chunk.append(tuple(local))
        assert len(local) <= max_speakers <= 4
        chunk = Segment(start, start + features.num_positions * POSITION_S)
        turns = []
        inside = conversation.crop(chunk).itertracks(yield_label=True)
        for segment, _, name in sorted(inside, key=lambda track: track[0]):
            if name not in local and len(local) < max_speakers:
                local.append(name)
            if name in local:
                number = local.index(name)
                turns.append(Turn(segment.start - start, segment.end - start, number, 0.9))
        return ChunkResult(turns, embed(turns, features))

    monkeypatch.setattr(Blocks, "encode", encode)
    monkeypatch.setattr(FeatureEncoder, "encode_file", encode_file)
    monkeypatch.setattr(pipeline, "decode", decode)
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

    assert isinstance(output, DiarizeOutput)
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
    tracks = {(segment, track) for segment, track in diarization.itertracks()}
    assert set(output.confidence) == tracks and set(output.prompts) <= set(labels)
    assert all(0 < p <= 1 for p in output.confidence.values())
    assert output.speaker_embeddings.shape == (len(labels), 192)
    assert np.linalg.norm(output.speaker_embeddings, axis=1) == pytest.approx(1, abs=1e-3)


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


def test_short_turns_are_nobody(pipeline, noise):
    """`min_duration_on`, and always what is shorter than a bin."""
    before = list(pipeline(noise).speaker_diarization.itersegments())
    pipeline.instantiate({"min_duration_on": 0.5})
    after = list(pipeline(noise).speaker_diarization.itersegments())
    assert after == [turn for turn in before if turn.duration >= 0.5 - 1e-6] != before
    for seconds in (0.005, 10.005):  # the last bin is cut by the end of the recording
        pipeline.instantiate({"min_duration_on": 0.0})
        cut = {**noise, "waveform": noise["waveform"][:, : round(seconds * RATE)]}
        turns = pipeline(cut).speaker_diarization.itersegments()
        assert all(turn.duration > 0.02 - 1e-5 for turn in turns)


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
    # Prompts of as long as each other share a batch: how many those are depends on the model.
    done = {name: [c[2:] for c in calls if c[0] == name] for name in ("features", "chunks")}
    assert done["features"][-1] == (4, 4) and done["features"] == sorted(done["features"])
    assert (done["chunks"][0], done["chunks"][-1]) == ((0, 15), (15, 15))
    completed = [c[2] for c in calls if c[0] == "prompted chunks"]
    assert completed == sorted(completed) and (completed[0], completed[-1]) == (0, 28)
    pipeline.batch_size = 4
    assert pipeline(noise).confidence == pytest.approx(output.confidence, abs=1e-4)
    assert [c[0] for c in calls if c[2] is None] == ["clustering", "turns", "diarization"]
    assert [call[0] for call in calls[-2:]] == ["turns", "diarization"]
    assert calls[-1][1] is output.speaker_diarization
    assert all(0 < turn.probability <= 1 for turn in calls[-2][1])


def test_pyannotes_own_hooks(pipeline, wav):
    from pyannote.audio.pipelines.utils.hook import ArtifactHook, Hooks, ProgressHook, TimingHook

    file = {"audio": wav}
    with Hooks(ArtifactHook(), ProgressHook(transient=True), TimingHook()) as hook:
        pipeline(file, hook=hook)
    assert file["timing"].keys() >= {"total", "chunks"}
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
    pipeline.instantiate(fresh.default_parameters())
    assert fresh(noise).speaker_diarization == pipeline(noise).speaker_diarization
    assert fresh.parameters(instantiated=True) == fresh.default_parameters()


# ---- long files, with a model that writes the truth -----------------------------------------


def turns_of(diarization: Annotation) -> list[tuple]:
    tracks = diarization.itertracks(yield_label=True)
    return sorted((round(t.start, 2), round(t.end, 2), label) for t, _, label in tracks)


@pytest.mark.parametrize("num_passes", [1, 2])
@pytest.mark.parametrize("online", [False, True])
def test_seams_and_labels(pipeline, monkeypatch, num_passes, online):
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
    pipeline.instantiate({"num_passes": num_passes})
    diarization = pipeline(counting(45), online=online).speaker_diarization

    names = dict(zip(pipeline.classes(), ["ann", "bob", "cyd"], strict=False))
    assert turns_of(diarization.rename_labels(names)) == turns_of(conversation)
    if num_passes == 1:
        assert set(prompted) == {()}
    elif online:
        assert prompted[0] == () and prompted[-1] == ("ann", "bob", "cyd")
    else:
        assert prompted[:7] == [()] * 7  # pass 1
        assert set(prompted[7:]) == {("ann", "bob", "cyd")}


@pytest.mark.parametrize("online", [False, True])
def test_twelve_speakers_and_four_of_them_in_a_window(pipeline, monkeypatch, online):
    everybody = [f"person {i:02d}" for i in range(12)]
    order = everybody + everybody[-3:] + everybody[:5]  # some come back
    turns = [(4.0 * i, 4.0 * i + 3, name) for i, name in enumerate(order)]
    prompted = script(pipeline, monkeypatch, conversation_of(*turns))
    diarization = pipeline(counting(80), online=online).speaker_diarization

    names = dict(zip(pipeline.classes(), everybody, strict=False))
    assert turns_of(diarization.rename_labels(names)) == turns_of(conversation_of(*turns))
    assert max(len(names) for names in prompted) == (3 if online else 4)
    if not online:  # who speaks in a chunk is prompted in it
        chunks = [(3.0 * i, 3.0 * i + 6) for i in range(25)]
        for (start, end), names in zip(chunks, prompted[13:], strict=False):
            assert {name for s, e, name in turns if s < end and e > start} <= set(names)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_max_speakers_over_the_whole_file(pipeline, monkeypatch, online, most):
    order = [f"person {i}" for i in (0, 1, 2, 0, 3, 4, 1, 5, 6, 0, 2, 1)]
    turns = [(4.0 * i, 4.0 * i + 3, name) for i, name in enumerate(order)]
    script(pipeline, monkeypatch, conversation_of(*turns))
    output = pipeline(counting(50), online=online, max_speakers=most)
    assert len(output.speaker_diarization.labels()) == most


@pytest.mark.parametrize("wanted", [2, 3, 5])
def test_min_speakers_are_told_apart(pipeline, monkeypatch, wanted):
    turns = [(3.0 * i, 3.0 * i + 2, "ann" if i % 3 else "bob") for i in range(12)]
    script(pipeline, monkeypatch, conversation_of(*turns))
    for asked in ({"min_speakers": wanted}, {"num_speakers": wanted}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            diarization = pipeline(counting(36), **asked).speaker_diarization
        assert len(diarization.labels()) == wanted
        assert [t[:2] for t in turns_of(diarization)] == [t[:2] for t in turns]


def test_one_chunk_can_be_split(pipeline, monkeypatch):
    script(pipeline, monkeypatch, conversation_of((0, 2, "ann"), (3, 5, "ann"), (6, 8, "ann")))
    output = pipeline(counting(9), num_speakers=2)
    assert len(output.speaker_diarization.labels()) == 2
    assert set(output.prompts) == {"SPEAKER_00", "SPEAKER_01"}


def test_somebody_without_prompt_is_recognized_at_the_seam(pipeline, monkeypatch):
    conversation = conversation_of((0.0, 9.5, "ann"), (6.2, 9.0, "bob"))  # bob is never alone
    script(pipeline, monkeypatch, conversation)
    diarization = pipeline(counting(12)).speaker_diarization
    assert [turn[:2] for turn in turns_of(diarization)] == [(0.0, 9.5), (6.2, 9.0)]
    # In a stream, who is never alone is nobody new (`tracking.NEWCOMER_S`).
    told = pipeline(counting(12), online=True).speaker_diarization
    assert [turn[:2] for turn in turns_of(told)] == [(0.0, 9.5)]


# ---- speakers known by name -------------------------------------------------------------------


def recording(start: float, end: float) -> dict:
    samples = torch.arange(round(start * RATE), round(end * RATE), dtype=torch.float32)
    return {"waveform": samples, "sample_rate": RATE}


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("num_passes", [1, 2])
def test_known_speakers(pipeline, monkeypatch, online, num_passes):
    """The first minute is heard as recordings of known voices, the rest as the file."""
    conversation = conversation_of(
        (1, 8, "ann"), (21, 30, "bob"), (26, 27, "ann"), (41, 44, "eve"),  # known beforehand
        (61, 64, "bob"), (65, 69, "cyd"), (70, 75, "ann"), (74, 76, "cyd"), (80, 85, "dan"),
    )  # fmt: skip
    script(pipeline, monkeypatch, conversation)
    pipeline.instantiate({"num_passes": num_passes})
    known = {"Ann": recording(0, 20), "Bob": recording(20, 40), "Eve": recording(40, 44)}
    file = recording(60, 90)
    output = pipeline(file, known_speakers=known, online=online)

    names = {"Ann": "ann", "Bob": "bob", "SPEAKER_00": "cyd", "SPEAKER_01": "dan"}
    told = turns_of(output.speaker_diarization.rename_labels(names))
    spoken = [turn for turn in turns_of(conversation) if turn[0] > 60]
    assert [turn[2] for turn in told] == [turn[2] for turn in spoken]
    assert set(output.prompts) == set(names)  # nobody hears Eve
    assert output.prompts["SPEAKER_00"]["segments"] != []


def test_prompts_are_saved_and_known_in_the_next_file(pipeline, monkeypatch, tmp_path):
    conversation = conversation_of((1, 4, "ann"), (5, 9, "bob"), (20, 24, "bob"), (25, 27, "cyd"))
    script(pipeline, monkeypatch, conversation)
    monday = pipeline(recording(0, 10)).prompts
    assert list(monday) == ["SPEAKER_00", "SPEAKER_01"]
    assert monday["SPEAKER_01"]["segments"] == [(5, 9)]
    assert monday["SPEAKER_01"]["confidence"] == pytest.approx(0.9)

    path = VoicePrompts({"Ann": monday["SPEAKER_00"], "Bob": monday["SPEAKER_01"]}).save(
        tmp_path / "team.safetensors"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["team.safetensors"]
    team = VoicePrompts.load(path)
    assert torch.equal(team["Bob"].pop("waveform"), monday["SPEAKER_01"].pop("waveform"))
    assert team["Bob"]["confidence"] == monday["SPEAKER_01"]["confidence"]
    tuesday = pipeline(recording(19, 29), known_speakers=VoicePrompts.load(path))
    assert tuesday.speaker_diarization.labels() == ["Bob", "SPEAKER_00"]

    for bad in ("nowhere.safetensors", __file__):
        with pytest.raises(ValueError, match="cannot read voices from"):
            VoicePrompts.load(bad)
    with pytest.raises(ValueError, match="no voices were found.*nobody.safetensors"):
        VoicePrompts().save(tmp_path / "nobody.safetensors")
    assert not list(tmp_path.glob("nobody*"))


def test_bad_known_speakers(pipeline, monkeypatch, noise):
    script(pipeline, monkeypatch, conversation_of((50, 60, "ann")))
    for known, message in (
        ([1], "must map names to recordings, got list"),
        ({"": recording(0, 1)}, "must have a name, got ''"),
        ({"ann": "nowhere.wav"}, "nowhere.wav"),
        ({"ann": recording(0, 20)}, "no voice was heard in the recording of known speaker 'ann'"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline(counting(20), known_speakers=known)


# ---- streams --------------------------------------------------------------------------------


def test_a_stream_is_an_online_file_whatever_its_blocks(pipeline, noise):
    waveform = noise["waveform"][:, : 33 * RATE + 123]
    options = {"step": 1.5, "lookahead": 1.0}
    expected = pipeline({**noise, "waveform": waveform}, online=True, **options)
    assert expected.speaker_diarization
    for size in (0.3, 2.5, 100):
        stream = pipeline.stream(waveform.split(round(size * RATE), dim=1), **options)
        updates = list(stream)
        assert stream.latency == 2.5
        assert stream.output.confidence == expected.confidence
        assert turns_of(stream.output.speaker_diarization) == turns_of(expected.speaker_diarization)
        assert updates[0].start == 0 and updates[-1].end == waveform.shape[1] / RATE
        for update, following in zip(updates, updates[1:], strict=False):
            assert update.end == following.start
        for update in updates:
            for turn, _ in update.diarization.itertracks():
                assert update.start <= turn.start < turn.end <= update.end


def test_a_stream_tells_as_late_as_it_says_and_looks_no_further(pipeline, noise):
    read = []

    def blocks():
        for block in noise["waveform"][:, : 20 * RATE].split(RATE // 10, dim=1):
            read.append(block.shape[1])
            yield block

    stream = pipeline.stream(blocks(), step=1.0, lookahead=0.5)
    for update in stream:
        assert sum(read) / RATE - update.start <= stream.latency + 0.1


def test_a_stream_at_another_rate(pipeline, wav):
    samples, rate = soundfile.read(wav, dtype="float32")
    expected = pipeline(wav, online=True)
    stream = pipeline.stream(iter(torch.tensor(samples.T).split(1000, dim=1)), rate)
    assert list(stream) and turns_of(stream.output.speaker_diarization) == turns_of(
        expected.speaker_diarization
    )


def test_bad_streams(pipeline):
    for options, message in (
        ({"step": 0.0}, "step must be a number of seconds, got 0.0"),
        ({"lookahead": -1.0}, "lookahead must be a number of seconds, got -1.0"),
        ({"step": 9.0, "lookahead": 2.0}, "must fit into a chunk of 6 s, got 9 and 2 s"),
        ({"sample_rate": 0}, "sample_rate must be a number of hertz, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline.stream([], **options)
    for block in (torch.zeros(3, dtype=torch.int16), torch.tensor([float("nan")])):
        with pytest.raises(ValueError, match="a block"):
            list(pipeline.stream([block]))
    assert list(pipeline.stream([])) == []


# ---- many files -----------------------------------------------------------------------------


def test_files_of_a_list_share_batches(pipeline, noise, monkeypatch):
    pipeline.batch_size = 16
    starts = (0, 31, 55)
    files = [
        {**noise, "waveform": noise["waveform"][:, s * RATE : (s + 24) * RATE], "uri": str(s)}
        for s in starts
    ]
    alone = {file["uri"]: pipeline(file) for file in files}
    sizes, decode = [], pipeline.decode
    monkeypatch.setattr(pipeline, "decode", lambda some: sizes.append(len(some)) or decode(some))
    for file, output in pipeline(files):
        expected = alone[file["uri"]]
        assert output.confidence == pytest.approx(expected.confidence, abs=1e-4)
    assert sizes[0] == 3 * 4 and len(sizes) <= 4


def test_pipeline_kwargs_of_a_list(pipeline, noise):
    files = [{**noise, "uri": "one", "pipeline_kwargs": {"max_speakers": 1}}, {**noise, "uri": "2"}]
    one, free = (output.speaker_diarization for _, output in pipeline(files))
    assert len(one.labels()) == 1 < len(free.labels())


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
    assert set(best["params"]) == set(pipeline.default_parameters())


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


def test_long_recordings_are_told_the_same(pipeline, wav, monkeypatch):
    """On the disk instead of in memory."""
    expected = pipeline(wav).speaker_diarization
    monkeypatch.setattr("pyannote_drz.io.longs.LONG_S", 1.0)
    assert pipeline(wav).speaker_diarization == expected
