"""What a gate found, for a terminal and as Markdown."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from roibench.decide.gate import HERE, Gated, Ruled, Ruling
from roibench.report.changes import signed
from roibench.report.markdown import grid
from roibench.report.numbers import MISSING, heading, scale, short, short_name

_HEADING = ("model", "what", "base", "here", "worse by [95 % CI]", "allowed", "is")
_LEGEND = (
    "worse: beyond what is allowed, and real: the interval leaves 0 out, and the loss is beyond the noise floor; fine: "
    "all of the interval is allowed"
)
_COLOURS = {Ruling.WORSE: "bold red", Ruling.CANNOT_TELL: "yellow", Ruling.FINE: "green"}


def render(found: Gated) -> RenderableType:
    parts: list[RenderableType] = [Text(_title(found), style=_COLOURS[found.ruling])]
    for title, ruled in _groups(found).items():
        parts.append(Text(f"\n{title}", style="bold"))
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for index, name in enumerate(_HEADING):
            table.add_column(name, justify="right" if 2 <= index < 6 else "left", overflow="fold")
        for one in ruled:
            *texts, ruling = _line(one)
            table.add_row(*map(Text, texts), Text(ruling, style=_COLOURS[one.ruling]))
        parts.append(table)
    return Group(*parts, *map(Text, _notes(found)))


def markdown(found: Gated) -> str:
    sections = [f"## {_title(found)}"]
    for title, ruled in _groups(found).items():
        sections.append(f"### {title}\n\n{grid(_HEADING, map(_line, ruled), left=2)}")
    return "\n\n".join([*sections, "\n".join(f"- {line}" for line in _notes(found))]) + "\n"


def _title(found: Gated) -> str:
    return f"{found.here} against {' and '.join(found.bases)}: {found.ruling}"


def _groups(found: Gated) -> dict[str, list[Ruled]]:
    groups: dict[str, list[Ruled]] = {}
    for one in found.ruled:
        base = f"against {one.base}: " if len(found.bases) > 1 else ""
        groups.setdefault(f"{base}{one.dataset}, {one.setting}", []).append(one)
    return groups


def _line(one: Ruled) -> list[str]:
    if one.what == "time":
        what, unit, allowed = "time, ms", "%", f"{100 * one.limit:g} %"
        values = [short(one.old), short(one.new)]
    else:
        what = f"{one.what.replace('_', ' ')}, {heading(short_name(one.value), one.unit)}"
        unit, allowed = one.unit, f"{scale(one.unit) * one.limit:g}"
        values = [_value(one.old, unit), _value(one.new, unit)]
    points = {"%": "%" if one.what == "time" else "points"}.get(unit, unit)
    loss = f"{signed(one.loss, unit)} {points}".rstrip() if one.loss else MISSING
    return [one.model, what, *values, loss, allowed, one.ruling]


def _value(value: float | None, unit: str) -> str:
    return MISSING if value is None else f"{scale(unit) * value:.1f}" if unit == "%" else short(value)


def _notes(found: Gated) -> Iterator[str]:
    for side, errors in found.errors.items():
        for cell, error in errors.items():
            yield f"failed {'here' if side == HERE.name else f'in {side}'}: {cell}: {error}"
    for one in found.ruled:
        if one.note:
            yield f"{one.model}, {one.what.replace('_', ' ')}: {one.note}"
    for side, cells in found.alone.items():
        yield f"{side} alone: {'; '.join(cells)}"
    for line in found.left_out:
        yield f"left out: {line}"
    if not found.ruled:
        yield "nothing was compared"
    times = [one for one in found.ruled if one.what == "time"]
    if floors := [one.noise_floor for one in times if one.noise_floor is not None]:
        turns = min(one.count for one in times)
        least, most = (100 * choose(floors) for choose in (min, max))
        yield f"times: paired over {turns} turns or more; noise floor (A/A): {least:.1f} to {most:.1f} %"
    yield _LEGEND
    yield f"records: {found.folder}"
