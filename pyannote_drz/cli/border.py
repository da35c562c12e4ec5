"""The border of commands: what goes wrong inside is one line outside, and an exit status.

    0    done
    1    something that was brought cannot be used: one line says what
    2    the command line is wrong
    130  Ctrl-C

`--debug`, anywhere on the command line, shows where in the code it happened.
"""

import os
import sys

import typer

from ..io.errors import one_line
from ..plugin.telemetry import send_nothing

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
DEBUG = "--debug"


def run_command(app: typer.Typer, name: str) -> None:
    """Run an app with the arguments of the process, and exit.

    Parameters
    ----------
    app : Typer
    name : str
        Of the command, which begins every line of errors.
    """
    send_nothing()
    speak_utf8()
    debug = DEBUG in sys.argv
    words = [word for word in sys.argv[1:] if word != DEBUG]
    try:
        status = app(words, standalone_mode=False)
    except typer.Exit as end:
        status = end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # who read the output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
        sys.exit(1)
    except Exception as error:
        if usage := getattr(error, "show", None):  # a wrong command line, which typer explains
            usage()
            sys.exit(error.exit_code)
        if debug:
            raise
        sys.exit(f"{name}: {one_line(error)}")
    sys.exit(status if isinstance(status, int) else 0)


def speak_utf8() -> None:
    """Results are UTF-8 whatever the terminal; messages replace what it cannot show."""
    for stream, encoding in ((sys.stdout, "utf-8"), (sys.stderr, None)):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
