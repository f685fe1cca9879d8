"""A report of any set of records, in the formats that a person asks for."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from roibench.measure.record import RECORD, Record
from roibench.measure.record_files import written_records
from roibench.registry import Registry
from roibench.report import csv, latex, markdown
from roibench.report.comparison import Runs, comparison_grid, published_grid
from roibench.report.page import html
from roibench.report.rows import failures, headings, tables

MERGED = "records.jsonl"


def _markdown(records: Sequence[Record], registry: Registry, _: Sequence[Path]) -> str:
    found = tables(records)
    text = markdown.render(records, told=Runs(records))
    if (published := published_grid(found, registry)) is not None:
        text += f"\n## Published\n\n{markdown.grid(published.titles, published.rows)}\n"
    return text


def _json(records: Sequence[Record], registry: Registry, _: Sequence[Path]) -> str:
    """The texts of the tables and the numbers of the CSV, by table."""
    told, found = Runs(records), tables(records)
    parts = []
    for heading, table in zip(headings(found), found, strict=True):
        grid = comparison_grid(table, told)
        parts.append(
            {
                "title": heading,
                "task": table.task,
                "dataset": table.dataset,
                "dataset_hash": table.dataset_hash,
                "ranked_by": table.primary,
                "conditions": table.shared,
                "notes": [*table.notes, *told.notes(table)],
                "columns": list(grid.titles),
                "rows": [
                    {"texts": list(texts), "numbers": csv.line(table, row, told)}
                    for texts, row in zip(grid.rows, table.rows, strict=True)
                ],
            }
        )
    published = published_grid(found, registry)
    content = {
        "tables": parts,
        "published": [dict(zip(published.titles, row, strict=True)) for row in published.rows] if published else [],
        "failed": [one.__dict__ for one in failures(records)],
        "software": markdown.software(records),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Record], Registry, Sequence[Path]], str]] = {
    "md": _markdown,
    "csv": lambda records, *_: csv.render(records, Runs(records)),
    "tex": lambda records, registry, _: latex.render(records, registry),
    "html": html.render,
    "json": _json,
}


def reports(
    records: Sequence[Record], formats: Sequence[str], registry: Registry, runs: Sequence[Path] = ()
) -> dict[str, str]:
    """By file name: table.md, table.csv ... runs: the folders of those that may have predictions beside their records,
    which the HTML draws. Raises ValueError for a format that isn't one of FORMATS."""
    for one in formats:
        if one not in FORMATS:
            raise ValueError(f"--format {one!r}: want {', '.join(FORMATS)}")
    return {f"table.{one}": FORMATS[one](records, registry, runs) for one in dict.fromkeys(formats)}


def merged(records: Sequence[Record]) -> dict[str, bytes]:
    """Records as a dataset that others can add theirs to, by file name: of today's schema, in the order of their time,
    and the schema.
    """
    in_order = sorted(records, key=lambda record: (record.started, record.cell_id))
    schema = json.dumps(RECORD.json_schema(), indent=2) + "\n"
    return {MERGED: written_records(in_order), "schema.json": schema.encode()}
