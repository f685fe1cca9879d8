"""What is published is what records have, and says where it isn't."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from roibench import cli
from roibench.registry import Registry, installed
from roibench.report.publish import PublishError, differing, fill_in, publish
from roibench.specs import ClaimSpec

ROOT = Path(__file__).parents[2]
PAGE = """# A page

<!-- roibench: {} -->
what stood here
<!-- end -->

The end.
"""


@pytest.fixture
def registry():
    made = Registry()
    made.add("mine", ClaimSpec, ClaimSpec("mine", "It is so.", "roibench.plugins.single_stage.claims:focal_loss"))
    return made


@pytest.fixture
def checkout(tmp_path, record):
    """checkout(marker): a folder with two records, and a page in docs/ with that marker. Its path."""

    def make(marker: str) -> Path:
        for folder in ("results/mine", "results/runs/20260101-000000"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            with (tmp_path / folder / "records.jsonl").open("w") as file:
                for one in (record("good", 0.5, 30), record("quick", 0.3, 10)):
                    file.write(f'{{"event": "record", "record": {one.model_dump_json()}}}\n')
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs/page.md").write_text(PAGE.format(marker))
        return tmp_path

    return make


def test_the_repository_shows_what_its_records_have():
    stale = [str(one.path.relative_to(ROOT)) for one in differing(ROOT, installed())]
    assert not stale, f"run `roibench publish`: {', '.join(stale)}"


def test_readme_is_a_front_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("table results/mine detection", ["Detection on scenes: 500 images, cpu", "| good | single_stage |"]),
        (
            "plot results/mine detection",
            ["![Detection on scenes: AP against time](../results/mine/speed_accuracy-detection-scenes.png)"],
        ),
        ("plot results/mine detection stages", ["![Detection on scenes: where the time goes](../results/mine/stages-"]),
        ("stages results/mine", ["| quick | scenes | 10.0 | preprocess 5%"]),
        ("claims", ["| It is so. | not measured | no record of retinanet and retinanet_cross_entropy |"]),
        ("claims mine", ["| It is so. |"]),
        ("options", ["| `--model` | `TEXT,...` |"]),
    ],
)
def test_a_marker_is_followed_by_what_it_names(checkout, registry, marker, words):
    root = checkout(marker)
    publish(root, registry)
    page = (root / "docs/page.md").read_text()
    before, _, after = PAGE.format(marker).partition("what stood here\n")
    assert page.startswith(before) and page.endswith(after) and "what stood here" not in page
    assert all(word in page for word in words)


def test_reports_are_written_once_and_differ_where_records_do(checkout, registry, record):
    root = checkout("table results/mine detection")
    written = {str(path.relative_to(root)) for path in publish(root, registry)}
    plots = [f"{what}-detection-scenes.png" for what in ("speed_accuracy", "stages")]
    assert written == {f"results/mine/{name}" for name in ("table.md", "table.csv", *plots)} | {"docs/page.md"}
    assert publish(root, registry) == []
    with (root / "results/mine/records.jsonl").open("a") as file:
        file.write(f'{{"event": "record", "record": {record("new", 0.4, 20).model_dump_json()}}}\n')
    assert {str(one.path.relative_to(root)) for one in differing(root, registry)} == written


@pytest.mark.parametrize(
    "file", ["table.md", "table.csv", "speed_accuracy-detection-scenes.png", "stages-detection-scenes.png"]
)
def test_what_somebody_changed_differs(checkout, registry, file):
    root = checkout("options")
    publish(root, registry)
    path = root / "results/mine" / file
    if path.suffix == ".png":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("good", "best"))
    assert [one.path for one in differing(root, registry)] == [path]


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("tabel results/mine", "unknown marker 'tabel results/mine'; want one of: table FOLDER TASK, plot FOLDER TASK"),
        ("table results/mine", "unknown marker"),
        ("", "unknown marker"),
        ("table results/yours detection", "no folder results/yours with records.jsonl; there are: results/mine"),
        ("stages results/runs/20260101-000000", "no folder results/runs/20260101-000000"),
        ("table results/mine detektion", "results/mine: no task matches 'detektion'; did you mean 'detection'"),
        ("plot results/mine detection AP50", "no plot of 'AP50' for detection; there are: speed_accuracy-detection"),
        ("claims yours", "no claim matches 'yours'; known: mine"),
    ],
)
def test_a_marker_that_can_not_be_filled_in_is_named_by_file_and_line(checkout, registry, marker, words):
    root = checkout(marker)
    with pytest.raises(PublishError) as error:
        publish(root, registry)
    assert str(error.value).startswith(f"{root / 'docs/page.md'}:3: ") and words in str(error.value)
    assert not (root / "results/mine/table.md").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- roibench: options -->\n", "page.md:1: has no <!-- end -->"),
        ("\n<!-- roibench: options -->\n<!-- roibench: options -->\n", "page.md:2: has no <!-- end --> before"),
        ("text\n<!-- end -->\n", "page.md:2: <!-- end --> ends no marker"),
    ],
)
def test_markers_come_in_pairs(text, words):
    with pytest.raises(PublishError, match=words):
        fill_in(text, Path("page.md"), lambda words: "")


def test_the_command_writes_and_checks(checkout, monkeypatch):
    monkeypatch.chdir(checkout("options"))
    runner = CliRunner()
    result = runner.invoke(cli.app, ["publish", "--check"])
    assert result.exit_code == 1 and "docs/page.md differs from the records: run `roibench publish`" in result.output
    assert "wrote docs/page.md" in runner.invoke(cli.app, ["publish"]).output
    result = runner.invoke(cli.app, ["publish", "--check"])
    assert (result.exit_code, result.output) == (0, "")


def test_the_page_is_written_where_it_is_asked_for(checkout, monkeypatch):
    monkeypatch.chdir(checkout("options"))
    runner, path = CliRunner(), Path("results/index.html")
    assert "index.html" not in runner.invoke(cli.app, ["publish"]).output and not path.exists()
    assert f"wrote {path}" in runner.invoke(cli.app, ["publish", "--page"]).output
    assert "mine: Detection on scenes" in path.read_text() and "results/runs" not in path.read_text()
    assert runner.invoke(cli.app, ["publish", "--check"]).exit_code == 0
    both = runner.invoke(cli.app, ["publish", "--check", "--page"])
    assert isinstance(both.exception, ValueError) and "want one of them" in str(both.exception)


def test_without_anything_to_publish_it_says_what_is_missing(tmp_path, registry):
    with pytest.raises(PublishError, match=r"results has no folder with records\.jsonl: want a checkout"):
        publish(tmp_path, registry)
