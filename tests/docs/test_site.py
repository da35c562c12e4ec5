"""The site builds without a warning: every link, anchor and picture leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_builds_strictly(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    reference = (tmp_path / "site" / "api" / "pipeline" / "index.html").read_text()
    assert "clustering_threshold" in reference and "known_speakers" in reference
    assert "fonts.googleapis.com" not in reference


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md", "README.md"])
def test_files_that_are_named_are_there(page):
    named = set(re.findall(r"`([\w/.-]+\.py)`", (REPOSITORY / page).read_text()))
    assert len(named) > 4
    package = REPOSITORY / "pyannote_drz"
    places = [REPOSITORY, REPOSITORY / "tests" / "docs", package, *package.glob("*/")]
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()


@pytest.fixture(scope="module")
def package():
    """The package as griffe reads it, which imports nothing."""
    griffe = pytest.importorskip("griffe")
    return griffe.load("pyannote_drz", search_paths=[str(REPOSITORY)], docstring_parser="numpy")


def public(thing):
    """All public modules, classes and functions of a module or class, and itself."""
    if thing.is_alias or thing.is_attribute or thing.name.startswith("_"):
        return
    yield thing
    if thing.is_module or thing.is_class:
        for member in thing.members.values():
            yield from public(member)


def test_what_the_reference_shows_has_docstrings(package):
    without = []
    for page in sorted((REPOSITORY / "docs" / "api").glob("*.md")):
        for path in re.findall(r"^::: pyannote_drz\.(\S+)$", page.read_text(), re.M):
            if path != "tasks.pix2seq.SyntheticPix2SeqDiarization":  # its members are pyannote's
                without += [each.path for each in public(package[path]) if not each.has_docstring]
    assert without == []


def test_docstrings_tell_all_parameters(package):
    """A docstring that lists parameters lists all of them, and no others."""
    wrong = {}
    for thing in public(package):
        if thing.is_module or not thing.has_docstring:
            continue
        told = {
            name.strip().lstrip("*")
            for section in thing.docstring.parsed
            if section.kind.value == "parameters"
            for parameter in section.value
            for name in parameter.name.split(",")
        }
        names = {parameter.name for parameter in thing.parameters} - {"self", "cls"}
        if told and told != names:
            wrong[thing.path] = sorted(told ^ names)
    assert wrong == {}
