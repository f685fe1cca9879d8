"""The project speaks its field's language: words that were retired stay out."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("retired_words.toml")
RETIRED = tomllib.loads(LIST.read_text())["retired"]


def pattern(words: list[str]) -> re.Pattern[str]:
    """Whole words; a word of an identifier ends at an underscore, too."""
    return re.compile(rf"(?<![A-Za-z])({'|'.join(map(re.escape, words))})(?![A-Za-z])", re.IGNORECASE)


@pytest.fixture(scope="module")
def sources() -> dict[str, list[str]]:
    """The lines of everything that people read, by file."""
    kinds = ("*.py", "*.md", "*.toml", "*.cpp", "*.h", "*.cu", "Makefile")
    listed = subprocess.run(["git", "ls-files", "--", *kinds], cwd=ROOT, capture_output=True, text=True)
    if not listed.stdout:  # a copy of the sources has nothing to list
        pytest.skip(f"no git checkout: {listed.stderr.strip()}")
    files = {ROOT / name for name in listed.stdout.splitlines()} - {LIST, Path(__file__)}
    return {str(file.relative_to(ROOT)): file.read_text().splitlines() for file in sorted(files) if file.is_file()}


@pytest.mark.parametrize("entry", RETIRED, ids=lambda entry: entry["words"][0])
def test_retired_words_stay_out(entry, sources):
    wanted = pattern(entry["words"])
    found = []
    for file, lines in sources.items():
        for number, line in enumerate(lines, 1):
            for right in entry.get("but", ()):
                line = line.replace(right, "")
            if match := wanted.search(line):
                found.append(f"{file}:{number}: {match[0]!r}: want {entry['instead']}")
    assert not found, "\n".join(found)


def test_a_retired_word_is_found_where_it_hides():
    words = pattern(["duel", "data set"])
    assert all(words.search(text) for text in ("A Duel.", "gpu_duel", "duel_on_gpu", "the data set's"))
    assert not any(words.search(text) for text in ("residuel", "duellist", "dataset", "data sets"))


def test_the_core_knows_of_no_explanations(sources):
    """They are a task, its metrics and plugins: what the harness knows are models around other models."""
    known_to = ("tasks/attribution.py", "measure/migrate.py")
    known_to += tuple(f"metrics/{name}.py" for name in ("attribution", "faithfulness", "removal"))
    core = {
        file: lines
        for file, lines in sources.items()
        if file.startswith("bench/roibench/") and not file.endswith(known_to) and "roibench/plugins/" not in file
    }
    assert len(core) > 90
    assert [
        file for file, lines in core.items() if any(re.search("expl(ain|anat)", line, re.I) for line in lines)
    ] == []
