import csv as stdlib_csv
import io

import pytest
from rich.console import Console

from roibench.measure.record import Energy, Interference, Interval, Plugin, Score
from roibench.report import csv, markdown, terminal
from roibench.report.numbers import heading, plain, short, short_name, with_interval


def printed(records, width=100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(terminal.render(records))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.005123, "0.00512"), (9.876, "9.88"), (9.996, "10.0"), (99.96, "100"), (4560.4, "4,560"), (None, "-")],
)
def test_three_significant_digits(value, text):
    assert short(value) == text


def test_intervals_have_the_digits_of_their_value():
    assert with_interval(Interval(value=12.345, low=9.871, high=13)) == "12.3 [9.9, 13.0]"
    assert with_interval(Interval(value=0.4826, low=0.4611, high=0.504), "%") == "48.3 [46.1, 50.4]"
    assert with_interval(Interval(value=-1234.5, low=-1300, high=-1200), "px") == "-1,234 [-1,300, -1,200]"
    assert plain(Interval(value=0.999, low=0.9, high=1), "%") == "99.9"
    assert with_interval(None, "%") == plain(None) == "-"
    assert (heading("AP", "%"), heading("count", "")) == ("AP %", "count")


def test_a_values_name_is_short_unless_two_metrics_share_it():
    keys = ("coco_ap/AP", "voc_ap/AP", "coco_ap/AP50")
    assert [short_name(key, keys) for key in keys] == ["coco_ap/AP", "voc_ap/AP", "AP50"]
    assert short_name("coco_ap/AP") == "AP"


def test_fifteen_models_are_readable_in_100_columns(fifteen):
    text = printed(fifteen)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text  # nothing was cropped
    for record in fifteen:
        assert sum(record.cell.model in line.split() for line in text.splitlines()) == 2  # its row, and its stages


def test_slow_models_and_several_settings_fit_too(record):
    text = printed([record("rcnn", 0.3, 21034.0, images=40), record("yolo", threads=1), record("yolo")])
    assert "…" not in text
    assert "21,034 [20,613, 21,455]" in text
    assert "40 images (few: intervals are rough), 2 threads" in text


def test_a_failed_cell_is_listed_with_its_error_and_has_no_row(record, failed):
    records = [record("ran"), failed("broke", "ValueError: [bold]box[/bold] 3 is empty")]
    text = printed(records)
    assert "ValueError: [bold]box[/bold] 3 is empty" in text
    assert not any(line.split()[:1] == ["broke"] for line in text.splitlines())
    assert "| broke | scenes |" in markdown.render(records).partition("## Failed")[2]
    assert "broke" not in markdown.render(records).partition("## Failed")[0]
    assert "broke" not in csv.render(records)


def test_times_from_a_machine_that_was_not_quiet_are_marked(record):
    noise = Interference(steal=0.2, other_cores=0.0, frequency_fall=None, warnings=("the hypervisor took 20%",))
    quiet = noise.model_copy(update={"warnings": ()})
    records = [record("noisy").model_copy(update={"interference": noise}), record("quiet", threads=1)]
    records.append(record("still").model_copy(update={"interference": quiet}))
    doubts = markdown.render(records).partition("## The machine was not quiet")[2].partition("##")[0]
    assert "| noisy | scenes |" in doubts and "hypervisor took 20%" in doubts
    assert "| quiet |" not in doubts and "| still |" not in doubts
    assert "the machine was not quiet" in printed(records) and "hypervisor took 20%" in printed(records)
    assert "not quiet" not in printed(records[1:]) + markdown.render(records[1:])


def test_doubtful_predictions_are_marked_in_every_table(record):
    doubtful = record("doubtful").scores["detection"].model_copy(update={"warnings": ("3 boxes are odd", "no class")})
    records = [record("doubtful", scores={"detection": doubtful}), record("sound")]
    for text in (printed(records), markdown.render(records)):
        assert "doubtful (!)" in text and "sound (!)" not in text
        assert "check what these models return" in text and "3 boxes are odd; no class" in text
    assert "check what" not in printed(records[1:]) + markdown.render(records[1:])
    lines = stdlib_csv.DictReader(io.StringIO(csv.render(records)))
    assert [line["warnings"] for line in lines] == ["3 boxes are odd; no class", ""]


def test_what_is_not_known_is_a_dash_and_not_0(record):
    known = record("unknown")
    unknown = known.model_copy(update={"cost": known.cost.model_copy(update={"flops": None, "parameters": None})})
    [row] = [line for line in markdown.render([unknown]).splitlines() if line.startswith("| unknown | single")]
    assert row.split(" | ")[-3:-1] == ["-", "-"]
    [row] = [line for line in printed([unknown]).splitlines() if "unknown" in line and "[" in line]
    assert row.split()[-2:] == ["-", "-"]
    [line] = stdlib_csv.DictReader(io.StringIO(csv.render([unknown])))
    assert line["gflops"] == line["parameters_m"] == ""


def test_what_is_to_be_told_of_a_run_stands_below_its_tables(record):
    notes = {"Not run": ["model 'a': [no] weights", "model 'b': no weights"], "Taken over": ["1 of 2 cells"]}
    console = Console(width=100, file=io.StringIO())
    console.print(terminal.render([record("ran")], notes))
    for text in (console.file.getvalue(), markdown.render([record("ran")], notes)):
        assert "model 'a': [no] weights" in text and "model 'b': no weights" in text and "1 of 2 cells" in text
        assert text.lower().index("not run") < text.lower().index("taken over")


def test_others_plugins_stand_among_what_was_measured_with(record):
    plugins = (
        Plugin(name="two_stage", distribution="roibench", version="0.1.0", sha256="0" * 64),
        Plugin(name="mine", distribution="my-models", version="2.1", sha256="1" * 64),
        Plugin(name="mine_too", distribution="my-models", version="2.1", sha256="2" * 64),
        Plugin(name="loose", distribution=None, version=None, sha256="3" * 64),
    )
    provenance = record("a").provenance.model_copy(update={"plugins": plugins})
    assert markdown.render([record("a", provenance=provenance)]).endswith(
        "SIMD level v4, my-models 2.1, loose (3333333333).\n"
    )


def test_each_task_has_its_table(record, score):
    scores = {
        "detection": Score(primary="coco_ap/AP", values={"coco_ap/AP": score(0.4, 0.3, 0.5)}),
        "classification": Score(primary="top_k/top1", values={"top_k/top1": score(0.8, 0.7, 0.9)}),
    }
    for text in (printed([record("both", scores=scores)]), markdown.render([record("both", scores=scores)])):
        assert "etection on scenes" in text
        assert "lassification on scenes" in text
        assert "top1" in text


def test_nothing_run_is_reported():
    assert "No cell was run." in printed([])
    assert markdown.render([]) == "No cell was run.\n"


def test_only_failures_are_reported_as_such(failed):
    assert "out of memory" in printed([failed("a")])
    assert markdown.render([failed("a")]).startswith("## Failed")


def test_markdown_tables_are_rectangular_whatever_an_error_holds(record, failed):
    lines = markdown.render([record("a"), record("b", threads=1), failed("c", "KeyError: 'a|b'")]).splitlines()
    groups = [[line.replace("\\|", "").count("|") for line in g.splitlines()] for g in "\n".join(lines).split("\n\n")]
    assert all(len(set(counts)) == 1 for counts in groups)
    assert "KeyError: 'a\\|b'" in "\n".join(lines)


def test_markdown_says_what_it_was_measured_with(record):
    modified = record("x").provenance.model_copy(update={"dirty": True})
    text = markdown.render([record("a"), record("b", provenance=modified)])
    assert "RoIBench 0.1.0 (0123456789), torch 2.14.1" in text
    assert "(0123456789, modified)" in text


def test_csv_keeps_every_number_unrounded(record, score):
    scores = {"classification": Score(primary="top_k/top1", values={"top_k/top1": score(1 / 3, 0.3, 0.4)})}
    lines = list(stdlib_csv.DictReader(io.StringIO(csv.render([record("a", 0.4), record("b", scores=scores)]))))
    assert [line["model"] for line in lines] == ["a", "b"]
    assert (lines[0]["AP"], lines[0]["p50_ms"], lines[0]["top1"]) == ("0.4", "20.0", "")
    assert (float(lines[1]["top1"]), lines[1]["top1_low"], lines[1]["AP"]) == (1 / 3, "0.3", "")


def test_explainers_show_what_they_explain_what_it_costs_and_their_tasks_scores(record, score):
    names = ("pointing", "energy", "MaxBoxAccV2", "insertion", "deletion", "faithfulness", "randomization")
    declared = {name: {"shown": name not in ("pointing", "faithfulness")} for name in names}
    declared["deletion"] |= {"higher_is_better": False}
    values = {f"a_metric/{name}": score(0.1 * i, **declared[name]) for i, name in enumerate(names, 1)}
    ran = record("cam", scores={"attribution": Score(primary="a_metric/pointing", values=values)})
    cost = ran.cost.model_copy(update={"passes": 1.25})
    explainer = ran.model_copy(update={"cost": cost})
    lines = markdown.render([explainer, record("detector")]).splitlines()
    heading, _, row = next(lines[i : i + 3] for i, line in enumerate(lines) if "pointing %" in line)
    cells = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert cells["passes"] == "1.25"
    shown = {name: float(cells[f"{name} %"]) for name in names if f"{name} %" in cells}
    assert shown == {"energy": 20, "insertion": 40, "deletion": 50, "MaxBoxAccV2": 30, "randomization": 70}
    assert "Better the lower: deletion." in markdown.render([explainer])
    assert "passes" not in markdown.render([record("detector")]) and "Better" not in markdown.render([record("other")])
    first, second = csv.render([explainer, record("detector")]).splitlines()[1:]
    assert ",1.25," in first and ",1.25," not in second


def test_a_value_of_any_unit_that_is_better_lower_ranks_and_is_named(record, score):
    def lagging(name, lag):
        values = {
            "first/lag": score(lag, lag - 50, lag + 50, unit="ms", higher_is_better=False),
            "second/lag": score(0.5, shown=True),
            "first/jumps": score(7.0, unit="", shown=True),
        }
        return record(name, scores={"tracking": Score(primary="first/lag", values=values)})

    records = [lagging("slow", 1500.0), lagging("quick", 200.0)]
    heading, _, *rows = [line for line in markdown.render(records).splitlines() if line.startswith("| ")][:4]
    assert heading.split(" | ")[2:5] == ["first/lag ms [95 % CI]", "second/lag %", "jumps"]
    assert [row.split(" | ")[2:5] for row in rows] == [
        ["200 [150, 250]", "50.0", "7.00"],
        ["1,500 [1,450, 1,550]", "50.0", "7.00"],
    ]
    assert rows[0].startswith("| quick ") and "Better the lower: first/lag." in markdown.render(records)
    [first, _] = stdlib_csv.DictReader(io.StringIO(csv.render(records)))
    assert (first["primary"], first["first/lag"], first["second/lag"], first["jumps"]) == (
        "first/lag",
        "200.0",
        "0.5",
        "7.0",
    )
    text = printed(records)
    assert "first/lag ms" in text and "second/lag %" in text and "1,500 [1,450, 1,550]" in text


def test_joules_stand_beside_times_where_anything_counted_them(record):
    energy = Energy(
        joules=Interval(value=2.0, low=1.8, high=2.3), idle_watts=5.0, counters=("RAPL package-0",), turns=[2]
    )
    without, counted = record("without", ap=0.3), record("counted", ap=0.4).model_copy(update={"energy": energy})
    text = markdown.render([without, counted])
    assert "| J/image [95 % CI] |" in text and "J: joules by RAPL package-0, above" in text
    assert "2.00 [1.80, 2.30]" in text and "not available" in text
    assert "J/image" not in markdown.render([without])
