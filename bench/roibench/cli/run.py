"""`roibench run`: measuring."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from roibench.cli.app import INTERRUPTED, app
from roibench.options import GROUP, OPTIONS


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command that takes **typed the options of a run: by field, as they were typed, None where not given; a
    list where one may be given several times. It takes its own parameters as well.
    """
    own = inspect.signature(command).parameters.values()
    parameters = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    for option in OPTIONS:
        declared = typer.Option(
            option.flag, help=option.help_with_default, metavar=option.type, rich_help_panel=GROUP, show_default=False
        )
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = Annotated[list[str] | None if option.repeats else str | None, declared]
        parameters.append(inspect.Parameter(option.field, kind, default=None, annotation=annotation))
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@takes_run_options
def run(context: typer.Context, **typed: str | list[str] | None) -> None:
    """Measure models, as `pytest bench --benchmark-only` does. pytest's own options may follow."""
    import pytest

    import roibench.suites

    suite = Path(roibench.suites.__file__).parent / "bench_models.py"
    arguments = ["-p", "roibench.pytest_plugin", "--import-mode=importlib", "-o", "addopts=", "-p", "no:cacheprovider"]
    arguments += ["--full-trace"] if context.obj else []
    for option in OPTIONS:  # pytest_plugin checks them
        given = typed[option.field]
        arguments += [f"{option.flag}={text}" for text in ([given] if isinstance(given, str) else given or ())]
    code = pytest.main([*arguments, "-q", "--benchmark-only", str(suite), *context.args])
    raise typer.Exit(INTERRUPTED if code == pytest.ExitCode.INTERRUPTED else int(code))
