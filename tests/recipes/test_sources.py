"""Recipes: two sets of voices that differ in nothing but where they come from."""

import pytest
from pyannote.core import Annotation, Segment
from pyannote.database import FileFinder, registry


@pytest.fixture(scope="module")
def sources(recipe):
    return recipe("synthetic/voice_sources.py")


def voice(sources, uri: str, *turns: tuple[float, float]):
    annotation = Annotation(uri=uri)
    for start, end in turns:
        annotation[Segment(start, end)] = uri
    return sources.Voice(uri, annotation)


def test_cut(sources):
    somebody = voice(sources, "x", (1, 3), (5, 6))
    assert [sources.cut(somebody, s) for s in (0.5, 2.0, 2.5, 3.0)] == [1.5, 3, 5.5, 6]


def test_both_sets_are_alike(sources):
    of_one = [voice(sources, f"{sources.ONE}--{k}", (0, 1 + k % 3)) for k in range(9)]
    others = [voice(sources, f"vctk--{k}", (0, 5)) for k in range(4)]
    sets = sources.choose(of_one + others, seed=0)
    assert [len(some) for some in sets.values()] == [8, 8]
    assert all(v.uri.startswith(sources.ONE) for v in sets["One"])
    assert {v.uri for v in others} < {v.uri for v in sets["All"]}
    assert sets == sources.choose(of_one + others, seed=0) != sources.choose(of_one + others, 1)
    with pytest.raises(ValueError, match="which have 4; it has 7"):
        sources.choose(of_one[:7] + others, seed=0)


def test_protocols(sources, shared, tmp_path):
    database, people, hours = sources.write(shared, tmp_path)
    registry.load_database(database)
    spoken = {}
    for name in sources.SOURCES:
        protocol = registry.get_protocol(
            f"Sources.SpeakerDiarization.{name}", preprocessors={"audio": FileFinder()}
        )
        files = list(protocol.train())
        assert len(files) == people and files[0]["audio"].is_file()
        kept = [f["annotation"].crop(f["annotated"]).get_timeline().duration() for f in files]
        spoken[name] = sum(kept) / 3600
        assert min(kept) > 0
    assert spoken["One"] == pytest.approx(spoken["All"], rel=1e-3)
    assert spoken["All"] == pytest.approx(hours, rel=1e-3)
