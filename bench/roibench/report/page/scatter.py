"""The speed/accuracy plot of the page: its numbers, and the Vega-Lite specification into which plot.js puts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from roibench.measure.setting import machine_of
from roibench.report.comparison import in_words
from roibench.report.numbers import heading, scale, with_interval
from roibench.report.plot import knob_curves
from roibench.report.rows import Row, Standing, Table

EXTRA = ("altair", "vl_convert")  # roibench[page]
STANDING_WORDS = {
    Standing.FRONT: "on the Pareto front",
    Standing.NEAR: "beaten, but not beyond doubt",
    Standing.BEATEN: "beaten",
    Standing.APART: "of too few images to be compared",
}
_POINTS = "points"  # the dataset that plot.js fills


def can_plot() -> bool:
    """Whether what the interactive plot is made with is installed."""
    return all(find_spec(name) is not None for name in EXTRA)


def plotted_values(table: Table) -> list[str]:
    """METRIC/VALUE of those that the plot can be switched to, the one that ranks first: what tables show or plots
    have, of models that were trained."""
    known = {key for row in table.rows if row.record.is_scored for key in row.scores}
    chosen = [key for key, value in table.values.items() if value.shown or value.plotted]
    return [key for key in dict.fromkeys((table.primary, *chosen)) if key in known]


def numbers(table: Table) -> dict[str, Any]:
    """All that the plot draws and the page's marks are: what JSON can hold, None for what isn't a finite number.

    models: of each row of the table, in order: milliseconds and their interval, family, setting, device, the knob curve
        that it is a point of (None for none) and its place there, and the conditions that its tooltip tells.
    values: by METRIC/VALUE, the title, and a list over the rows of y, low, high, and standing (a place in marks).
    marks: as tables have them, and `words` likewise.
    """
    scored = [row for row in table.rows if row.score is not None]
    places = {
        id(row.record): (number, place)
        for number, (_, curve) in enumerate(knob_curves(scored))
        for place, row in enumerate(curve)
    }
    several = len({row.setting.machine for row in table.rows}) > 1
    order = list(Standing)
    return {
        "models": [_model(table, row, several, *places.get(id(row.record), (None, None))) for row in table.rows],
        "values": {key: _value(table, key, order) for key in plotted_values(table)},
        "marks": [one.value for one in order],
        "words": [STANDING_WORDS[one] for one in order],
    }


def device_of(row: Row, several_machines: bool) -> str:
    """What the device switch chooses by: the device, and its machine where there are several."""
    return f"{row.setting.device}, {row.setting.machine}" if several_machines else row.setting.device


def _model(table: Table, row: Row, several: bool, curve: int | None, place: int | None) -> dict[str, Any]:
    record = row.record
    trained = f"{record.epochs} epochs" if record.epochs else ""
    start = f"pretrained on {record.pretrained_on}" if record.pretrained_on else ""
    told = {
        "time ms [95 % CI]": with_interval(row.p50),
        "times the fastest": with_interval(row.fastest) if row.fastest else "",
        "family": record.family,
        "training": ", ".join(part for part in (trained, start) if part),
        "conditions": ", ".join(row.setting.parts[:-1]),
        "machine": machine_of(record),
        "measured": in_words(record),
        "software": f"RoIBench {record.provenance.roibench}, torch {record.provenance.torch}",
        "in doubt": "; ".join(row.warnings),
    }
    return {
        "name": table.label(row),
        "short": row.model,
        "family": record.family,
        "setting": table.own(row.setting),
        "device": device_of(row, several),
        "x": finite(row.p50.value),
        "x_low": finite(row.p50.low),
        "x_high": finite(row.p50.high),
        "curve": curve,
        "place": place,
        "tooltip": {name: text for name, text in told.items() if text},
    }


def _value(table: Table, key: str, order: list[Standing]) -> dict[str, Any]:
    ranked = {id(row.record): row for row in table.by(key).rows}
    rows = [ranked[id(row.record)] for row in table.rows]
    declared = table.values[key]
    factor = scale(declared.unit)
    scores = [row.score if row.record.is_scored else None for row in rows]
    title = heading(table.name(key), declared.unit)
    return {
        "title": title if declared.higher_is_better else f"{title}, better the lower",
        "y": [one and finite(factor * one.value) for one in scores],
        "low": [one and finite(factor * one.low) for one in scores],
        "high": [one and finite(factor * one.high) for one in scores],
        "text": [one and with_interval(one, declared.unit) for one in scores],
        "standing": [order.index(row.standing) for row in rows],
    }


def finite(number: float) -> float | None:
    """JSON has no NaN."""
    return float(f"{number:.6g}") if math.isfinite(number) else None


@cache
def specification() -> Mapping[str, Any]:
    """Vega-Lite's of every table's plot, made by Altair: without data, and with titles that plot.js sets.

    Marks are as in roibench.report.plot: full on the Pareto front, hollow where a model can't be told from it, pale
    where it is beaten, both where it isn't comparable; bars are 95 % intervals, thin lines go along a knob.
    """
    import altair as alt

    front, near, beaten, apart = range(len(Standing))
    here = alt.Chart(alt.NamedData(name=_POINTS))
    x = alt.X(
        "x:Q",
        scale=alt.Scale(type="log", nice=False, padding=24),
        axis=alt.Axis(tickCount=8, format=",~r", labelSeparation=8),
    )
    y = alt.Y("y:Q", scale=alt.Scale(zero=False))
    family = alt.Color("family:N", legend=alt.Legend(title="family", symbolType="circle"))
    hollow = alt.FieldOneOfPredicate(field="standing", oneOf=[near, apart])
    pale = alt.FieldOneOfPredicate(field="standing", oneOf=[beaten, apart])
    opacity = alt.condition(pale, alt.value(0.45), alt.value(1.0))
    to_the_left = "scale('x', datum.x) > width / 2"  # a label never leaves the plot
    layers = [
        here.mark_line(interpolate="step-after", strokeWidth=3, color="CanvasText", opacity=0.25)
        .transform_filter(alt.FieldEqualPredicate(field="standing", equal=front))
        .encode(x=x, y=y, detail="setting:N"),
        here.mark_line(strokeWidth=1)
        .transform_filter(alt.FieldValidPredicate(field="curve", valid=True))
        .encode(x=x, y=y, color=family, detail="curve:N", order="place:Q"),
        here.mark_rule().encode(x=alt.X("x_low:Q"), x2="x_high:Q", y=y, color=family, opacity=opacity),
        here.mark_rule().encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=family, opacity=opacity),
        here.mark_text(
            align=alt.ExprRef(f"{to_the_left} ? 'right' : 'left'"),
            dx=alt.ExprRef(f"{to_the_left} ? -9 : 9"),
            dy=-9,
            color="CanvasText",
        )
        .transform_filter(alt.FieldEqualPredicate(field="standing", equal=front))
        .encode(x=x, y=y, text="short:N"),
        here.mark_point(size=90, filled=False, strokeWidth=2, tooltip=alt.ExprRef("datum.tooltip")).encode(
            x=x,
            y=y,
            color=family,
            fill=alt.condition(hollow, alt.value("Canvas"), alt.Fill("family:N", legend=None)),
            shape=alt.Shape(
                "setting:N", legend=alt.Legend(title="setting", labelLimit=0, symbolStrokeColor="CanvasText")
            ),
            opacity=opacity,
            description="label:N",
        ),
    ]
    text = {"labelColor": "CanvasText", "titleColor": "CanvasText", "labelFontSize": 12, "titleFontSize": 12}
    lines = dict.fromkeys(("gridColor", "domainColor", "tickColor"), "CanvasText")
    chart = (
        alt.layer(*layers)
        .properties(width="container", height=400)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(**text, **lines, gridOpacity=0.12, titleFontWeight="normal")
        .configure_legend(
            **text,
            orient="bottom",
            titleFontWeight="bold",
            symbolStrokeWidth=2,
            symbolStrokeColor="CanvasText",
        )
    )
    return chart.to_dict()


@cache
def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed, which sets window.vegaEmbed: JavaScript that is part of vl-convert, so that no
    network is needed."""
    import altair
    import vl_convert

    return vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", vl_version=altair.SCHEMA_VERSION.rsplit(".", 1)[0]
    )
