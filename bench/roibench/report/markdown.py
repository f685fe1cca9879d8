"""Records as Markdown: the tables of the terminal with every column, for a README or an issue."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from roibench.claim import Judged
from roibench.measure.record import Ok, Provenance, Record
from roibench.report.agreement import LEGEND, Agreement, agreements, written
from roibench.report.numbers import MISSING, heading, plain, short, with_interval
from roibench.report.rows import DOUBTFUL, Remark, Row, Table, cells, doubts, failures, interferences, tables

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
_NOTES = (
    "Times are per image, from the decoded image on the host to the final predictions on the host. CI: of accuracies a "
    'bootstrap over images, of times over the turns that the models took; "x the fastest" is paired turn by turn. '
    "CPU: processor time of all threads. Memory: what the model and its predictions take beyond the process before. "
    "GFLOPs: a multiply-add counts as two; element-wise operators and suppression are not counted. Parameters: "
    "trainable ones. Pareto front: ● no other model of the same setting is as accurate and faster, or as fast and more "
    "accurate; ○ beaten, but by none that is both faster and more accurate beyond doubt. Accuracies of different "
    "numbers of images are compared over the first ones that both rows have."
)

_PASSES = "Passes: FLOPs over those of a prediction of the model behind the @."


def render(records: Sequence[Record], notes: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
    """A section per dataset and task, where the time went, whose predictions or times are in doubt, what failed, and
    what it was measured with.

    notes: further remarks on the run, by title.
    """
    found = tables(records)
    sections = [f"## {table.heading}\n\n{comparison(table)}" for table in found]
    sections += [f"## {table.heading}: agreement\n\n{agreement(table)}" for table in found if agreements(table)]
    if cells(records):
        sections.append(f"## Where the time goes\n\n{stages(records)}")
    sections += _remarks(f"{DOUBTFUL} Doubtful predictions: check what these models return", "why", doubts(records))
    sections += _remarks("The machine was not quiet: don't trust these times", "why", interferences(records))
    sections += _remarks("Failed", "error", failures(records))
    sections += [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in notes.items()]
    if legend := [*_passes(found), *_better_lower(found)]:
        sections.append(" ".join(legend))
    if found:
        sections.append(f"{_NOTES}\n\nMeasured with {_software(records)}.")
    return "\n\n".join(sections or ["No cell was run."]) + "\n"


def _remarks(title: str, what: str, remarks: Sequence[Remark]) -> list[str]:
    rows = [(remark.model, remark.dataset, remark.cell_id, remark.text) for remark in remarks]
    return [f"## {title}\n\n" + grid(("model", "dataset", "cell", what), rows)] if rows else []


def _passes(found: Sequence[Table]) -> list[str]:
    return [_PASSES] if any(row.passes is not None for table in found for row in table.rows) else []


def _better_lower(found: Sequence[Table]) -> list[str]:
    """The values in the tables whose best is the lowest."""
    names = dict.fromkeys(
        table.name(key)
        for table in found
        for key, value in table.values.items()
        if not value.higher_is_better and (key == table.primary or value.shown)
    )
    return [f"Better the lower: {', '.join(names)}."] if names else []


def comparison(table: Table) -> str:
    """The rows, below what they have in common and above what must be known to read them."""
    several = len(table.settings) > 1
    wrapping = any(row.passes is not None for row in table.rows)
    trained = any(row.record.epochs or row.record.pretrained_on for row in table.rows)
    titles = ["model", "family", *(_TRAINED if trained else ()), *(["setting"] if several else [])]
    left = len(titles)
    titles.append(f"{heading(table.name(table.primary), table.unit)} [95 % CI]")
    titles += [heading(table.name(key), value.unit) for key, value in table.shown.items()]
    titles += ["passes"] if wrapping else []
    rows = []
    for row in table.rows:
        setting = [table.own(row.setting)] if several else []
        scores = [row.accuracy(table.unit)]
        scores += [plain(row.scores.get(key), value.unit) for key, value in table.shown.items()]
        passes = [short(row.passes)] if wrapping else []
        mark = f" {DOUBTFUL}" if row.warnings else ""
        training = (str(row.record.epochs or ""), row.record.pretrained_on or "") if trained else ()
        rows.append((row.model + mark, row.record.family, *training, *setting, *scores, *passes, *_measured(row)))
    return "\n\n".join([table.shared, grid((*titles, *_MEASURED), rows, left=left), *table.notes])


def agreement(table: Table) -> str:
    """How far the values of a table agree on the order of its models: a matrix per model that these go around."""
    parts = []
    for one in agreements(table):
        places = range(len(one.names) - 1)
        rows = [(name, *(_pair(one, i, j) if j < i else "" for j in places)) for i, name in enumerate(one.names) if i]
        parts += [f"{one.heading[0].upper()}{one.heading[1:]}. {one.chance}", grid(("", *one.names[:-1]), rows, left=1)]
    return "\n\n".join([*parts, LEGEND])


def _pair(one: Agreement, i: int, j: int) -> str:
    """`0.82 [0.65, 0.93]`."""
    if (found := one.pairs.get((i, j))) is None:
        return MISSING
    value, bounds = written(found)
    return f"**{value}** {bounds}" if one.is_beyond_chance(found) else f"{value} {bounds}"


def stages(records: Sequence[Record]) -> str:
    """Where the time of each cell went, the fastest first."""
    rows = [
        (cell.model, cell.dataset, short(cell.p50.value), ", ".join(f"{s.name} {s.share:.0%}" for s in cell.stages))
        for cell in cells(records)
    ]
    return grid(("model", "dataset", "p50 ms", "share of its stages"), rows)


def claims(judged: Sequence[Judged]) -> str:
    """What is said, and what records say of it."""
    rows = [(one.claim.statement, one.verdict.status, one.verdict.figures) for one in judged]
    return grid(("claim", "is", "figures"), rows)


def _measured(row: Row) -> list[str]:
    """The cells under _MEASURED."""
    latency = row.record.latency
    numbers = (latency.p99, latency.throughput, latency.cpu, row.memory, row.gflops, row.parameters)
    return [with_interval(row.p50), with_interval(row.fastest), *map(short, numbers), row.standing.value]


def _software(records: Sequence[Record]) -> str:
    versions = dict.fromkeys(
        f"RoIBench {p.roibench} ({(p.commit or 'no commit')[:10]}{', modified' if p.dirty else ''}), torch {p.torch}, "
        f"torchvision {p.torchvision}, SIMD level {p.simd_level}"
        + (f", driver {p.driver}" if p.driver else "")
        + "".join(f", {name} {version}" for name, version in _others(p))
        for p in (record.provenance for record in records if isinstance(record, Ok))
    )
    return "; ".join(versions)


def _others(provenance: Provenance) -> dict[tuple[str, str], None]:
    """What plugins came from, beside RoIBench itself."""
    found = ((one.distribution or one.name, one.version or f"({one.sha256[:10]})") for one in provenance.plugins)
    return dict.fromkeys(one for one in found if one[0] != "roibench")


def grid(heading: Sequence[str], rows: Iterable[Sequence[str]], left: int | None = None) -> str:
    """A table whose first `left` columns (None: all) are aligned left, the rest right."""
    left = len(heading) if left is None else left
    rule = [":--" if i < left else "--:" for i in range(len(heading))]
    lines = (heading, rule, *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
