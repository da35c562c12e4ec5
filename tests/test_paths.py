"""No file of the repository names a folder of anybody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Where a folder of somebody's begins; a letter, a dot or a brace before it makes it part of an
# address, of a relative path or of a variable's.
OF_A_MACHINE = re.compile(
    r"(?<![\w.~}$)-])/(?:work|root|home|Users|mnt|media|scratch|workspace)/[\w.]"
    r"|(?<!\w)[A-Za-z]:\\Users\\"
)


def test_names_no_folder_of_a_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = REPOSITORY / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" in content or path == Path(__file__).resolve():
            continue  # weights and pictures; and the expression above
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if OF_A_MACHINE.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line, is_found",
    [
        ("`/work/runs/D/last.ckpt`", True),
        ("cd /home/someone", True),
        (r"C:\Users\someone", True),
        ("https://example.org/home/page", False),
        ("$HOME/work/data", False),
        ("../shared/work/data", False),
        ("/tmp/rehearsal", False),  # everybody has it
    ],
)
def test_tells_folders_of_a_machine(line, is_found):
    assert bool(OF_A_MACHINE.search(line)) == is_found
