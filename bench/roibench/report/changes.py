"""What changed from old records to new ones, for a terminal and as Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from roibench.decide.changes import Accuracy, CellChange, Change, Changes, Verdict
from roibench.report.markdown import grid
from roibench.report.numbers import MISSING, heading, scale, short, short_name, with_interval

_HEADING = (
    "model",
    "task",
    "old",
    "new",
    "change [95 % CI]",
    "accuracy is",
    "old ms",
    "new ms",
    "x [95 % CI]",
    "time is",
)
_COLOURS = {Verdict.WORSE: "red", Verdict.BETTER: "green"}


def render(found: Changes) -> RenderableType:
    """A table per dataset and setting, and what must be known to read it."""
    parts: list[RenderableType] = [Text(line) for line in _head(found)]
    for title, cells in _groups(found).items():
        # Not the table's title, which would be folded to its width.
        parts.append(Text(f"\n{title}", style="bold"))
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for index, name in enumerate(_HEADING):
            table.add_column(name, justify="left" if index < 2 else "right", overflow="fold")
        for cell in cells:
            for line, verdicts in _lines(cell):
                texts = [Text(text) for text in line]
                for index, verdict in zip((5, 9), verdicts, strict=True):
                    texts[index].style = _COLOURS.get(verdict, "")
                table.add_row(*texts)
        parts.append(table)
    return Group(*parts, *(Text(line, style="dim") for line in _notes(found)))


def markdown(found: Changes) -> str:
    """As render, for a pull request or a job's summary."""
    sections = ["\n".join(f"- {line}" for line in _head(found))]
    for title, cells in _groups(found).items():
        rows = [line for cell in cells for line, _ in _lines(cell)]
        sections.append(f"### {title}\n\n{grid(_HEADING, rows, left=2)}")
    sections.append("\n".join(f"- {line}" for line in _notes(found)))
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(found: Changes) -> list[str]:
    return [f"old: {found.old}", f"new: {found.new}"]


def _groups(found: Changes) -> dict[str, list[CellChange]]:
    groups: dict[str, list[CellChange]] = {}
    for cell in found.cells:
        place = f" ({cell.place})" if cell.place else ""
        groups.setdefault(f"{cell.dataset}, {cell.setting}{place}", []).append(cell)
    return groups


def _lines(cell: CellChange) -> list[tuple[list[str], tuple[Verdict | None, Verdict | None]]]:
    """A line per task; the time stands in the first one."""
    lines = []
    for index, accuracy in enumerate(cell.accuracies or (None,)):
        time = cell.time if not index else None
        texts = [cell.model if not index else "", *_accuracy(accuracy), *_time(time)]
        lines.append((texts, (accuracy and accuracy.verdict, time and time.verdict)))
    return lines


def _accuracy(one: Accuracy | None) -> list[str]:
    if one is None:
        return [MISSING] * 5
    task = f"{one.task.replace('_', ' ')}, {heading(short_name(one.value), one.unit)}"
    values = [_value(value, one.unit) for value in (one.old, one.new)]
    return [task, *values, signed(one.change, one.unit), one.verdict]


def _time(one: Change | None) -> list[str]:
    if one is None:
        return [""] * 4
    verdict = {Verdict.WORSE: "slower", Verdict.BETTER: "faster"}.get(one.verdict, one.verdict)
    return [short(one.old), short(one.new), with_interval(one.change), verdict]


def _value(value: float | None, unit: str) -> str:
    return MISSING if value is None else f"{scale(unit) * value:.1f}" if unit == "%" else short(value)


def signed(change: object, unit: str) -> str:
    """`+1.2 [-0.3, +2.6]`."""
    if change is None:
        return MISSING
    # + 0.0: no minus before a zero
    value, low, high = (round(scale(unit) * one, 9) + 0.0 for one in (change.value, change.low, change.high))
    digits = ".1f" if unit == "%" else ".3g"
    return f"{value:+{digits}} [{low:+{digits}}, {high:+{digits}}]"


def _notes(found: Changes) -> list[str]:
    lines = [*_of_each(found.cells)]
    lines += [f"differs: {name}: {old}, now {new}" for name, (old, new) in found.differing.items()]
    for side, lone in (("old", found.only_old), ("new", found.only_new)):
        lines += [f"only {side}: {where}: {', '.join(models)}" for where, models in lone.items()]
    floors = [cell.time.noise_floor for cell in found.cells if cell.time.noise_floor is not None]
    if floors:
        lines.append(f"noise floor (A/A): up to {100 * max(floors):.1f} %; no smaller change in time is one")
    if any(one.paired for cell in found.cells for one in cell.accuracies):
        lines.append("accuracy: paired, by the same resamples of the images")
    if any(cell.time.paired for cell in found.cells):
        lines.append("time: paired, by the turns that old and new took together")
    if any(cell.time.change and not cell.time.paired for cell in found.cells):
        lines.append(
            "time: of turns at different times; what the machine did between them isn't in the interval: "
            "`roibench gate` measures both in turns"
        )
    return lines


def _of_each(cells: Sequence[CellChange]) -> list[str]:
    """What is to be known of single changes, said once for all of which it holds."""
    about: dict[str, list[str]] = {}
    for cell in cells:
        for what, one in (*((accuracy.task, accuracy) for accuracy in cell.accuracies), ("time", cell.time)):
            if one.note:
                about.setdefault(f"{what.replace('_', ' ')}: {one.note}", []).append(cell.model)
    return [f"{note} ({'all' if len(models) == len(cells) else ', '.join(models)})" for note, models in about.items()]
