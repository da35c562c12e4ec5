"""`pyannote-drz`: commands around the diarizer, one file each."""

import sys

import typer

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
def callback() -> None:  # with it, a single command is still called by its name
    pass


def run() -> None:
    """Run a command; what is wrong with its input is told in one sentence."""
    try:
        app()
    except (ValueError, OSError) as error:
        sys.exit(f"pyannote-drz: {' '.join(str(error).split())}")


if __name__ == "__main__":
    run()
