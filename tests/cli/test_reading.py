"""What `formats` writes is read again; what others write is read; bad input is told by its line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid
from pyannote.core import Annotation, Segment
from pympi import Elan

from pyannote_drz.cli import formats
from pyannote_drz.cli.formats import Diarized
from pyannote_drz.cli.reading import READERS, read_annotations
from pyannote_drz.pipelines.output import Pix2SeqOutput as Output
from pyannote_drz.pipelines.output import annotate, confidence_of
from pyannote_drz.pipelines.stitching import Turn, exclusive, merge

DURATION = 60.0
NAMES = {0: "SPEAKER_00", 1: 'Anna "A." Müller', 2: "王"}

turns_of_anybody = st.lists(
    st.builds(
        lambda start, length, speaker: Turn(
            start / 50, min((start + length) / 50, DURATION), speaker, 0.5
        ),
        st.integers(0, 2990), st.integers(1, 500), st.integers(0, 2),
    ),
    max_size=12,
).map(merge)  # fmt: skip


def diarized(turns) -> Diarized:
    output = Output(
        speaker_diarization=annotate(turns, NAMES, "meeting"),
        exclusive_speaker_diarization=annotate(exclusive(turns), NAMES, "meeting"),
        confidence=confidence_of(turns),
    )
    return Diarized(Path("meeting.wav"), "meeting", DURATION, output)


def triples(annotation: Annotation) -> list[tuple[float, float, str]]:
    return sorted(
        (round(turn.start, 3), round(turn.end, 3), label)
        for turn, _, label in annotation.itertracks(yield_label=True)
    )


def read(folder: Path, name: str, text: str) -> dict[str, list[tuple[float, float, str]]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return {uri: triples(annotation) for uri, annotation in read_annotations(path).items()}


@given(turns_of_anybody)
@settings(deadline=None, max_examples=25)
def test_reads_what_is_written(tmp_path_factory, turns):
    folder = tmp_path_factory.mktemp("formats")
    there = diarized(turns)
    annotation = there.output.speaker_diarization
    expected = triples(annotation)
    for name in ("json", "audacity"):
        extension, write = formats.FORMATS[name]
        assert read(folder, f"meeting.{extension}", write(there)) == {"meeting": expected}

    joined = annotation.support()  # tiers hold no overlaps of their own
    assert read(folder, "meeting.TextGrid", formats.to_textgrid(there)) == {
        "meeting": triples(joined)
    }
    found = read(folder, "meeting.rttm", formats.to_rttm(there))
    assert found == ({"meeting": expected} if expected else {})  # no line, no name


@given(turns_of_anybody)
@settings(deadline=None, max_examples=20)
def test_reads_elan(tmp_path_factory, turns):
    document = Elan.Eaf()
    document.remove_tier("default")
    for number, name in NAMES.items():
        document.add_tier(f"tier {number}", part=name)
    annotation = annotate(turns, NAMES, "meeting").support()
    numbers = {name: number for number, name in NAMES.items()}
    for (start, end), _, who in annotation.itertracks(yield_label=True):
        document.add_annotation(
            f"tier {numbers[who]}", round(1000 * start), round(1000 * end), value=""
        )
    path = tmp_path_factory.mktemp("elan") / "meeting.eaf"
    document.to_file(str(path))
    assert {uri: triples(a) for uri, a in read_annotations(path).items()} == {
        "meeting": triples(annotation)
    }


def test_elan_leaves_out_tiers_below_others(tmp_path):
    document = Elan.Eaf()
    document.remove_tier("default")
    document.add_linguistic_type("parts", constraints="Included_In")
    document.add_tier("Ann")
    document.add_tier("Ann's words", ling="parts", parent="Ann")
    document.add_annotation("Ann", 1000, 2000, value="good morning")
    document.add_annotation("Ann's words", 1000, 1400, value="good")
    document.to_file(str(tmp_path / "meeting.eaf"))
    found = read_annotations(tmp_path / "meeting.eaf")["meeting"]
    assert triples(found) == [(1, 2, "Ann")]


def grid(path: Path, tiers: dict[str, list[tuple[float, float, str]]]) -> Path:
    made = textgrid.Textgrid(0, 10)
    for name, entries in tiers.items():
        made.addTier(textgrid.IntervalTier(name, entries, 0, 10))
    made.addTier(textgrid.PointTier("clicks", [(0.5, "click")], 0, 10))
    made.save(str(path), "short_textgrid", includeBlankSpaces=True)
    return path


def test_textgrid_of_words_and_of_names(tmp_path):
    several = grid(tmp_path / "a.TextGrid", {"Ann": [(1, 2, "hello")], "Bob": [(1.5, 3, "yes")]})
    assert triples(read_annotations(several)["a"]) == [(1, 2, "Ann"), (1.5, 3, "Bob")]
    one = grid(tmp_path / "b.TextGrid", {"who": [(1, 2, "Ann"), (2, 3, "Bob")]})
    assert triples(read_annotations(one)["b"]) == [(1, 2, "Ann"), (2, 3, "Bob")]


def test_whisperx(tmp_path):
    segments = [
        {"start": 0.5, "end": 2.4, "text": "one two three", "speaker": "A", "words": [
            {"word": "one", "start": 0.5, "end": 0.8, "speaker": "A"},
            {"word": "2"},  # not aligned
            {"word": "three", "start": 1.0, "end": 1.4, "speaker": "B"},
            {"word": "four", "start": 2.0, "end": 2.4, "speaker": "B"},  # after a pause
        ]},
        {"start": 3.0, "end": 4.0, "text": "five", "speaker": "A", "words": []},
        {"start": 5.0, "end": 6.0, "text": "nobody knows"},
    ]  # fmt: skip
    found = read(tmp_path, "m.json", json.dumps({"segments": segments, "language": "en"}))
    assert found == {"m": [(0.5, 0.8, "A"), (1.0, 1.4, "B"), (2.0, 2.4, "B"), (3.0, 4.0, "A")]}


def test_nemo_words(tmp_path):
    words = [
        {"word": "a", "start_time": 0.0, "end_time": 0.5, "speaker_label": "speaker_0"},
        {"word": "b", "start_time": 0.6, "end_time": 0.9, "speaker_label": "speaker_0"},
        {"word": "c", "start_time": 0.9, "end_time": 1.2, "speaker_label": "speaker_1"},
    ]
    found = read(tmp_path, "x.json", json.dumps({"session_id": "m", "words": words}, indent=4))
    assert found == {"m": [(0.0, 0.9, "speaker_0"), (0.9, 1.2, "speaker_1")]}


def test_nemo_manifest(tmp_path):
    (tmp_path / "rttm").mkdir()
    line = "SPEAKER m.Mix 1 1.5 2.0 <NA> <NA> Ann <NA> <NA>\n"
    (tmp_path / "rttm" / "m.rttm").write_text(line)
    entries = [
        {"audio_filepath": "/a/m.wav", "offset": 0, "duration": None, "label": "infer",
         "rttm_filepath": "rttm/m.rttm"},
        {"audio_filepath": "/a/n.wav", "offset": 1.0, "duration": 0.5, "label": "Bob"},
        {"audio_filepath": "/a/n.wav", "offset": 4.0, "duration": 2.0, "label": "Ann"},
    ]  # fmt: skip
    found = read(tmp_path, "manifest.json", "".join(json.dumps(e) + "\n" for e in entries))
    assert found == {"m": [(1.5, 3.5, "Ann")], "n": [(1.0, 1.5, "Bob"), (4.0, 6.0, "Ann")]}


def test_plain_lists_and_marks(tmp_path):
    turns = [{"start": 1, "end": 2, "speaker": "Ann"}, {"start": 3, "end": 3, "speaker": "mark"}]
    assert read(tmp_path, "m.json", json.dumps(turns)) == {"m": [(1, 2, "Ann")]}
    labels = "\ufeff1.0\t2.0\tAnn\n\\\t100.0\t300.0\n2.0\t2.0\tclick\n"
    assert read(tmp_path, "m.txt", labels) == {"m": [(1, 2, "Ann")]}


RTTM = "SPEAKER m 1 {} <NA> <NA> A <NA> <NA>\n"


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("m.rttm", RTTM.format("0 1") + RTTM.format("one 2"), "line 2 is not RTTM: 'SPEAKER m 1"),
        ("m.rttm", "SPEAKER m 1 0 1\n", "line 1 is not RTTM"),
        ("m.rttm", RTTM.format("1 -1"), "1 s to 0 s (A) is no stretch"),
        ("m.rttm", RTTM.format("nan 1"), "nan s to nan s"),
        ("m.rttm", RTTM.format("0 inf"), "0 s to inf s"),
        ("m.txt", "dear diary", "line 1 is no label of Audacity"),
        ("m.txt", "1.0\t2.0\t \n", "nobody speaks from 1 s to 2 s"),
        ("m.txt", "-1.0\t2.0\tA\n", "-1 s to 2 s"),
        ("m.json", "{", "line 1 is no JSON"),
        ("m.json", '{"a": 1}\n{"b"}', "line 2 is no JSON"),
        ("m.json", '{"a": 1}', "JSON of nobody known"),
        ("m.json", '"a"', "holds no turns, but 'a'"),
        ("m.json", '[{"start": 1, "speaker": "A"}]', "a turn lacks 'end_time'"),
        ("m.json", '{"segments": [{"start": 1, "end": 2}]}', "run with --diarize?"),
        ("m.json", '{"audio_filepath": "a.wav", "label": "infer"}', "no rttm_filepath"),
        ("m.TextGrid", "dear diary", "this is no TextGrid"),
        ("m.eaf", "dear diary", "this is no EAF"),
        ("m.doc", "dear diary", "is none of .rttm, .txt"),
    ],
)
def test_bad_input_is_told(tmp_path, name, text, told):
    with pytest.raises(ValueError) as error:
        read(tmp_path, name, text)
    assert told in str(error.value) and str(tmp_path / name) in str(error.value)


def test_no_text_is_told(tmp_path):
    (tmp_path / "m.rttm").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        read_annotations(tmp_path / "m.rttm")


@given(st.sampled_from(sorted(READERS)), st.text(max_size=200))
@settings(deadline=None, max_examples=60)
def test_reads_or_tells(tmp_path_factory, extension, text):
    """Anything at all is turns or one sentence, never a traceback of somebody else's."""
    path = tmp_path_factory.mktemp("any") / f"m{extension}"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        assert isinstance(read_annotations(path), dict)
    except (ValueError, OSError) as error:
        assert str(error)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["start", "end", "speaker", "segments", "words", "diarization", "uri",
                         "audio_filepath", "label", "duration", "offset"]), inner, max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_any_json_is_turns_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "m.json"
    path.write_text(json.dumps(content))
    try:
        for annotation in read_annotations(path).values():
            assert all(turn == Segment(*turn) for turn in annotation.itersegments())
    except (ValueError, OSError) as error:
        assert str(error)
