"""The page as text: it is whole, escaped, needs nothing else, and tells datasets, machines and runs apart."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import pytest
from paged import EVIL, timed

from roibench.measure.record import Score
from roibench.registry import installed
from roibench.report.page import scatter
from roibench.report.page.html import Collection, page, render
from roibench.report.rows import Standing, tables

VOID = ("meta", "br", "input", "img", "col")


class Page(HTMLParser):
    """Which tags are open, what would be loaded, ids and what names them, and the texts of scripts and header cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.loaded, self.ids, self.named = [], [], [], []
        self.scripts, self.headers, self.policy = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [found[name] for name in ("src", "href", "action", "srcset") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        self.named += [found[name] for name in ("aria-labelledby", "for") if name in found]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        if tag == "script":
            self.scripts.append([found.get("type", "text/javascript"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1][1] += data
        if self.open[-2:] == ["th", "button"]:
            self.headers.append(data)


@pytest.fixture(scope="module")
def text(several):
    return render(several, installed())


def numbers(text):
    """Of each plot, what it draws."""
    return [json.loads(one) for one in re.findall(r'class="numbers">(.*?)</script>', text)]


def test_it_is_whole_and_loads_nothing(text):
    found = Page(text)
    assert found.open == [] and not [one for one in found.loaded if not one.startswith(("data:image/", "#"))]
    assert set(found.named) <= set(found.ids) and len(set(found.ids)) == len(found.ids)
    assert {one[1:] for one in found.loaded if one.startswith("#")} <= set(found.ids)


def test_what_records_hold_is_never_markup(text):
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;{{ 7 * 7 }}" in text
    assert EVIL in {one["name"].partition(", cpu")[0] for one in numbers(text)[0]["models"]}
    assert "a &lt;b&gt; &amp; 50 %" in text and "<b>" not in text


def test_the_policy_allows_the_pages_own_scripts_alone(text):
    found = Page(text)
    run = [content for kind, content in found.scripts if kind == "text/javascript"]
    hashes = {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in run}
    assert len(run) == 3 and hashes == set(re.findall(r"'sha256-([^']+)'", found.policy))
    assert "default-src 'none'" in found.policy and "connect-src" not in found.policy
    assert "unsafe-eval" not in found.policy and "http" not in found.policy


def test_columns_have_buttons(text):
    assert Page(text).headers[:2] == ["model", "family"] and "Pareto front" in Page(text).headers


def test_marks_are_those_of_the_tables_for_every_value(several, text):
    [table] = tables(several)
    [found] = numbers(text)
    assert list(found["values"]) == ["coco_ap/AP", "coco_ap/AP50"]
    for key, value in found["values"].items():
        by_cell = {row.record.cell_id: row.standing for row in table.by(key).rows}
        assert value["standing"] == [list(Standing).index(by_cell[row.record.cell_id]) for row in table.rows]
    assert found["values"]["coco_ap/AP"]["standing"] != found["values"]["coco_ap/AP50"]["standing"]
    assert re.findall(r'data-sort="\d">(.?)</td>', text) == [row.standing.value for row in table.rows]


def test_machines_runs_and_conditions_are_told_apart(text):
    assert len(re.findall(r"<option>(cpu|cuda), ", text)) == 2
    assert "took no turns together" in text and "A GPU with" in text
    [found] = numbers(text)
    told = next(one for one in found["models"] if one["short"] == "yolo")["tooltip"]
    assert told["conditions"] == "500 images, cpu, float32, batch 1, 2 threads" and "2 cores" in told["machine"]
    assert list(told)[:2] == ["time ms [95 % CI]", "times the fastest"], "in the order that they are told in"
    assert told["measured"] == "commit 0123456789, 2026-01-02" and told["times the fastest"].startswith("1.0")


def test_knobs_make_curves(text):
    [found] = numbers(text)
    along = [(one["short"], one["place"]) for one in found["models"] if one["curve"] is not None]
    assert sorted(along) == [("rcnn proposals=10", 0), ("rcnn proposals=100", 1)]


def test_what_nobody_trained_is_in_the_table_alone(text):
    [found] = numbers(text)
    place = next(i for i, one in enumerate(found["models"]) if one["short"].startswith("onnx"))
    assert found["values"]["coco_ap/AP"]["y"][place] is None and "random weights" in text


def test_datasets_and_collections_make_tables_of_their_own(several, record):
    other = record("ssd", dataset_hash="ab" * 32)
    text = render([*several, other], installed())
    assert text.count('class="comparison"') == 2 and "Detection on scenes (data abababab)" in text
    text = page([Collection("one", several[:2]), Collection("two", several[:2])], installed())
    assert text.count('class="comparison"') == 2 and "one: Detection on scenes" in text
    assert len({one for one in Page(text).ids if one.startswith("table")}) == 4


@pytest.mark.parametrize("count", [0, 1, 50])
def test_none_one_and_many(count, record):
    records = [record(f"{'long_' * 20}{i}", 0.2 + 0.01 * i, 10 + i) for i in range(count)]
    text = render(records, installed())
    assert Page(text).open == [] and text.count("<tr data-row") == count
    assert ("No pictures: no predictions were kept" in text) == (count > 0)
    assert ("No cell was run" in text) == (count == 0)
    assert ("vegaEmbed" in text) == (count > 0), "no plot, no library"


def test_records_without_accuracy_have_a_table_and_no_plot(record):
    text = render([record("ssd", None)], installed())
    assert numbers(text) == [] and "<tr data-row" in text and "vegaEmbed" not in text


def test_what_is_no_finite_number_is_null(record, score):
    nan = score(0.4).model_copy(update={"low": math.nan, "high": math.inf})
    made = record("ssd", scores={"detection": Score(primary="coco_ap/AP", values={"coco_ap/AP": nan})})
    [found] = numbers(render([made], installed()))
    value = found["values"]["coco_ap/AP"]
    assert (value["y"], value["low"], value["high"]) == ([40.0], [None], [None])


def test_without_the_extra_plots_are_pictures_and_the_page_says_so(several, monkeypatch):
    monkeypatch.setattr(scatter, "EXTRA", ("altair", "no_such_package"))
    text = render(several, installed())
    assert "pip install &#39;roibench[page]&#39;" in text and "vegaEmbed" not in text and numbers(text) == []
    assert text.count('<img src="data:image/png;base64,') == 1
    assert Page(text).open == [] and 'type="search"' in text and "<select name=" in text


def test_a_point_costs_few_bytes(record):
    """Of fifty models' pages, what isn't Vega."""
    many = [timed(record(f"model_{i}", 0.2 + 0.01 * i), 10 + i) for i in range(50)]
    text = render(many, installed())
    assert len(text) - len(scatter.libraries()) < 300_000
