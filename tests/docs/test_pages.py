"""The code of the pages runs as it is written, and what cannot run here says why."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("pages", Path(__file__).with_name("pages.py"))
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
PAGES += sorted((REPOSITORY / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_runs(page):
    if not pages.runnable(page.read_text(), set()):
        pytest.skip("nothing to run")
    if not (Path(sys.executable).parent / "pyannote-drz").exists() and not which("pyannote-drz"):
        pytest.skip("the package's commands are not installed")
    done = subprocess.run(
        [sys.executable, pages.__file__, page],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]


def test_blocks():
    text = (
        "a\n```bash\n# needs data, GPU\nls\n```\n\n"
        "  ~~~python\n  x = 1\n\n    y\n  ~~~\n```\nno\n```\n"
    )
    assert pages.blocks_of(text) == [
        ("bash", "# needs data, GPU\nls\n", 3, {"data", "GPU"}),
        ("python", "x = 1\n\n  y\n", 8, set()),
        ("", "no\n", 13, set()),
    ]
    assert [block.line for block in pages.runnable(text, set())] == [8]
    assert [block.line for block in pages.runnable(text, {"data", "GPU"})] == [3, 8]


def test_a_longer_fence_holds_a_shorter_one():
    (block,) = pages.blocks_of("````\n```bash\nls\n```\n````\n")
    assert block.code == "```bash\nls\n```\n"


@pytest.mark.parametrize(
    "text, told",
    [
        ("one\n```bash\nls\n", "begins in line 2 does not end"),
        ("```bash\n# needs luck\n```\n", r"line 2: .*'luck'"),
    ],
)
def test_bad_pages(text, told):
    with pytest.raises(ValueError, match=told):
        pages.blocks_of(text)


def test_a_failing_block_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```bash\ntouch here\nfalse\ntrue\n```\n")
    with pytest.raises(SystemExit, match="page.md, line 2: a command failed with status 1"):
        pages.run(page, set())
    assert (tmp_path / "here").exists()
    page.write_text("```python\nx = 1\n```\n\n```python\n\nraise KeyError(x)\n```\n")
    with pytest.raises(KeyError) as raised:
        pages.run(page, set())
    assert raised.traceback[-1].lineno + 1 == 7  # of the page
