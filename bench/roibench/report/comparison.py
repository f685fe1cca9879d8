"""A table of models as titles and texts, the same for Markdown, LaTeX and HTML; and which runs its rows are of."""

from collections.abc import Sequence
from dataclasses import dataclass

from roibench.measure.record import Ok, Record
from roibench.registry import Registry, UnknownNameError
from roibench.report.numbers import heading, plain, short, with_interval
from roibench.report.rows import DOUBTFUL, Row, Table
from roibench.sources import Source

_TRAINED = ("epochs", "pretrained on")
_MEASURED = (
    "p50 ms [95 % CI]",
    "x the fastest [95 % CI]",
    "p99 ms",
    "images/s",
    "CPU ms",
    "memory MiB",
    "GFLOPs",
    "parameters M",
    "Pareto front",
)
_JOULES, NOT_AVAILABLE = "J/image [95 % CI]", "not available"


@dataclass(frozen=True)
class Grid:
    """left: how many columns, from the first one on, hold text; the others hold numbers."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int


class Runs:
    """The runs that records are of: cells of one took turns with each other, those of two did not."""

    def __init__(self, records: Sequence[Record]) -> None:
        ran = [record for record in records if isinstance(record, Ok)]
        keys = list(dict.fromkeys(map(self._key, ran)))
        self._numbers = {key: str(number) for number, key in enumerate(keys, 1)}
        self._told = {self._key(record): in_words(record) for record in reversed(ran)}

    def of(self, table: Table) -> list[str]:
        """Of each row the number of its run; [] where all are of one."""
        numbers = [self._numbers[self._key(row.record)] for row in table.rows]
        return numbers if len(set(numbers)) > 1 else []

    def columns(self, row: Row) -> dict[str, object]:
        """A row's run, for a file of numbers."""
        made = row.record.provenance
        about = {"run": self._numbers[self._key(row.record)], "date": row.record.started.date().isoformat()}
        return about | {"commit": made.commit or "", "modified": made.dirty, "cores": made.cores}

    def notes(self, table: Table) -> list[str]:
        """What is to be known of several."""
        if not self.of(table):
            return []
        keys = sorted({self._key(row.record) for row in table.rows}, key=lambda key: int(self._numbers[key]))
        told = "; ".join(f"{self._numbers[key]}: {self._told[key]}" for key in keys)
        return [f"Runs: {told}. Cells of different runs took no turns together: their times carry both runs' noise."]

    @staticmethod
    def _key(record: Ok) -> str:
        turns, made = record.latency.turns, record.provenance
        return turns.run if turns else f"{made.cpu} {made.commit} {record.started.date()}"


def in_words(record: Ok) -> str:
    """What it was measured with and when: `commit 0123456789, modified, 2026-01-02`."""
    made = record.provenance
    commit = f"commit {(made.commit or 'unknown')[:10]}{', modified' if made.dirty else ''}"
    return f"{commit}, {record.started.date()}"


def comparison_grid(table: Table, told: Runs | None = None) -> Grid:
    """A line per row, with every column. told: tells runs apart where the rows are of several."""
    several = len(table.settings) > 1
    wrapping = any(row.passes is not None for row in table.rows)
    trained = any(row.record.epochs or row.record.pretrained_on for row in table.rows)
    runs = told.of(table) if told else []
    titles = ["model", "family", *(_TRAINED if trained else ())]
    titles += [*(["setting"] if several else []), *(["run"] if runs else [])]
    left = len(titles)
    titles.append(f"{heading(table.name(table.primary), table.unit)} [95 % CI]")
    titles += [f"lost against torch {table.unit} [95 % CI]"] if table.compares_backends else []
    titles += [heading(table.name(key), value.unit) for key, value in table.shown.items()]
    titles += ["passes"] if wrapping else []
    counted = any(row.energy for row in table.rows)
    rows = []
    for index, row in enumerate(table.rows):
        setting = [*([table.own(row.setting)] if several else []), *runs[index : index + 1]]
        scores = [row.accuracy(table.unit)]
        scores += [with_interval(row.lost, table.unit)] if table.compares_backends else []
        scores += [plain(row.scores.get(key), value.unit) for key, value in table.shown.items()]
        passes = [short(row.passes)] if wrapping else []
        mark = f" {DOUBTFUL}" if row.warnings else ""
        training = (str(row.record.epochs or ""), row.record.pretrained_on or "") if trained else ()
        joules = [with_interval(row.energy) if row.energy else NOT_AVAILABLE] if counted else []
        rows.append(
            (row.model + mark, row.record.family, *training, *setting, *scores, *passes, *joules, *_measured(row))
        )
    return Grid((*titles, *([_JOULES] if counted else []), *_MEASURED), tuple(rows), left)


def _measured(row: Row) -> list[str]:
    """The cells under _MEASURED."""
    latency = row.record.latency
    numbers = (latency.p99, latency.throughput, latency.cpu, row.memory, row.gflops, row.parameters)
    return [with_interval(row.p50), with_interval(row.fastest), *map(short, numbers), row.standing.value]


def published_grid(found: Sequence[Table], registry: Registry) -> Grid | None:
    """What papers published of the models, with the papers' conditions, beside what was measured here; None where
    nothing of them was published.
    """
    measured: dict[str, list[str]] = {}
    for table in found:
        for row in table.rows:
            if row.score is not None and row.record.cell.is_plain:
                name = heading(f"{table.name(table.primary)} {plain(row.score, table.unit)}", table.unit)
                measured.setdefault(row.record.cell.model, []).append(f"{name} ({table.title})")
    rows = []
    for model, values in measured.items():
        try:
            paper = None if Source.parse(model) else registry.model(model).paper
        except UnknownNameError:  # somebody else's, not installed here
            continue
        if paper is None:  # a model from outside
            continue
        for what, figure in paper.published.items():
            rows.append((model, f"{paper.title} ({paper.year})", what, figure, "; ".join(dict.fromkeys(values))))
    titles = ("model", "paper", "what was published", "published", "measured here, on other data")
    return Grid(titles, tuple(rows), len(titles)) if rows else None
