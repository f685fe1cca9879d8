r"""Records as LaTeX: a table environment per dataset and task, with booktabs; captions hold the conditions.

What includes them needs \usepackage{booktabs,graphicx}.
"""

import re
from collections.abc import Sequence

from roibench.measure.record import Record
from roibench.registry import Registry
from roibench.report.comparison import Grid, Runs, comparison_grid, published_grid
from roibench.report.markdown import NOTES, better_lower_note, passes_note, software
from roibench.report.rows import headings, tables

_PUBLISHED = "What papers published, beside what was measured here on other data."
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "●": r"$\bullet$",
    "○": r"$\circ$",
    "†": r"\dag{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": r"$-$",
    "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
} | {one: f"\\{one}" for one in "&%$#_"}


def render(records: Sequence[Record], registry: Registry) -> str:
    told, found = Runs(records), tables(records)
    legend = " ".join([NOTES, *passes_note(found), *better_lower_note(found)])
    parts = [f"% {line}" for line in (r"\usepackage{booktabs,graphicx}", *legend.split(". "))]
    for heading, table in zip(headings(found), found, strict=True):
        made = f"Measured with {software([row.record for row in table.rows])}."
        notes = [*table.notes, *told.notes(table), made]
        caption = f"{heading}: {table.shared}. {' '.join(notes)}"
        parts.append(_table(comparison_grid(table, told), caption, heading))
    if (published := published_grid(found, registry)) is not None:
        parts.append(
            _table(published, "What papers published, beside what was measured here on other data.", "published")
        )
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """As LaTeX sets it; what it can't encode by itself is in _SPECIAL."""
    return "".join(_SPECIAL.get(one, one) for one in text)


def _table(grid: Grid, caption: str, label: str) -> str:
    columns = "l" * grid.left + "r" * (len(grid.titles) - grid.left)
    lines = [" & ".join(map(_cell, row)) + r" \\" for row in grid.rows]
    return "\n".join(
        [
            "",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_cell, grid.titles)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _cell(text: str) -> str:
    """A [ that begins a row would be an argument of the \\\\ before it."""
    return f"{{{escaped(text)}}}" if text.startswith("[") else escaped(text)
