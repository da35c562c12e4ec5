"""Formats: what is written is read again, by others where there are any; overlap survives."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm

from pyannote_drz.cli import formats
from pyannote_drz.cli.formats import Diarized
from pyannote_drz.io.names import field_of
from pyannote_drz.pipelines.output import Pix2SeqOutput as Output
from pyannote_drz.pipelines.output import annotate, confidence_of
from pyannote_drz.pipelines.stitching import Turn, exclusive, merge

DURATION = 60.0
NAMES = {0: "SPEAKER_00", 1: 'Anna "A." Müller', 2: "王"}

turns_of_anybody = st.lists(
    st.builds(
        lambda start, length, speaker, probability: Turn(
            start / 50, min((start + length) / 50, DURATION), speaker, probability
        ),
        st.integers(0, 2990), st.integers(1, 500), st.integers(0, 2), st.floats(0.01, 1),
    ),
    max_size=12,
).map(merge)  # fmt: skip


def diarized(turns, uri="meeting") -> Diarized:
    output = Output(
        speaker_diarization=annotate(turns, NAMES, uri),
        exclusive_speaker_diarization=annotate(exclusive(turns), NAMES, uri),
        confidence=confidence_of(turns),
    )
    return Diarized(Path(f"{uri}.wav"), uri, DURATION, output)


def triples(annotation: Annotation, digits: int = 3) -> list[tuple[float, float, str]]:
    return sorted(
        (round(turn.start, digits), round(turn.end, digits), label)
        for turn, _, label in annotation.itertracks(yield_label=True)
    )


@given(turns_of_anybody)
@settings(deadline=None, max_examples=30)
def test_each_reads_what_was_written(turns):
    there = diarized(turns)
    annotation = there.output.speaker_diarization
    expected = triples(annotation)

    content = json.loads(formats.to_json(there))
    assert sorted((t["start"], t["end"], t["speaker"]) for t in content["diarization"]) == expected
    assert content["speakers"] == annotation.labels() and content["duration"] == DURATION
    by_track = {(t["start"], t["end"], t["speaker"]): t for t in content["diarization"]}
    for (segment, track), probability in there.output.confidence.items():
        key = (round(segment.start, 3), round(segment.end, 3), annotation[segment, track])
        assert by_track[key]["confidence"] == pytest.approx(probability, abs=1e-4)

    def seconds(words: str) -> float:
        hours, minutes, rest = words.replace(",", ".").split(":")
        return round(3600 * int(hours) + 60 * int(minutes) + float(rest), 3)

    cues = re.findall(r"(\d+)\n(\S+) --> (\S+)\n(.+)\n\n", formats.to_srt(there))
    assert [int(number) for number, *_ in cues] == list(range(1, len(expected) + 1))
    assert sorted((seconds(a), seconds(b), who) for _, a, b, who in cues) == expected

    lines = [line.split("\t") for line in formats.to_audacity(there).splitlines()]
    assert sorted((round(float(a), 3), round(float(b), 3), who) for a, b, who in lines) == expected


@given(turns_of_anybody)
@settings(deadline=None, max_examples=15)
def test_rttm_is_what_pyannote_reads(tmp_path_factory, turns):
    there = diarized(turns, uri="our meeting")
    path = tmp_path_factory.mktemp("rttm") / "x.rttm"
    path.write_text(formats.to_rttm(there))
    found = load_rttm(path)
    assert set(found) <= {"our%20meeting"}
    expected = there.output.speaker_diarization.rename_labels(
        mapping={name: field_of(name) for name in NAMES.values()}
    )
    assert triples(found.get("our%20meeting", Annotation()), 2) == triples(expected, 2)


@given(turns_of_anybody)
@settings(deadline=None, max_examples=15)
def test_textgrid_has_a_tier_a_speaker(tmp_path_factory, turns):
    there = diarized(turns)
    path = tmp_path_factory.mktemp("grid") / "x.TextGrid"
    path.write_text(formats.to_textgrid(there), encoding="utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, DURATION)
    annotation = there.output.speaker_diarization
    assert list(grid.tierNames) == (annotation.labels() or ["nobody"])
    for label in annotation.labels():
        spoken = [(e.start, e.end) for e in grid.getTier(label).entries]
        support = annotation.label_timeline(label).support()
        assert spoken == [pytest.approx(tuple(part), abs=1e-6) for part in support]
        assert {e.label for e in grid.getTier(label).entries} == {label}
    # Praat wants intervals that touch, from beginning to end
    whole = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    for tier in whole.tiers:
        edges = [tier.entries[0].start, *(entry.end for entry in tier.entries)]
        assert edges[0] == 0 and edges[-1] == DURATION
        assert [entry.start for entry in tier.entries] == edges[:-1]


def test_textgrid_ends_with_the_recording():
    there = diarized([Turn(59.0, 59.98, 0, 0.5)])._replace(duration=59.5)
    grid = formats.to_textgrid(there)
    assert "59.98" not in grid and grid.count("xmax = 59.5") >= 2


def test_rttm_keeps_names_apart():
    there = diarized([])
    for number, name in enumerate(("A B", "A_B", "A%20B")):
        there.output.speaker_diarization[Segment(number, number + 1)] = name
    assert [line.split()[7] for line in formats.to_rttm(there).splitlines()] == [
        "A%20B", "A_B", "A%2520B",
    ]  # fmt: skip


def test_clock():
    assert formats.clock(3725.0996) == "01:02:05,100"
    assert formats.clock(59.9999) == "00:01:00,000"
    assert io.StringIO(formats.to_srt(diarized([]))).read() == ""
