import shutil

import pytest
from pyannote.database import FileFinder
from pyannote.database.registry import Registry

FILES = {  # files of each subset
    "AMI.SpeakerDiarization.only_words": (136, 18, 16),  # BUT's split
    "AMI-SDM.SpeakerDiarization.only_words": (136, 18, 16),
    "Voices.SpeakerDiarization.Voices": (2592, 200, 0),
    "AMIExcerpts.SpeakerDiarization.only_words": (0, 6, 0),
    "AMIExcerpts.SpeakerDiarization.quiet": (0, 2, 0),
    "RealDev.SpeakerDiarization.mixed": (0, 5, 0),
    "SimDev.SpeakerDiarization.chunks2": (0, 60, 0),
    "SimDev.SpeakerDiarization.chunks3": (0, 60, 0),
    "SimDev.SpeakerDiarization.chunks4": (0, 60, 0),
    "SimDev.SpeakerDiarization.meetings": (0, 6, 0),
}
SUBSETS = ("train", "development", "test")


def load(database_yml) -> Registry:
    registry = Registry()
    registry.load_database(database_yml)
    return registry


@pytest.fixture(scope="module")
def registry(repository, shared, tmp_path_factory) -> Registry:
    """database.yml in a folder whose `data` is linked to the shared data, as its comment says."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copy(repository / "database.yml", folder)
    (folder / "data").symlink_to(shared.resolve(), target_is_directory=True)
    return load(folder / "database.yml")


def files_of(registry: Registry, protocol: str, subset: str) -> list:
    loaded = registry.get_protocol(protocol, preprocessors={"audio": FileFinder(registry)})
    try:
        return list(getattr(loaded, subset)())
    except (AttributeError, NotImplementedError):
        return []


def test_loads_without_any_data(repository):
    also = {f"{ami}.SpeakerDiarization.word_and_vocalsounds" for ami in ("AMI", "AMI-SDM")}
    assert set(load(repository / "database.yml")) == set(FILES) | also


@pytest.mark.parametrize("protocol", FILES)
def test_has_all_files(registry, protocol):
    subsets = [files_of(registry, protocol, subset) for subset in SUBSETS]
    assert tuple(map(len, subsets)) == FILES[protocol]
    for file in (file for files in subsets for file in files[:3]):
        assert file["annotated"] and file["annotation"].uri == file["uri"]
        scopes = {"AMI": "database", "AMI-SDM": "database", "Voices": "global"}
        assert file["scope"] == scopes.get(file["database"], "file")


@pytest.mark.parametrize("protocol", [name for name in FILES if not name.startswith("AMI.")])
def test_audio_is_where_it_says(registry, protocol):
    for subset in SUBSETS:
        for file in files_of(registry, protocol, subset)[:3]:
            if protocol.startswith("AMI-SDM"):
                with pytest.raises(FileNotFoundError, match="Array1-01.wav"):
                    file["audio"]
            else:
                assert file["audio"].is_file()


def test_ami_has_real_turns(registry):
    [meeting] = [
        file
        for file in files_of(registry, "AMI.SpeakerDiarization.only_words", "development")
        if file["uri"] == "ES2011a"
    ]
    assert len(meeting["annotation"].labels()) == 4
    assert meeting["annotated"].duration() == pytest.approx(1113.845375)


def test_agrees_with_the_shared_registry(registry, shared):
    other = load(shared / "database.yml")
    for protocol in other:
        for subset in SUBSETS:
            ours, theirs = files_of(registry, protocol, subset), files_of(other, protocol, subset)
            assert [file["uri"] for file in ours] == [file["uri"] for file in theirs]
            if ours:
                assert ours[-1]["annotation"] == theirs[-1]["annotation"]
                assert ours[-1]["scope"] == theirs[-1]["scope"]
