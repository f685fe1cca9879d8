"""What is printed arrives whole: in a pipe, on a narrow terminal, and where only ASCII can be written."""

import codecs
import io
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# No line of a table is this wide: nothing is cropped or folded where no terminal has an edge.
_ENDLESS = 10_000
_IN_ASCII = {"●": "*", "○": "o", "\N{MULTIPLICATION SIGN}": "x"}


def console(terminal_width: int | None = None, markup: bool | None = None) -> "Console":
    """A console on standard output: as wide as the terminal, endless in a pipe or a file.

    markup: whether it has colours; None: where they can be seen.
    """
    from rich.console import Console

    return Console(width=terminal_width if sys.stdout.isatty() else _ENDLESS, force_terminal=markup)


def named(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> "Table":
    """A table whose first column holds names, which stay whole; other cells go on in the line below where they must.

    To be printed with crop=False: where not even the names have space, the terminal breaks the lines.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(
            column, overflow="fold", min_width=0 if index else max((len(row[0]) for row in rows), default=0)
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def write_any_text() -> None:
    """From now on, what standard output and error can't encode is written in ASCII, and raises nothing."""
    codecs.register_error("roibench", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="roibench")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _IN_ASCII:
        return _IN_ASCII[character]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or character.encode("ascii", "backslashreplace").decode()
