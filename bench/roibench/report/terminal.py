"""Records as rich tables, readable in a terminal of 100 columns."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from roibench.claim import Judged
from roibench.measure.rank import Ranking
from roibench.measure.record import Record, Score
from roibench.measure.rescore import Rescored
from roibench.report.numbers import heading, plain, short, short_name, with_interval
from roibench.report.rows import (
    DOUBTFUL,
    Cell,
    Remark,
    Row,
    Standing,
    Table,
    cells,
    doubts,
    failures,
    interferences,
    tables,
)

LEGEND = (
    f"{Standing.FRONT} on the Pareto front of its setting, {Standing.NEAR} can't be told from it.  "
    "[95 % CI]: of times over turns.  x fastest: paired."
)


def render(records: Sequence[Record], notes: Mapping[str, Sequence[str]] = MappingProxyType({})) -> RenderableType:
    """A table per dataset and task, where the time went, whose predictions or times are in doubt, and what failed.

    notes: further remarks on the run, by title.
    """
    found = tables(records)
    parts = [part for table in found for part in _comparison(table)]
    if found:
        parts.append(Text(LEGEND + "\n", style="dim"))
    if ran := cells(records):
        parts.append(_stages(ran))
    if doubtful := doubts(records):
        parts.append(
            _remarks(f"{DOUBTFUL} doubtful predictions: check what these models return", "yellow", "why", doubtful)
        )
    if disturbed := interferences(records):
        parts.append(_remarks("the machine was not quiet: don't trust these times", "yellow", "why", disturbed))
    if failed := failures(records):
        parts.append(_remarks("failed", "red", "error", failed))
    for title, lines in notes.items():
        parts.append(Text(f"{title[0].lower()}{title[1:]}", style="bold yellow"))
        parts += [Text(f"  {line}") for line in lines]
    if not parts:
        parts.append(Text("No cell was run."))
    return Group(*parts)


def _grid(title: str) -> RichTable:
    # Right padding alone: a blank on both sides of every number would cost ten columns.
    style = {"title_style": "bold", "title_justify": "left", "padding": (0, 1, 0, 0)}
    return RichTable(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, **style)


def _comparison(table: Table) -> list[RenderableType]:
    """A row per cell; settings have a number where there are several, spelt out below the rows."""
    labels = {setting: str(i) for i, setting in enumerate(table.settings, 1)} if len(table.settings) > 1 else {}
    second = dict(list(table.shown.items())[:1])
    grid = _grid(table.title)
    grid.add_column("", no_wrap=True)
    grid.add_column("model", overflow="fold", min_width=_longest(row.model for row in table.rows))
    # A unit stands once where it is the same.
    units = {key: "" if value.unit == table.unit else value.unit for key, value in second.items()}
    scores = [heading(table.name(key), unit) for key, unit in ({table.primary: table.unit} | units).items()]
    lost = ["lost [95 % CI]"] if table.compares_backends else []
    for column in (*scores[:1], *lost, *scores[1:], *_MEASURED):
        grid.add_column(column, justify="right", no_wrap=True)
    for row, after in zip(table.rows, (*table.rows[1:], None), strict=True):
        mark = (row.standing.value or " ") + labels.get(row.setting, "")
        lost = [with_interval(row.lost, table.unit)] if table.compares_backends else []
        beside = [plain(row.scores.get(key), value.unit) for key, value in second.items()]
        # Accuracies of different numbers of images are no ranking: a line parts them.
        parted = after is not None and after.setting.images != row.setting.images
        name = f"{row.model} {DOUBTFUL}" if row.warnings else row.model
        grid.add_row(mark, name, row.accuracy(table.unit), *lost, *beside, *_measured(row), end_section=parted)
    settings = [f"{label}: {table.own(setting)}" for setting, label in labels.items()]
    return [grid, Text("\n".join([table.shared, *settings, *table.notes]) + "\n")]


_MEASURED = ("p50 ms", "x fastest", "MiB", "Mparam")


def _measured(row: Row) -> list[str]:
    """The cells under _MEASURED."""
    return [with_interval(row.p50), with_interval(row.fastest), *map(short, (row.memory, row.parameters))]


def render_rankings(rankings: Sequence[Ranking]) -> RenderableType:
    """A table per dataset and task: how far each cell is behind the best, and whether that is more than chance."""
    parts = []
    for ranking in rankings:
        title = f"{ranking.task.replace('_', ' ')} on {ranking.dataset}, {ranking.images:,} images"
        grid = _grid(title)
        names = (one.record.cell.label for one in ranking.entries)
        grid.add_column("model", overflow="fold", min_width=_longest(names))
        grid.add_column("weights", overflow="fold")
        grid.add_column(
            f"{heading(short_name(ranking.primary), ranking.unit)} [95 % CI]", justify="right", overflow="fold"
        )
        grid.add_column("behind the best [95 % CI]", justify="right", overflow="fold")
        grid.add_column("x its time [95 % CI]", justify="right", overflow="fold")
        for one in ranking.entries:
            weights = (one.record.cell.weights_hash or "-")[:8]
            name = f"{one.record.cell.label} {DOUBTFUL}" if one.warnings else one.record.cell.label
            scores = (with_interval(value, ranking.unit) for value in (one.value, one.behind))
            grid.add_row(name, weights, *scores, with_interval(one.times))
        parts.append(grid)
        parts += [
            Text(f"{DOUBTFUL} {one.record.cell.label}: {warning}", style="yellow")
            for one in ranking.entries
            for warning in one.warnings
        ]
    paired = "Paired: differences by the same resamples of images, times by the turns that cells took together."
    parts.append(Text(paired, style="dim"))
    return Group(*parts)


def render_scores(found: Sequence[Rescored]) -> RenderableType:
    """A table per cell or file and task: every value with its interval."""
    parts: list[RenderableType] = []
    for one in found:
        title = f"{one.what}: {one.task.replace('_', ' ')} on {one.dataset}, {one.images:,} images"
        parts.append(Text(title, style="bold"))  # not the grid's, which would fold it to its own width
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        grid.add_column("", no_wrap=True)
        grid.add_column("value [95 % CI]", justify="right", no_wrap=True)
        for key, value in one.score.values.items():
            name = heading(short_name(key, one.score.values), value.unit)
            grid.add_row(name, Text(with_interval(value, value.unit)))
        parts.append(grid)
        parts += [Text(f"{DOUBTFUL} {warning}", style="yellow") for warning in one.score.warnings]
        parts += [Text(note, style="dim") for note in one.notes]
    return Group(*parts)


def render_claims(judged: Sequence[Judged]) -> RenderableType:
    """What is said, and what records say of it."""
    grid = _grid("claims")
    for column in ("claim", "is", "figures"):
        grid.add_column(column, overflow="fold")
    for one in judged:
        grid.add_row(*map(Text, (one.claim.statement, one.verdict.status, one.verdict.figures)), end_section=True)
    return grid


def ranked(score: Score) -> str:
    """What ranks, in words: `AP 48.3 [46.1, 50.4] %`."""
    unit = score.values[score.primary].unit
    return heading(f"{short_name(score.primary)} {with_interval(score.values[score.primary], unit)}", unit)


def _longest(names: Iterable[str]) -> int:
    """As wide a column must be that folds none of their words."""
    return max((len(word) for name in names for word in name.split()), default=0)


def _stages(ran: list[Cell]) -> RichTable:
    grid = _grid("where the time goes")
    grid.add_column("model", overflow="fold", min_width=_longest(cell.model for cell in ran))
    grid.add_column("p50 ms", justify="right", no_wrap=True)
    grid.add_column("share of its stages")
    for cell in ran:
        shares = "  ".join(f"{stage.name} {100 * stage.share:.0f}\N{NO-BREAK SPACE}%" for stage in cell.stages)
        grid.add_row(cell.model, short(cell.p50.value), shares)
    return grid


def _remarks(title: str, colour: str, what: str, remarks: list[Remark]) -> RichTable:
    grid = _grid(title)
    grid.title_style = f"bold {colour}"
    grid.add_column("cell", overflow="fold", min_width=_longest(remark.cell_id for remark in remarks))
    grid.add_column(what, overflow="fold")
    for remark in remarks:
        grid.add_row(remark.cell_id, Text(remark.text))
    return grid
