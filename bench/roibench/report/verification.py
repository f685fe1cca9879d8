"""A published record beside its repetition, in words."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from roibench.decide.verify import Outcome, Verification
from roibench.report.numbers import MISSING, heading, scale, short, short_name, with_interval

_COLOURS = {Outcome.REPRODUCED: "green", Outcome.DIFFERS: "red"}


def render(found: Verification) -> RenderableType:
    parts: list[RenderableType] = [
        Text(f"{found.cell}: {found.outcome}", style=f"bold {_COLOURS[found.outcome]}"),
        Text(f"published: {found.published}"),
    ]
    if found.run is not None:
        parts += [Text(f"here: {found.run}"), _table(found)]
        if found.same_predictions:
            parts.append(Text("The predictions are the published ones, to the last bit."))
    parts += [Text(f"the machine was not quiet: {warning}", style="yellow") for warning in found.warnings]
    if found.time and found.time.note:
        parts.append(Text(f"time: {found.time.note}"))
    then = "what differs" if found.outcome is Outcome.DIFFERS else "what differs, and didn't matter"
    if found.differing:
        parts.append(Text(f"{then}:"))
        parts += [Text(f"  {name}: {old}, here {new}") for name, (old, new) in found.differing.items()]
    elif found.outcome is Outcome.DIFFERS:
        parts.append(
            Text("Nothing that a record holds differs: versions, weights, data, plugins and machine are alike.")
        )
    return Group(*parts)


def _table(found: Verification) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(("", "published [95 % CI]", "here", "is")):
        table.add_column(name, justify="right" if index in (1, 2) else "left", overflow="fold")
    for one in found.values:
        what = heading(f"{one.task.replace('_', ' ')}, {short_name(one.value)}", one.unit)
        if one.here is None:
            here = MISSING
        else:
            here = f"{scale(one.unit) * one.here:.1f}" if one.unit == "%" else short(one.here)
        row = (what, with_interval(one.published, one.unit), here, one.outcome)
        table.add_row(*map(Text, row[:-1]), Text(one.outcome, style=_COLOURS[one.outcome]))
    if found.time:
        ratio = "" if found.time.change is None else f", x {with_interval(found.time.change)}"
        row = ("p50 ms", short(found.time.old), f"{short(found.time.new)}{ratio}")
        table.add_row(*map(Text, row), Text(found.time_outcome, style=_COLOURS.get(found.time_outcome, "")))
    return table
