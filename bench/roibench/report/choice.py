"""A choice of a model, in words."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from roibench.decide.choose import Candidate, Check, Choice, Gap, Status
from roibench.report.changes import signed
from roibench.report.numbers import heading, noise_floor_note, scale, short, short_name, with_interval

_NOTES = (
    "[95 % CI]. Accuracies are compared over the same {images:,} images, times in the turns that both took. How many "
    "more would decide is an estimate: if the value stays what it is."
)


def render(found: Choice) -> RenderableType:
    """The pick, the runner-up, what each gives up; then all that were looked at."""
    title = f"{found.task.replace('_', ' ')} on {found.dataset}: {found.setting}"
    parts: list[RenderableType] = [Text(title, style="bold")]
    parts += [Text(line) for line in sentences(found)]
    parts.append(_table(found))
    if found.noise_floor is not None:
        parts.append(Text(noise_floor_note(found.noise_floor), style="dim"))
    notes = (
        f"[95 % CI]. Accuracies are compared over the same {found.images:,} images, times in the turns that both took."
    )
    parts.append(Text(f"{notes} How many more would decide is an estimate: if the difference stays what it is.", "dim"))
    return Group(*parts)


def sentences(found: Choice) -> Iterator[str]:
    if found.pick is None:
        yield "pick: none, no model keeps the limits beyond doubt"
        return
    yield f"pick: {_described(found.pick, found)}"
    if (runner_up := found.runner_up) is None:
        yield "runner-up: none, no other model keeps the limits beyond doubt"
        return
    yield f"runner-up: {_described(runner_up.other, found)}"
    yield f"  the pick's lead in {_value(found)}: {_lead(runner_up, found)}"
    yield f"  the pick takes {_time(runner_up)}"
    value = _value(found)
    for gap in found.gaps:
        if not gap.accuracy_told and gap.time_told and gap.time.low > 1:
            yield f"{gap.other.name}: as good in {value} as far as can be told, and faster: the pick takes {_time(gap)}"
    sign = 1 if found.higher_is_better else -1
    for one in found.undecided:
        if one.accuracy and found.pick.accuracy and sign * (one.accuracy.value - found.pick.accuracy.value) > 0:
            yield f"{one.name}: better in {value}, if it keeps the limits: {'; '.join(map(_limit, _failing(one)))}"


def _described(one: Candidate, found: Choice) -> str:
    memory = "" if one.memory is None else f", {short(one.memory)} MiB"
    accuracy = heading(f"{_value(found)} {with_interval(one.accuracy, found.unit)}", found.unit)
    return f"{one.name}: {accuracy}, {with_interval(one.p50)} ms{memory}"


def _value(found: Choice) -> str:
    return short_name(found.value)


def _lead(gap: Gap, found: Choice) -> str:
    if gap.accuracy is None:
        return "can't be told: a record has no resamples of the images"
    unit = "points" if found.unit == "%" else found.unit
    lead = heading(signed(gap.accuracy, found.unit), unit)
    return lead if gap.accuracy_told else f"{lead}: can't be told apart{_more(gap.more_images, 'images')}"


def _time(gap: Gap) -> str:
    if gap.time is None:
        return "an unknown time beside it: a record has no turns"
    times = f"{with_interval(gap.time)} times as long{'' if gap.paired else ' (of turns at different times)'}"
    return times if gap.time_told else f"{times}: can't be told apart{_more(gap.more_turns, 'turns')}"


def _more(count: int | None, what: str) -> str:
    return "" if count is None else f"; about {count:,} more {what} would decide"


def _table(found: Choice) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("model", f"{heading(_value(found), found.unit)} [95 % CI]", "p50 ms [95 % CI]", "MiB", "limits"):
        table.add_column(name, justify="left" if name in ("model", "limits") else "right", overflow="fold")
    keeping = [*([found.pick] if found.pick else []), *(gap.other for gap in found.gaps)]
    groups: list[tuple[Sequence[Candidate], str]] = [(keeping, "keeps"), (found.apart, "keeps; of too few images")]
    groups += [(found.undecided, ""), (found.broken, "")]
    for candidates, status in groups:
        for one in candidates:
            name = one.name if one.images == found.images else f"{one.name}, {one.images:,} images"
            cells = [name, with_interval(one.accuracy, found.unit), with_interval(one.p50), short(one.memory)]
            table.add_row(*map(Text, (*cells, status or "; ".join(map(_limit, _failing(one))))))
    return table


def _failing(one: Candidate) -> list[Check]:
    return [check for check in one.checks if check.status is one.status]


def _limit(check: Check) -> str:
    name = check.what if check.what in ("p50 ms", "memory MiB") else short_name(check.what)
    limit = f"{name} {scale(check.unit) * check.limit:g}"
    if check.status is Status.BROKEN:
        return f"breaks {limit}"
    if check.found is None:
        return f"{limit}: not known"
    return f"{limit}: can't be told{_more(check.more, 'turns' if check.what == 'p50 ms' else 'images')}"
