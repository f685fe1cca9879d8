"""Records as CSV: one line per cell that ran and task, numbers unrounded, for a spreadsheet or a data frame."""

import csv
import io
from collections.abc import Sequence

from roibench.measure.record import Interval, Record
from roibench.report.comparison import Runs
from roibench.report.rows import Row, Table, tables
from roibench.specs import TORCH


def render(records: Sequence[Record], told: Runs | None = None) -> str:
    """Scores as their metrics gave them (per cent as fractions), times in milliseconds; NAME_low and NAME_high bound
    the 95 % interval of NAME, which is METRIC/NAME where two metrics share it. The columns are those that occur, so
    that a line's blank is a score that its task doesn't have. told: tells of each line its run."""
    lines = [line(table, row, told) for table in tables(records) for row in table.rows]
    columns = dict.fromkeys(name for one in lines for name in one)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def line(table: Table, row: Row, told: Runs | None = None) -> dict[str, object]:
    """A row's numbers, and what they are of, by column."""
    line = {"task": table.task, "dataset": table.dataset, "dataset_hash": table.dataset_hash}
    line |= told.columns(row) if told else {}
    cell = row.record.cell
    line |= {"model": cell.model} | {f"knob_{name}": value for name, value in cell.knobs.items()}
    line |= {} if cell.backend == TORCH else {"backend": cell.backend}
    line |= {"family": row.record.family, "cell_id": row.record.cell_id} | row.setting._asdict()
    line |= _interval("p50_ms", row.p50)
    latency, record = row.record.latency, row.record
    line |= {"p90_ms": latency.p90, "p99_ms": latency.p99, "images_per_s": latency.throughput}
    if row.fastest:  # computed here: the last bits are the machine's
        line |= {name: float(f"{value:.9g}") for name, value in _interval("times_the_fastest", row.fastest).items()}
    line |= _interval("lost_against_torch", row.lost) if row.lost else {}
    known = {"noise_floor": row.noise_floor, "cpu_ms": latency.cpu, "memory_mib": row.memory}
    known |= {"epochs": record.epochs, "pretrained_on": record.pretrained_on}
    line |= {name: value for name, value in known.items() if value is not None}
    line |= {} if row.energy is None else _interval("joules_per_image", row.energy)
    line |= {"unscored": record.unscored} if record.unscored else {}
    line |= {"passes": row.passes} if row.passes is not None else {}
    line |= {
        "gflops": row.gflops,
        "parameters_m": row.parameters,
        "pareto_front": row.standing.name.lower(),
        "warnings": "; ".join(row.warnings),
        "primary": table.name(row.primary),
    }
    for key, score in row.scores.items():
        line |= _interval(table.name(key), score)
    return line


def _interval(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
