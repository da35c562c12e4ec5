"""Who said what: words keep their order, and are said by whoever has the floor."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyannote.audio import Pipeline
from pyannote.core import Annotation, Segment
from typer import Typer
from typer.testing import CliRunner

import pyannote_drz
from pyannote_drz.cli.demo import find_sample


@pytest.fixture(scope="module")
def words(recipe):
    return recipe("words/who_said_what.py")


def turns(*turns) -> Annotation:
    annotation = Annotation()
    for track, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), track] = speaker
    return annotation


AB = turns((0, 2, "A"), (2, 4, "B"), (8, 9, "A"))


def timed(text: str, *times, **more) -> dict:
    """A segment as WhisperX has it; None: a word without times."""
    said = [
        {"word": word} if time is None else {"word": word, "start": time[0], "end": time[1]}
        for word, time in zip(text.split(), times, strict=True)
    ]
    return {"start": 0.0, "end": 10.0, "text": text, "words": said, **more}


def speakers(transcript: dict) -> list:
    return [word["speaker"] for line in transcript["segments"] for word in line["words"]]


def test_lines_are_cut_where_the_speaker_changes(words):
    segment = timed("How are you? Fine.", (0, 0.5), (0.5, 1), (1, 1.5), (2.5, 3), start=0, end=3)
    spoken = words.assign({"language": "en", "segments": [segment]}, AB)
    lines = [(x["start"], x["end"], x["speaker"], x["text"]) for x in spoken["segments"]]
    assert lines == [(0, 1.5, "A", "How are you?"), (2.5, 3, "B", "Fine.")]
    assert spoken["language"] == "en" and "speaker" not in segment["words"][0]
    assert words.to_srt(spoken) == (
        "1\n00:00:00,000 --> 00:00:01,500\nA: How are you?\n\n"
        "2\n00:00:02,500 --> 00:00:03,000\nB: Fine.\n\n"
    )


@pytest.mark.parametrize(
    "time, speaker",
    [
        ((1.5, 2.2), "A"),  # most of it
        ((1.9, 2.5), "B"),
        ((2.5, 2.5), "B"),  # no time at all, within a turn
        ((4.2, 4.9), "B"),  # nearest
        ((7.0, 7.8), "A"),
        ((5.5, 6.5), None),  # nobody is near
        ((0, 10), "A"),  # 2 + 1 s against 2
    ],
)
def test_who_says_a_word(words, time, speaker):
    assert speakers(words.assign({"segments": [timed("so", time)]}, AB)) == [speaker]


def test_the_gap_is_told(words):
    segments = [timed("so", (5.5, 6.5))]
    assert speakers(words.assign({"segments": segments}, AB, gap=1.5)) == ["B"]
    assert speakers(words.assign({"segments": segments}, turns())) == [None]
    with pytest.raises(ValueError, match="gap must be .*-1"):
        words.assign({"segments": segments}, AB, gap=-1)


def test_words_without_times_share_what_is_left(words):
    segment = timed("In 19 90 it was", (0, 1), None, None, (2.6, 3), None, start=0, end=3.4)
    times = words.times_of(segment).ravel().tolist()
    assert times == pytest.approx([0, 1, 1, 1.8, 1.8, 2.6, 2.6, 3, 3, 3.4])
    spoken = words.assign({"segments": [segment]}, AB)
    assert speakers(spoken) == ["A", "A", "B", "B", "B"]
    assert spoken["segments"][0]["words"][1] == {"word": "19", "speaker": "A"}  # no made-up times


def test_a_segment_without_words_is_its_text(words, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(
        json.dumps({"segments": [timed("a", (0, 1)), {"start": 1, "end": 3, "text": "b c"}]})
    )
    spoken = words.assign(words.read_transcript(path), AB)
    assert speakers(spoken) == ["A", "A", "B"]


def test_text_is_kept_as_it_was(words):
    whisper = {**timed("a b", (0, 1), (2, 3)), "text": " a, b!"}
    chinese = {**timed("你 好", (0, 1), (2, 3)), "text": "你好"}
    other = {**timed("x y", (0, 1), (1, 2)), "text": "not these"}
    spoken = words.assign({"segments": [whisper, chinese, other]}, AB)
    assert [x["text"] for x in spoken["segments"]] == ["a,", "b!", "你", "好", "x y"]


seconds = st.floats(0, 20, allow_nan=False)
spans = st.tuples(seconds, seconds).map(sorted)


@given(
    st.lists(st.lists(st.none() | spans, min_size=1, max_size=6), max_size=4),
    st.lists(st.tuples(st.floats(0.1, 3), st.floats(0, 3), st.sampled_from("ABC")), max_size=6),
)
def test_all_words_come_back_in_order(words, segments, lengths):
    at, spoken_turns = 0.0, []
    for length, pause, speaker in lengths:
        spoken_turns.append((at, at + length, speaker))
        at += length + pause
    transcript = {
        "segments": [
            timed(" ".join(f"w{i}x{j}" for j in range(len(times))), *times)
            for i, times in enumerate(segments)
        ]
    }
    spoken = words.assign(transcript, turns(*spoken_turns))
    said = [word for line in spoken["segments"] for word in line["words"]]
    given_words = [word for segment in transcript["segments"] for word in segment["words"]]
    assert [{k: v for k, v in w.items() if k != "speaker"} for w in said] == given_words
    assert " ".join(line["text"] for line in spoken["segments"]) == " ".join(
        segment["text"] for segment in transcript["segments"]
    )
    for line in spoken["segments"]:
        assert {word["speaker"] for word in line["words"]} == {line["speaker"]}


def test_turns_must_not_overlap(words):
    with pytest.raises(ValueError, match="0.000 s and 1.000 s do: take exclusive"):
        words.assign({"segments": []}, turns((0, 2, "A"), (1, 3, "B")))


@pytest.fixture
def run(words):
    app = Typer()
    app.command()(words.main)
    return lambda *told: CliRunner().invoke(app, [str(word) for word in told])


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "cannot read the transcript"),
        ('{"text": "no"}', "has no list of segments"),
        ('[{"text": 3}]', "segment 0: must have a text, got {'text': 3}"),
        ('[{"text": "a", "start": 2, "end": 1}]', r"segment 0: start and end .* got \[2, 1\]"),
        ('[{"text": "a", "start": 0, "end": 1}]', "no times of words: whisper needs"),
        ('[{"text": "a", "words": [[0, 1, "a"]]}]', "segment 0, word 0: must have a 'word'"),
        ('[{"text": "a", "words": [{"word": "a", "start": 1}]}]', r"word 0: .* got \[1, None\]"),
    ],
)
def test_bad_transcripts(run, tmp_path, text, told):
    path = tmp_path / "x.json"
    path.write_text(text)
    result = run(path, "--diarization", path, "--out", tmp_path / "out")
    assert isinstance(result.exception, ValueError) and re.search(told, str(result.exception))
    assert not (tmp_path / "out").exists()


def test_bad_calls(run, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([timed("a", (0, 1))]))
    assert "either --audio or" in str(run(path, "--out", tmp_path / "o").exception)
    same = run(path, "--diarization", path, "--out", tmp_path)
    assert "would be overwritten" in str(same.exception)
    other = run(path, "--diarization", path, "--out", tmp_path / "o")
    assert "is no JSON of `pyannote-drz diarize --json`" in str(other.exception)
    assert not (tmp_path / "o").exists()


def test_packaged_model(run, tmp_path):
    """Words invented at the middle of each turn that was heard are that turn's speaker's."""
    wav, _ = find_sample()
    output = Pipeline.from_pretrained(pyannote_drz.PRETRAINED)(wav)
    exclusive = list(output.exclusive_speaker_diarization.itertracks(yield_label=True))
    assert exclusive
    segments = [
        timed("so", (turn.middle - 0.01, turn.middle + 0.01), start=turn.start, end=turn.end)
        for turn, _, _ in exclusive
    ]
    (tmp_path / "x.json").write_text(json.dumps({"segments": segments}))
    (tmp_path / "turns.json").write_text(json.dumps(output.serialize()))
    a = run(tmp_path / "x.json", "--audio", wav, "--out", tmp_path / "a")
    b = run(tmp_path / "x.json", "--diarization", tmp_path / "turns.json", "--out", tmp_path / "b")
    assert (a.exit_code, b.exit_code) == (0, 0), a.output + b.output
    spoken = json.loads((tmp_path / "a" / "x.json").read_text())
    assert speakers(spoken) == [speaker for _, _, speaker in exclusive]
    for name in ("x.json", "x.srt"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
