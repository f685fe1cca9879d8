"""One report of records of several runs, in every format."""

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from claimed import turns
from made_records import MACHINE, THEN
from typer.testing import CliRunner

from roibench import cli
from roibench.measure.journal import read_records
from roibench.measure.record_files import written_records
from roibench.registry import installed
from roibench.report.combined import FORMATS, merged, reports
from roibench.report.latex import escaped

SCENES = Path(__file__).parents[2] / "results" / "scenes"


@pytest.fixture
def several(record, failed):
    """Cells of two runs and two machines; the same cell on both, and one that failed."""
    gpu = MACHINE.model_copy(update={"gpu": "A GPU"})
    return [
        record("yolo", 0.4, turns=turns(20, "one")),
        record("ssd", 0.5, p50=10, turns=turns(10, "one")),
        record("ssd", 0.51, p50=2, turns=turns(2, "two"), provenance=gpu, device="cuda"),
        record("ssd", 0.52, p50=9, turns=turns(9, "two")).model_copy(update={"started": THEN + timedelta(days=1)}),
        failed("retinanet", "a <b> & 50 %"),
    ]


def told(records, name):
    return reports(records, [name], installed())[f"table.{name}"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_runs_machines_and_conditions_apart(several, name):
    text = told(several, name)
    for words in ("ssd", "A GPU with", "Intel", "0123456789"):
        assert words in text
    if name != "csv":
        assert "took no turns together" in text and "batch 1" in text and "2 threads" in text
    assert "took no turns together" not in told(several[:2], name)


def test_data_of_one_name_that_differ_make_two_tables(several, record):
    other = record("ssd", dataset_hash="ab" * 32)
    text = told([*several, other], "md")
    assert "## Detection on scenes (data 5c5c5c5c)" in text and "## Detection on scenes (data abababab)" in text
    assert [one["dataset_hash"][:2] for one in json.loads(told([*several, other], "json"))["tables"]] == ["5c", "ab"]


def test_what_papers_published_stands_beside_what_was_measured(several):
    [row] = [row for row in json.loads(told(several, "json"))["published"] if row["model"] == "yolo"][:1]
    assert "AP 40.0 % (detection on scenes)" in row["measured here, on other data"] and row["published"]
    assert "| yolo | You Only Look Once" in told(several, "md")


def test_numbers_in_json_are_those_of_the_csv(several):
    table = json.loads(told(several, "json"))["tables"][0]
    assert table["rows"][0]["numbers"]["AP"] == several[3].scores["detection"].values["coco_ap/AP"].value
    assert len(table["columns"]) == len(table["rows"][0]["texts"])


def test_latex_escapes_what_it_would_take_for_commands(several):
    assert escaped(r"a_b & 50 % {#} \x ~ ^ $ ●") == (
        r"a\_b \& 50 \% \{\#\} \textbackslash{}x \textasciitilde{} \textasciicircum{} \$ $\bullet$"
    )
    text = told([one.model_copy(update={"family": "two_stage"}) for one in several[:2]], "tex")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") >= 1
    assert r"two\_stage" in text and r"\toprule" in text and r"\caption{Detection on scenes: " in text
    for line in text.splitlines():
        if line.endswith(r" \\"):
            assert line.replace(r"\&", "").count("&") in (13, 4)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex on the PATH")
def test_latex_compiles(tmp_path):
    body = told(read_records(SCENES), "tex")
    text = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,graphicx}\n"
    (tmp_path / "page.tex").write_text(f"{text}\\begin{{document}}\n{body}\\end{{document}}\n")
    subprocess.run(["pdflatex", "-halt-on-error", "page.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_merged_records_are_a_dataset_that_reads_as_what_went_in(several, tmp_path):
    for name, content in merged(several).items():
        (tmp_path / name).write_bytes(content)
    assert sorted(read_records(tmp_path), key=repr) == sorted(several, key=repr)
    assert json.loads((tmp_path / "schema.json").read_text())["discriminator"]["propertyName"] == "status"


def test_the_command_writes_all_or_nothing(several, tmp_path):
    for name, records in (("a", several[:2]), ("b", several[1:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").write_bytes(written_records(records))
    out = tmp_path / "out"
    words = ["report", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "md,csv,tex,html,json", "--merge"]
    result = CliRunner().invoke(cli.app, [*words, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0 and len(list(out.iterdir())) == 7
    assert len(read_records(out)) == len(several)  # what is in both folders once
    printed = CliRunner().invoke(cli.app, ["report", str(out)], catch_exceptions=False).output
    assert printed == (out / "table.md").read_text()

    with (tmp_path / "b" / "records.jsonl").open("a") as file:
        file.write('{"event": "rec')
    for arguments, wrong in (
        ([*words, "--out", str(tmp_path / "none")], "a truncated or broken line"),
        (["report", str(out), "--format", "doc", "--out", str(tmp_path / "none")], "--format 'doc': want md, csv"),
        (["report", str(out), "--merge"], "--out: want a folder"),
    ):
        result = CliRunner().invoke(cli.app, arguments)
        assert isinstance(result.exception, ValueError) and wrong in str(result.exception)
    assert not (tmp_path / "none").exists()
