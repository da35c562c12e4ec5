"""The code of Markdown pages: fenced blocks, taken out, and run as they are written.

    python tests/docs/pages.py README.md docs/*.md                  # what runs anywhere
    python tests/docs/pages.py --with data --with GPU README.md     # and what needs that

Blocks of Bash and Python run from top to bottom, a page in one Python, in a folder of its own
that holds what the pages' names stand for: see `set_stage`. A block whose first line is a comment
such as `# needs data, GPU` is left out, unless it is told that these are here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

REPOSITORY = Path(__file__).resolve().parents[2]

# What the first line of a block may need, and what it means.
NEEDS = {
    "data": "../shared/data, or the same in your own `data`",
    "download": "a network",
    "hours": "more than a minute or two",
    "GPU": "CUDA",
    "microphone": "somebody who speaks",
    "names": "names of your own in place of its own",
}
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w-]*)")


class Block(NamedTuple):
    """A fenced block.

    language : str, as the fence says: bash, python, yaml, or nothing
    code : str
    line : int, of the page, where the code begins; the first is 1
    needs : set of str, of `NEEDS`
    """

    language: str
    code: str
    line: int
    needs: set[str]


def blocks_of(text: str) -> list[Block]:
    """All fenced blocks of a page.

    Raises
    ------
    ValueError
        A block does not end, or needs what is not in `NEEDS`.
    """
    blocks: list[Block] = []
    opened, lines = None, []
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened, begun, lines = fence, number, []
        elif fence and fence["fence"].startswith(opened["fence"]) and not fence["language"]:
            code = "".join(f"{each}\n" for each in lines)
            blocks.append(Block(opened["language"], code, begun + 1, _needs(code, begun + 1)))
            opened = None
        else:
            indent = len(opened["indent"])
            lines.append(line[indent:] if line[:indent].isspace() else line)
    if opened is not None:
        raise ValueError(f"the block that begins in line {begun} does not end.")
    return blocks


def _needs(code: str, line: int) -> set[str]:
    told = re.match(r"# needs ([\w, ]+)\n", code)
    needs = set(told[1].replace(",", " ").split()) if told else set()
    if needs - set(NEEDS):
        raise ValueError(f"line {line}: blocks need {', '.join(NEEDS)}, not {sorted(needs)}.")
    return needs


def runnable(text: str, here: set[str]) -> list[Block]:
    """Blocks of Bash and Python that need nothing but what is `here`."""
    return [b for b in blocks_of(text) if b.language in ("bash", "python") and b.needs <= here]


# ---- running ------------------------------------------------------------------------------------


def set_stage(folder: Path) -> None:
    """Write what the names of the pages stand for.

    meeting.wav and meeting.rttm are the sample of pyannote.audio, 30 s of two people; ann.wav is
    one of them; data/voices are voices that nobody has. recipes/ and tests/ are this
    repository's, but not pyannote_drz: that is what is installed.
    """
    import numpy as np
    import soundfile

    from pyannote_drz.cli.demo import find_sample

    for name in ("recipes", "tests"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "database.yml").write_text((REPOSITORY / "database.yml").read_text())
    wav, rttm = find_sample()
    samples, rate = soundfile.read(wav)
    soundfile.write(folder / "meeting.wav", samples, rate)
    (folder / "meeting.rttm").write_text(rttm.read_text().replace(" sample ", " meeting "))
    first = rttm.read_text().split("\n")[0].split()
    start_s, length_s = float(first[3]), float(first[4])
    turn = samples[int(start_s * rate) : int((start_s + length_s) * rate)]
    soundfile.write(folder / "ann.wav", np.tile(turn, 1 + int(2 / length_s)), rate)
    write_voices(folder / "data" / "voices")


def write_voices(folder: Path) -> None:
    """Write the protocol Voices of database.yml: in each subset twelve people, of 6 s each."""
    import soundfile

    sys.path.append(str(REPOSITORY / "tests" / "cli"))
    from conftest import SAMPLE_RATE, voice

    (folder / "audio").mkdir(parents=True)
    for subset in ("train", "development"):
        uris = [f"{subset}{person}" for person in range(12)]
        for person, uri in enumerate(uris):
            samples = voice(person + 100 * (subset == "train"), 6)
            path = folder / "audio" / f"{uri}.opus"
            soundfile.write(path, samples, SAMPLE_RATE, format="OGG", subtype="OPUS")
        files = {
            "lst": "{uri}\n",
            "rttm": "SPEAKER {uri} 1 0.2 5.6 <NA> <NA> {uri} <NA> <NA>\n",
            "uem": "{uri} NA 0 6\n",
        }
        for extension, line in files.items():
            text = "".join(line.format(uri=uri) for uri in uris)
            (folder / f"{subset}.{extension}").write_text(text)


def run(page: Path, here: set[str]) -> int:
    """Run a page in the current folder; how many blocks that were.

    Raises
    ------
    Exception
        Whatever a block of Python raises; its traceback tells lines of the page.
    SystemExit
        A command failed.
    """
    blocks = runnable(page.read_text(), here)
    # This Python's commands come first, as in a virtual environment that is activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MPLBACKEND": "agg"}
    session = {"__name__": "__main__"}
    for block in blocks:
        print(f"\n# {page}, line {block.line}\n{block.code}", flush=True)
        if block.language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.code]
            status = subprocess.run(command, env=environment).returncode
            if status:
                sys.exit(f"{page}, line {block.line}: a command failed with status {status}.")
        else:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), session)
    return len(blocks)


def main(
    pages: list[Path],
    here: Annotated[list[str] | None, typer.Option("--with", help=", ".join(NEEDS))] = None,
) -> None:
    """Run the code of pages as it is written."""
    here = set(here or ())
    if here - set(NEEDS):
        sys.exit(f"--with takes {', '.join(NEEDS)}, not {sorted(here - set(NEEDS))}.")
    pages = [page.resolve() for page in pages]
    if len(pages) > 1:  # a page, a Python
        more = [word for need in sorted(here) for word in ("--with", need)]
        codes = [subprocess.run([sys.executable, __file__, *more, p]).returncode for p in pages]
        sys.exit(max(codes))
    with tempfile.TemporaryDirectory() as top:
        if (REPOSITORY.parent / "shared").is_dir():
            (Path(top) / "shared").symlink_to(REPOSITORY.parent / "shared")
        folder = Path(top) / "checkout"
        folder.mkdir()
        os.chdir(folder)
        sys.path[0] = ""  # as in a session there, not where this file is
        try:
            set_stage(folder)
            print(f"\n{pages[0]}: {run(pages[0], here)} blocks ran")
        finally:
            os.chdir(REPOSITORY)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(main)

if __name__ == "__main__":
    app()
