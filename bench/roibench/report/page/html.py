"""Records as one HTML file that needs nothing else: of each dataset and task an interactive plot, a table that can be
sorted and filtered, where the time goes, and pictures where predictions were kept.

What records hold is somebody else's text: Jinja2 escapes it, and the page's content security policy runs no script but
the page's own and lets nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from roibench.measure.record import Record
from roibench.registry import Registry
from roibench.report.comparison import Grid, Runs, comparison_grid, published_grid
from roibench.report.markdown import NOTES, better_lower_note, passes_note, software
from roibench.report.numbers import short
from roibench.report.page import scatter
from roibench.report.page.gallery import MISTAKES, Gallery, gallery
from roibench.report.rows import DOUBTFUL, Remark, Standing, Table, doubts, failures, headings, interferences, tables
from roibench.report.stage_bars import stage_shares
from roibench.report.write import AGREEMENT, CURVES, STAGES, drawings_of

_HERE = Path(__file__).parent
_STATIC = "Plots are pictures: `pip install 'roibench[page]'` where the page is made, and they can be switched."
_REMARKS = (
    (f"{DOUBTFUL} Doubtful predictions: check what these models return", "why", doubts),
    ("The machine was not quiet: don't trust these times", "why", interferences),
    ("Failed", "error", failures),
)


@dataclass(frozen=True)
class Collection:
    """Records that are shown together: rows of different collections never stand in one table.

    title: what tells it from the page's others; "" where it is the only one.
    runs: folders in which the predictions may lie that the records speak of.
    """

    title: str
    records: Sequence[Record]
    runs: Sequence[Path] = ()


@dataclass(frozen=True)
class _Section:
    """A table and all that is made of it.

    devices: of each row. standing: of each row, its place in Standing.
    numbers: what plot.js draws; None where there are pictures instead, or no accuracy is known.
    plots: those pictures: what each shows, and its data URI. more: likewise, of curves and agreement.
    stages: of each row that tells them: label, milliseconds, and each stage's name, share and number.
    """

    heading: str
    table: Table
    grid: Grid
    notes: Sequence[str]
    devices: Sequence[str]
    standing: Sequence[int]
    numbers: Mapping[str, Any] | None
    plots: Sequence[tuple[str, str]]
    more: Sequence[tuple[str, str]]
    stages: Sequence[tuple[str, float, Sequence[tuple[str, float, int]]]]
    gallery: Gallery


def render(records: Sequence[Record], registry: Registry, runs: Sequence[Path] = ()) -> str:
    return page([Collection("", records, runs)], registry)


def page(collections: Sequence[Collection], registry: Registry) -> str:
    """The page of one or several collections, each with its tables, remarks and conditions."""
    live = scatter.can_plot()
    sections = [section for one in collections for section in _sections(one, registry, live)]
    records = [record for one in collections for record in one.records]
    found = [section.table for section in sections]
    drawn = live and any(section.numbers for section in sections)
    scripts = [*([scatter.libraries(), _text("plot.js")] if drawn else []), _text("page.js")]
    return _template().render(
        sections=sections,
        remarks=[(title, what, _remarks(collections, remarks)) for title, what, remarks in _REMARKS],
        published=published_grid(found, registry),
        legend=[NOTES, *passes_note(found), *better_lower_note(found)] if found else [],
        software=software(records),
        mistakes_note=MISTAKES,
        has_pictures=any(section.gallery.strips or section.gallery.notes for section in sections),
        static_note=_STATIC if found and not live else "",
        specification=scatter.specification() if drawn else None,
        style=Markup(_text("page.css")),
        scripts=list(map(Markup, scripts)),
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
    )


def _sections(collection: Collection, registry: Registry, live: bool) -> list[_Section]:
    found, told = tables(collection.records), Runs(collection.records)
    prefix = f"{collection.title}: " if collection.title else ""
    return [
        _section(f"{prefix}{heading}", table, told, collection.runs, registry, live)
        for heading, table in zip(headings(found), found, strict=True)
    ]


def _section(heading: str, table: Table, told: Runs, runs: Sequence[Path], registry: Registry, live: bool) -> _Section:
    several = len({row.setting.machine for row in table.rows}) > 1
    numbers = scatter.numbers(table) if live and scatter.plotted_values(table) else None
    drawn = drawings_of(table)
    more = [drawn[what] for what in (CURVES, AGREEMENT) if what in drawn]
    plots = [one for what, one in drawn.items() if numbers is None and what not in (CURVES, AGREEMENT, STAGES)]
    order = list(Standing)
    return _Section(
        heading=heading,
        table=table,
        grid=comparison_grid(table, told),
        notes=[*table.notes, *told.notes(table)],
        devices=[scatter.device_of(row, several) for row in table.rows],
        standing=[order.index(row.standing) for row in table.rows],
        numbers=numbers,
        plots=[(one.about, _data_uri(one.content("png"))) for one in plots],
        more=[(one.about, _data_uri(one.content("png"))) for one in more],
        stages=_stages(table),
        gallery=gallery(table, runs, registry),
    )


def _stages(table: Table) -> list[tuple[str, float, list[tuple[str, float, int]]]]:
    """stage_shares, each stage with its number, by which it has one colour in all bars."""
    bars = stage_shares(table)
    names = list(dict.fromkeys(name for _, _, parts in bars for name, _ in parts))
    return [
        (label, milliseconds, [(name, share, names.index(name)) for name, share in parts])
        for label, milliseconds, parts in bars
    ]


def _remarks(collections: Sequence[Collection], found: Any) -> list[Remark]:
    return [remark for one in collections for remark in found(one.records)]


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _hash(script: str) -> str:
    """As a content security policy names a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    loader = FileSystemLoader(_HERE)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["milliseconds"] = lambda value: f"{short(value)} ms"
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False, "separators": (",", ":")}
    return made.get_template("page.html")
