"""Text files that people bring: a result, or one sentence of ours that names the file and the line."""

import codecs
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyannote_drz.cli.protocols import check_database
from pyannote_drz.cli.reading import READERS, read_annotations
from pyannote_drz.cli.simulate import load_config
from pyannote_drz.io.columns import read_uem
from pyannote_drz.io.errors import InputError

LINE = "SPEAKER m 1 {} {} <NA> <NA> {} <NA> <NA>\n"
EAF = '<?xml version="1.0"?><ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a"/></TIME_ORDER><TIER TIER_ID="A"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="b" TIME_SLOT_REF1="a" TIME_SLOT_REF2="a"><ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>'


def turns(*times) -> str:
    return json.dumps({"diarization": [dict(zip(("start", "end", "speaker"), t)) for t in times]})


# Name of a file, what it holds, and what is told.
BAD = [
    ("m.rttm", LINE.format("nan", 1, "A"), "line 1 is not RTTM"),
    ("m.rttm", LINE.format(0, 1, "A") + LINE.format(0, "inf", "A"), "line 2 is not RTTM"),
    ("m.rttm", LINE.format(1, -0.5, "A"), "line 1 is not RTTM"),
    ("m.rttm", LINE.format(-1, 3, "A"), "line 1 is not RTTM"),
    ("m.rttm", LINE.format("1e999", 1, "A"), "line 1 is not RTTM"),
    ("m.rttm", LINE.format("1,5", 1, "A"), "line 1 is not RTTM"),
    ("m.rttm", "SPEAKER m 1 0.5\n", "line 1 is not RTTM"),
    ("m.rttm", "SPEAKER my own m 1 0 1 <NA> <NA>\n", "line 1 is not RTTM"),
    ("m.rttm", "SPEAKER a b 1 2 3 4 1 0 1 A B C D <NA> <NA>\n", "a space in a name?"),
    ("m.rttm", b"\x80\x81", "is no text in UTF-8 or UTF-16"),
    ("m.rttm", "SPEAKER m 1 0 1 <NA> <NA> A <NA> <NA>\n".encode("utf-16")[:-1], "is no text in UTF"),
    ("m.txt", "0\t1\n", "line 1 is no label of Audacity"),
    ("m.txt", "nan\t1\tA\n", "line 1 is no label of Audacity"),
    ("m.txt", "0\t1\tA\n2\t1\tA\n", "line 2 is no label of Audacity"),
    ("m.txt", "0\t1\t \n", "the name is empty"),
    ("m.json", "[" * 100_000, "m.json'"),
    ("m.json", "9" * 5000, "m.json'"),
    ("m.json", turns((0, 1e999, "A")), "is no stretch of a recording"),
    ("m.json", turns((float("nan"), 1, "A")), "is no stretch of a recording"),
    ("m.json", turns((3, 1, "A")), "is no stretch of a recording"),
    ("m.json", turns((10**400, 1, "A")), "m.json'"),
    ("m.json", turns((None, 1, "A")), "something stands where a turn should"),
    ("m.json", turns(("x", 1, "A")), "m.json'"),
    ("m.json", '{"diarization": 3}', "something stands where a turn should"),
    ("m.json", '{"segments": [{"words": 3, "speaker": "A"}]}', "m.json'"),
    ("m.json", '{"audio_filepath": 3}', "something stands where a turn should"),
    ("m.json", "null", "it holds no turns"),
    ("m.json", "", "line 1 is no JSON"),
    ("m.jsonl", "{}\n{\n", "m.jsonl'"),
    ("m.eaf", EAF, "m.eaf'"),
    ("m.eaf", "<a>", "this is no EAF of ELAN"),
    ("m.textgrid", "File type", "this is no TextGrid"),
    ("m.pdf", "%PDF", "is none of .rttm"),
]  # fmt: skip


@pytest.mark.parametrize("name, content, said", BAD, ids=range(len(BAD)))
def test_refused_with_its_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_devices_are_no_files():
    with pytest.raises(InputError, match="is no file"):
        read_annotations(Path("/dev/zero"), otherwise=READERS[".rttm"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(tmp_path, encoding, end):
    path = tmp_path / "m.rttm"
    text = (LINE.format(0, 1, "Zoë") + LINE.format(2, 1, "王")).replace("\n", end)
    path.write_bytes(text.encode(encoding))
    assert read_annotations(path)["m"].labels() == ["Zoë", "王"]


PIECES = st.sampled_from(
    ["SPEAKER", " ", "\n", "\t", "m", "1", "0.5", "-1", "nan", "1e400", "<NA>", "{", "}", "[", "]", '"',
     ":", ",", "start", "end", "speaker", "segments", "words", "diarization", "<", ">", "null", "é", "\0"]
)  # fmt: skip


@pytest.mark.parametrize("extension", sorted(READERS))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=30).map(lambda x: "".join(x).encode())))  # fmt: skip
def test_any_text(tmp_path_factory, extension, content):
    path = tmp_path_factory.getbasetemp() / f"any{extension}"
    path.write_bytes(content)
    try:
        for annotation in read_annotations(path).values():
            assert all(0 <= turn.start < turn.end for turn in annotation.itersegments())
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("extension", [".json", ".rttm"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(
        st.sampled_from(["diarization", "segments", "words", "start", "end", "speaker", "uri", "label",
                         "audio_filepath", "rttm_filepath", "duration", "offset", "session_id"]),
        inside, max_size=5),
    max_leaves=12,
))  # fmt: skip
def test_any_json(tmp_path_factory, extension, content):
    path = tmp_path_factory.getbasetemp() / f"any{extension}"
    path.write_text(json.dumps(content))
    try:
        read_annotations(path)
    except (InputError, OSError) as error:
        assert "\n" not in str(error)


BAD_UEM = ["m 1 0", "m 1 5 3", "m 1 nan 3", "m 1 0 inf", "m x y z", "m 1 -1 3"]


@pytest.mark.parametrize("line", BAD_UEM)
def test_uem(tmp_path, line):
    path = tmp_path / "m.uem"
    path.write_text(f"m 1 0 3\n{line}\n")
    with pytest.raises(InputError, match="line 2 is not UEM"):
        read_uem(path)
    path.write_text("my own meeting 1 0 3\n;; remark\n\n")
    assert list(read_uem(path)) == ["my own meeting"]


BAD_DATABASES = [
    ("", "it holds nothing, not Databases and Protocols"),
    ("[1]", "it holds a list"),
    ("just text", "it holds a str"),
    ("!!python/object/apply:os.system ['true']", "is no database.yml"),
    ("a: [", "is no database.yml"),
    ("[" * 20_000, "is no database.yml"),
    ("Database: {}", "Database: extra inputs are not permitted"),
    ("Databases: 3", "Databases: input should be a valid dictionary"),
    ("Databases: {A: 3}", "Databases.A"),
    ("Protocols: [A]", "Protocols: input should be a valid dictionary"),
    ("Protocols: {A: {SpeakerDiarization: 3}}", "Protocols.A.SpeakerDiarization"),
    ("Protocols: {A: {SpeakerDiarization: {P: 3}}}", "A.SpeakerDiarization.P"),
    ("Protocols: {A: {SpeakerDiarization: {P: {scope: town}}}}", "A.SpeakerDiarization.P: scope"),
    ("Protocols: {A: {SpeakerDiarization: {P: {trian: {}}}}}", "P: trian: extra inputs"),
    ("Protocols: {A: {SpeakerDiarization: {P: {train: [x]}}}}", "A.SpeakerDiarization.P: train"),
    ("Protocols: {A: {SpeakerDiarization: {P: {train: {uri: [x]}}}}}", "P: train.uri"),
    (codecs.BOM_UTF16_LE.decode("latin-1") + "x", "is no database.yml"),
    ("#" * (2**22 + 1), "is longer than"),
]


@pytest.mark.parametrize("content, said", BAD_DATABASES, ids=range(len(BAD_DATABASES)))
def test_database(tmp_path, content, said):
    path = tmp_path / "database.yml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        check_database(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


BAD_DIALS = [
    ("rooms: 5", "rooms must be parameters and their values, not 5"),
    ("noise: [1]", "noise must be parameters and their values"),
    ("bleed_share: 2", "bleed_share: input should be less than or equal to 1, got 2"),
    ("bleed_share: .nan", "bleed_share: input should be a finite number, got nan"),
    ("bleed_share: much", "bleed_share: input should be a valid number, got 'much'"),
    ("bleed_share: true", "bleed_share: input should be a valid number, got True"),
    ("bleed_share:", "bleed_share: input should be a valid number, got None"),
    ("bleed_db: 3", "bleed_db: input should be a valid tuple, got 3"),
    ("bleed_db: [3, -3]", "bleed_db: input should be a range (low, high), got (3, -3)"),
    ("bleed_db: [a, b]", "bleed_db.0: input should be a valid number, got 'a'"),
    ("bleed_db: [-.inf, 0]", "bleed_db.0: input should be a finite number, got -inf"),
    ("bleed_db: [1, 2, 3]", "bleed_db: tuple should have at most 2 items"),
    ("bleed_per_s: [0.1, 1.0e+9]", "bleed_per_s.1: input should be less than or equal to 1000"),
    ("bleed_voices: [0, 3]", "bleed_voices.0: input should be greater than or equal to 1, got 0"),
    ("join_s: [0, 0.5]", "join_s must be below 0.5 s"),
    ("level_sd_db: -1", "level_sd_db: input should be greater than or equal to 0"),
    (
        "rooms: {rt60_s: [0.1, 1000]}",
        "rt60_s.1: input should be less than or equal to 20, got 1000",
    ),
    ("rooms: {rt60_s: [0, 1]}", "rt60_s.0: input should be greater than or equal to 0.01"),
    ("rooms: {distance_m: [0, 1]}", "distance_m.0: input should be greater"),
    ("rooms: [rt60_s]", "rooms must be parameters and their values"),
    ("channel: {clip: [0, 0]}", "clip.0: input should be greater than or equal to 0.01"),
    ("channel: {coarse_bits: [6, 64]}", "coarse_bits.1: input should be less than or equal to 16"),
    ("channel: {level_db: [0, 5000]}", "level_db.1: input should be less than or equal to 100"),
    ("noise: {burst_s: [0, 1]}", "burst_s.0: input should be greater"),
    ("noise: {bursts_per_s: [1, .inf]}", "bursts_per_s.1: input should be a finite number"),
    ("silences: {edge_s: [-1, 2]}", "edge_s.0: input should be greater than or equal to 0"),
    ("prompts: {contamination: 3}", "contamination: input should be less than or equal to 1"),
    ("prompts: {absent_share: 1}", "absent_share must be under 1"),
    ("mood: good", "has no parameter 'mood'"),
    ("rooms: {mood: 1}", "has no parameter 'mood'"),
    ("[1]", "it must hold parameters and their values"),
    ("a: [", "simulation.yml"),
    ("", "it must hold parameters and their values"),
]


@pytest.mark.parametrize("content, said", BAD_DIALS)
def test_dials(tmp_path, content, said):
    path = tmp_path / "simulation.yml"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        load_config(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
