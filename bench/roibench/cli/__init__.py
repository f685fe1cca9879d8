"""The command line: a thin layer that reads what a person typed, calls the library and prints what comes back.

A module per topic. What is heavy, each command imports when it is called.
"""

import sys
from importlib import import_module

import typer

from roibench.cli.app import INTERRUPTED, app
from roibench.console import write_any_text

__all__ = ["app", "main"]

for _topic in ("run", "decide", "look", "train", "data", "publish"):  # --help has their commands in this order
    import_module(f"{__name__}.{_topic}")

# What a person's mistake raises: one line, not a traceback.
MISTAKES = (ValueError, LookupError, OSError, RuntimeError)


def main() -> None:
    """The console script: a mistake is one line on standard error and exit code 2; --debug, wherever it stands, shows
    its traceback.
    """
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    write_any_text()
    try:
        app(["--debug", *arguments] if debug else arguments)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("interrupted; what was finished is safe: the same `run` or `train` goes on from there", err=True)
        raise
    except MISTAKES as error:
        if debug:
            raise
        typer.echo(f"roibench: {error}", err=True)
        raise SystemExit(2) from None
