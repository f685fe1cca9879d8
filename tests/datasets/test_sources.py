"""What a person types for a data set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roibench.datasets.sources import Source, open_dataset
from roibench.registry import Registry, UnknownNameError
from roibench.tasks import DatasetSpec

names = st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True)
splits = st.none() | st.from_regex(r"\w+", fullmatch=True)
paths = st.text(st.characters(exclude_characters="\n\r"), min_size=1)


@given(name=names, path=st.none() | paths.filter(lambda path: "@" not in path), split=splits)
def test_what_is_written_is_read_back(name, path, split):
    source = Source(name, path, split)
    assert Source.parse(str(source)) == source


@given(name=names, path=paths, split=st.from_regex(r"\w+", fullmatch=True))
def test_the_last_word_after_an_at_is_the_split_whatever_the_path(name, path, split):
    assert Source.parse(f"{name}:{path}@{split}") == Source(name, path, split)


@given(text=st.text())
def test_any_text_is_parsed_or_refused_with_an_example(text):
    try:
        source = Source.parse(text)
    except ValueError as error:
        assert "want NAME, NAME:PATH or either with @SPLIT, such as voc:photos@test" in str(error)
    else:
        assert str(source) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("scenes", Source("scenes")),
        ("scenes@train", Source("scenes", None, "train")),
        ("voc:a/b", Source("voc", "a/b")),
        ("voc:a@b/c", Source("voc", "a@b/c")),
        ("voc:a@b/c@test", Source("voc", "a@b/c", "test")),
        ("voc:C:\\photos@test", Source("voc", "C:\\photos", "test")),
    ],
)
def test_examples(text, want):
    assert Source.parse(text) == want


@pytest.mark.parametrize("text", ["", ":path", "@train", "scenes@", "voc:", "scenes@a b"])
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match="want NAME, NAME:PATH or either with @SPLIT"):
        Source.parse(text)


def opened(path, split, **options):
    """Stands for a data set's open function: says how it was called."""
    return path, split, options


@pytest.fixture
def registry():
    registry, here = Registry(), f"{__name__}:opened"
    registry.add("test", DatasetSpec, DatasetSpec("shapes", here, ("boxes",), "built in"))
    registry.add(
        "test", DatasetSpec, DatasetSpec("folder", here, ("boxes",), "at a path", takes_path=True, eval_split="test")
    )
    return registry


@pytest.fixture(autouse=True)
def resolvable(monkeypatch):
    """importlib mode gives test modules no importable name; the specs above need none."""
    monkeypatch.setattr("roibench.datasets.sources.resolve", lambda path: opened)


@pytest.mark.parametrize(
    ("text", "split", "want"),
    [
        ("shapes", None, (None, "val", {})),
        ("shapes", "train", (None, "train", {})),
        ("shapes@a", "train", (None, "a", {})),
        ("folder:x", None, ("x", "test", {"on_bad_data": "skip"})),
        ("folder:x@b", "a", ("x", "b", {"on_bad_data": "skip"})),
    ],
)
def test_open_dataset_chooses_the_split_and_passes_on_what_the_kind_takes(registry, text, split, want):
    assert open_dataset(text, registry, split, on_bad_data="skip") == want


def test_open_dataset_fails_on_bad_data_unless_told_otherwise(registry):
    assert open_dataset("folder:x", registry)[2] == {"on_bad_data": "fail"}


def test_open_dataset_refuses_what_nobody_registered_and_paths_in_the_wrong_place(registry):
    with pytest.raises(UnknownNameError, match="no data set matches 'folders'; did you mean 'folder'"):
        open_dataset("folders:x", registry)
    with pytest.raises(ValueError, match="data set 'folder': want folder:PATH"):
        open_dataset("folder", registry)
    with pytest.raises(ValueError, match="data set 'shapes:x': want shapes"):
        open_dataset("shapes:x", registry)
