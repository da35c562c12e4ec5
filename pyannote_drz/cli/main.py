"""`pyannote-drz`: commands around the diarizer, one file each."""

from typing import Annotated

import typer
from typer import Option

from .border import run_command
from .diarize import diarize
from .prepare import prepare
from .simulate import simulate

app = typer.Typer(
    name="pyannote-drz",
    help="Speaker diarization as writing a sequence.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(diarize)
app.command()(prepare)
app.command()(simulate)


@app.callback()
def callback(
    debug: Annotated[bool, Option("--debug", help="Show where an error happened.")] = False,
) -> None:  # border.py takes --debug from anywhere; here it is told
    pass


def run() -> None:
    """Run a command; what is wrong with its input is told in one sentence."""
    run_command(app, "pyannote-drz")


if __name__ == "__main__":
    run()
