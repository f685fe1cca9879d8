"""How far values agree on the order of models: from records to matrices on a page."""

from itertools import pairwise

import numpy as np
import pytest

from roibench.measure.record import Score
from roibench.registry import Registry
from roibench.report import markdown
from roibench.report.agreement import agreement_matrices, agreements
from roibench.report.publish import PublishError, publish
from roibench.report.rows import tables
from roibench.report.write import drawings

KEYS = ("game/hits", "curve/gain", "curve/loss", "curve/flat")
LOWER = ("curve/loss",)


@pytest.fixture
def measured(record, score):
    """measured(model, hits, gain, loss, ...): a record with 200 resamples of each."""

    def make(model, hits, gain, loss, flat=0.5, noise=0.01, warnings=(), kept=True, **cell):
        generator, values, resampled = np.random.default_rng(len(model)), {}, {}
        for key, value in zip(KEYS, (hits, gain, loss, flat), strict=True):
            resampled[key] = tuple(value + noise * generator.standard_normal(200)) if kept else ()
            declared = {"shown": True, "resampled": resampled[key]} if key != KEYS[0] else {}
            values[key] = score(value, higher_is_better=key not in LOWER, **declared)
        scored = Score(primary=KEYS[0], values=values, resampled=resampled[KEYS[0]], warnings=warnings)
        return record(model, scores={"hitting": scored}, **cell)

    return make


@pytest.fixture
def six(measured):
    """Six models: losses fall where hits rise, and gains fall, too."""
    return [measured(f"m{i}", hits=0.1 * i, gain=1 - 0.1 * i, loss=0.9 - 0.1 * i) for i in range(1, 7)]


def test_better_is_better_for_both(six):
    [found] = agreements(tables(six)[0])
    assert found.names == ("hits", "gain", "loss ↓"), "what all models have alike is left out"
    assert [found.pairs[pair].value for pair in ((1, 0), (2, 0), (2, 1))] == pytest.approx([-1, 1, -1])
    assert found.heading == "6 models" and "beyond ±0.81" in found.chance
    assert found.pairs[2, 0].high == pytest.approx(1) and found.is_beyond_chance(found.pairs[2, 0])


def test_models_are_compared_that_go_around_the_same_one(measured):
    order = {"cat": 1, "dog": -1}
    records = [
        measured(f"{name}@{inner}", hits=0.1 * i, gain=0.1 * order[inner] * i, loss=0.1 * i)
        for inner in order
        for i, name in enumerate(("a", "b", "c", "d", "e"), 1)
    ]
    found = {one.around: one.pairs[1, 0].value for one in agreements(tables(records)[0])}
    assert found == {"cat": pytest.approx(1), "dog": pytest.approx(-1)}
    assert agreements(tables(records)[0])[0].heading == "around cat: 5 models"


def test_doubtful_models_are_left_out_and_named(six, measured):
    odd = measured("odd", 0.9, 0.9, 0.9, warnings=("it looks at nothing",))
    [found] = agreements(tables([*six, odd])[0])
    assert found.left_out == ("odd",) and "odd" not in found.models
    assert found.heading == "6 models; left out, as (!): odd"
    assert found.pairs == agreements(tables(six)[0])[0].pairs


def test_a_model_counts_once_and_as_it_is_registered(six, measured):
    tuned = measured("m1", 0.9, 0.9, 0.9, knobs={"k": 1})
    older = measured("m2", 0.9, 0.9, 0.9)
    older = older.model_copy(update={"started": older.started.replace(year=2025)})
    for records in ([tuned, older, *six], [*six, older, tuned]):
        assert agreements(tables(records)[0])[0].pairs == agreements(tables(six)[0])[0].pairs


def test_few_models_or_values_or_resamples_agree_on_nothing(six, measured):
    assert agreements(tables(six[:4])[0]) == []
    assert agreements(tables([measured(f"m{i}", 0.1 * i, 0.3, 0.3) for i in range(6)])[0]) == []
    assert agreements(tables([measured(f"m{i}", 0.1 * i, 0.2 * i, 0.3) for i in range(6)])[0]) == [], "one pair"
    assert agreements(tables([measured(f"m{i}", 0.1 * i, 0.2 * i, 0.3 * i, kept=False) for i in range(6)])[0]) == []
    fewer = [one.model_copy(update={"images": 50}) for one in six[:3]]
    assert agreements(tables([*six[3:], *fewer])[0]) == []
    assert "agreement-hitting-scenes" not in drawings(six[:4])


def test_matrices_name_every_value_and_pair(six):
    [table] = tables(six)
    [axes] = agreement_matrices(table).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["hits", "gain"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gain", "loss ↓"]
    texts = {text.get_text(): text.get_weight() for text in axes.texts}
    assert texts["-1.00"] == texts["1.00"] == "bold" and len(axes.texts) == 6
    drawing = drawings(six)["agreement-hitting-scenes"]
    assert drawing.content("png")[:4] == b"\x89PNG" and len(drawing.source) == 64
    other = drawings([*six[1:], replace_value(six[0], 0.95)])["agreement-hitting-scenes"]
    assert other.source != drawing.source


def replace_value(record, hits):
    [(task, score)] = record.scores.items()
    values = score.values | {KEYS[0]: score.values[KEYS[0]].model_copy(update={"value": hits})}
    return record.model_copy(update={"scores": {task: score.model_copy(update={"values": values})}})


def test_names_in_a_large_matrix_keep_apart(record, score):
    generator = np.random.default_rng(0)
    keys = [f"metric/a_value_of_quite_a_name_{i}" for i in range(11)]

    def scored():
        drawn = {key: tuple(generator.random() + 0.01 * generator.standard_normal(50)) for key in keys}
        values = {key: score(one[0], shown=key != keys[0], resampled=one) for key, one in drawn.items()}
        return {"hitting": Score(primary=keys[0], values=values, resampled=drawn[keys[0]])}

    [table] = tables([record(f"m{i}", scores=scored()) for i in range(10)])
    figure = agreement_matrices(table)
    figure.draw_without_rendering()
    [axes] = figure.axes
    for i in range(10):
        numbers = sorted(
            (text.get_window_extent() for text in axes.texts if text.get_position()[0] == i), key=lambda box: box.y0
        )
        assert all(above.y0 >= below.y1 - 1 for below, above in pairwise(numbers))
    widths = [text.get_window_extent().width for text in axes.texts]
    assert max(widths) < axes.get_window_extent().width / 10
    assert all(label.get_window_extent().x0 >= 0 for label in (*axes.get_yticklabels(), *axes.get_xticklabels()))


def test_a_page_has_the_matrix_and_its_picture(six, tmp_path):
    folder = tmp_path / "results/mine"
    folder.mkdir(parents=True)
    lines = [f'{{"event": "record", "record": {one.model_dump_json()}}}\n' for one in six]
    (folder / "records.jsonl").write_text("".join(lines))
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/page.md"
    markers = [f"<!-- roibench: {what} -->\n<!-- end -->\n" for what in
               ("agreement results/mine hitting", "plot results/mine hitting agreement")]  # fmt: skip
    page.write_text("".join(markers))
    publish(tmp_path, Registry())
    text = page.read_text()
    assert "|  | hits | gain |\n| :-- | --: | --: |\n| gain | **-1.00** [-1.00, -1.00] |  |" in text
    assert "Hitting on scenes: 6 models. Orders of 6 models" in text and "Spearman's" in text
    assert "](../results/mine/agreement-hitting-scenes.png)" in text
    assert (folder / "agreement-hitting-scenes.png").is_file()
    assert "## Hitting on scenes: agreement\n\n6 models." in (folder / "table.md").read_text()
    assert publish(tmp_path, Registry()) == []
    (folder / "records.jsonl").write_text("".join(lines[:4]))
    with pytest.raises(
        PublishError, match=r"page\.md:1: results/mine: no 3 values of hitting are known, with resamples"
    ):
        publish(tmp_path, Registry())


def test_a_pair_whose_interval_is_not_known_is_missing(six):
    [(task, score)] = six[0].scores.items()
    undefined = score.values["curve/gain"].model_copy(update={"resampled": (None,) * 200})
    scores = {task: score.model_copy(update={"values": score.values | {"curve/gain": undefined}})}
    [table] = tables([six[0].model_copy(update={"scores": scores}), *six[1:]])
    [found] = agreements(table)
    assert set(found.pairs) == {(2, 0)} and "| gain | - |  |" in markdown.agreement(table)
    assert len(agreement_matrices(table).axes[0].texts) == 2
