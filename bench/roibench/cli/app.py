"""The command itself: its help, the commands of plugins, and what several commands take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from click import Command, Context


class Commands(TyperGroup):
    """The commands below, and those that plugins register, which are loaded where one of them is asked for."""

    def list_commands(self, context: "Context") -> list[str]:
        from roibench.registry import installed

        return [*super().list_commands(context), *installed().commands]

    def get_command(self, context: "Context", name: str) -> "Command | None":
        if (built_in := super().get_command(context, name)) is not None:
            return built_in
        from roibench.registry import installed, resolve

        spec = installed().commands.get(name)
        if spec is None:
            return None
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(spec.name, help=spec.help)(resolve(spec.run))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    help="RoIBench: which vision model should I use, and what does its accuracy cost in milliseconds?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# A shell's exit code after Ctrl-C, and typer's.
INTERRUPTED = 130

DatasetOption = Annotated[
    str, typer.Option("--dataset", help="scenes, voc:PATH, coco:PATH, ...; @SPLIT names another split")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1")]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="a file that `roibench train` wrote")]
BadDataOption = Annotated[str, typer.Option("--on-bad-data", help="fail, listing all of it; skip; clip")]


@app.callback()
def options(context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False):
    """main(), which sees the errors, reads --debug itself; `run` hands it on."""
    context.obj = debug
