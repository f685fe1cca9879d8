"""What a person types for a dataset."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roibench.dataset import DatasetInfo
from roibench.datasets.ground_truth import any_counts
from roibench.datasets.reference import DatasetRef, open_dataset, split_list
from roibench.registry import Registry, UnknownNameError, installed
from roibench.specs import DatasetSpec
from roibench.structures import VOID, Input, Sample, Target

names = st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True)
splits = st.none() | st.from_regex(r"\w+", fullmatch=True)
paths = st.text(st.characters(exclude_characters="\n\r"), min_size=1)


@given(name=names, path=st.none() | paths.filter(lambda path: "@" not in path), split=splits)
def test_what_is_written_is_read_back(name, path, split):
    reference = DatasetRef(name, path, split)
    assert DatasetRef.parse(str(reference)) == reference


@given(name=names, path=paths, split=st.from_regex(r"\w+", fullmatch=True))
def test_the_last_word_after_an_at_is_the_split_whatever_the_path(name, path, split):
    assert DatasetRef.parse(f"{name}:{path}@{split}") == DatasetRef(name, path, split)


@given(text=st.text())
def test_any_text_is_parsed_or_refused_with_an_example(text):
    try:
        reference = DatasetRef.parse(text)
    except ValueError as error:
        assert "want NAME, NAME:PATH or either with @SPLIT, such as voc:photos@test" in str(error)
    else:
        assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("scenes", DatasetRef("scenes")),
        ("scenes@train", DatasetRef("scenes", None, "train")),
        ("voc:a/b", DatasetRef("voc", "a/b")),
        ("voc:a@b/c", DatasetRef("voc", "a@b/c")),
        ("voc:a@b/c@test", DatasetRef("voc", "a@b/c", "test")),
        ("voc:C:\\photos@test", DatasetRef("voc", "C:\\photos", "test")),
    ],
)
def test_examples(text, want):
    assert DatasetRef.parse(text) == want


@pytest.mark.parametrize("text", ["", ":path", "@train", "scenes@", "voc:", "scenes@a b"])
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match="want NAME, NAME:PATH or either with @SPLIT"):
        DatasetRef.parse(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("scenes@train", "scenes@train"),
        ("voc:/data/a/b@test", "voc:b@test"),
        ("coco:/data/objects.json:/data/images@val", "coco:objects.json:images@val"),
    ],
)
def test_a_label_has_no_folders_of_the_machine_in_it(text, label):
    assert DatasetRef.parse(text).label == label


NAMES = ("scenes", "voc", "coco")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("scenes", ["scenes"]),
        ("scenes, voc:a ,coco:b@test", ["scenes", "voc:a", "coco:b@test"]),
        ("voc:/data/cats, dogs/2026,scenes@train", ["voc:/data/cats, dogs/2026", "scenes@train"]),
        ("coco:/a,b/x.json:/a,b/images,voc:c,d@test", ["coco:/a,b/x.json:/a,b/images", "voc:c,d@test"]),
        ("voc:C:\\a,b", ["voc:C:\\a,b"]),
        ("voc:a,voc", ["voc:a", "voc"]),
        ("scenes,vcc", ["scenes", "vcc"]),
        ("voc:a,vcc:b", ["voc:a", "vcc:b"]),
        ("scenes,,", ["scenes"]),
        ("voc:a,", ["voc:a"]),
        (",", []),
    ],
)
def test_a_comma_separates_datasets_but_not_a_path(text, want):
    assert split_list(text, NAMES) == want


typed_paths = st.text("ab ,/._", max_size=12).map(lambda text: text.rstrip(" ,"))


@given(st.lists(st.sampled_from(NAMES) | st.builds("voc:/{}{}".format, typed_paths, st.sampled_from(["", "@x"]))))
def test_a_list_of_datasets_is_read_back(references):
    assert split_list(",".join(references), NAMES) == references


@dataclass(frozen=True)
class Opened:
    """Stands for a dataset: tells how it was opened, and holds what a test wants."""

    called: tuple
    targets: tuple = (Target(boxes=torch.ones(1, 4)),)
    info: DatasetInfo = field(default=DatasetInfo("opened", "val", ("cat",), fields=frozenset({"boxes"})))
    unbounded = False
    hash = "0" * 64

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return Sample(Input("", None), self.targets[index])


def opened(path, split, **options):
    """Stands for a dataset's open function."""
    return Opened((path, split, options))


@pytest.fixture
def registry():
    registry, here = Registry(tasks=installed().tasks), f"{__name__}:opened"
    registry.add("test", DatasetSpec, DatasetSpec("shapes", here, ("boxes",), "built in"))
    registry.add(
        "test", DatasetSpec, DatasetSpec("folder", here, ("boxes",), "at a path", takes_path=True, eval_split="test")
    )
    return registry


@pytest.fixture(autouse=True)
def resolvable(monkeypatch):
    """importlib mode gives test modules no importable name; the specs above need none."""
    monkeypatch.setattr("roibench.datasets.reference.resolve", lambda path: opened)


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
    assert open_dataset(text, registry, split, on_bad_data="skip").called == want


def test_open_dataset_fails_on_bad_data_unless_told_otherwise(registry):
    assert open_dataset("folder:x", registry).called[2] == {"on_bad_data": "fail"}


def test_open_dataset_refuses_what_nobody_registered_and_paths_in_the_wrong_place(registry):
    with pytest.raises(UnknownNameError, match="no dataset matches 'folders'; did you mean 'folder'"):
        open_dataset("folders:x", registry)
    with pytest.raises(ValueError, match="dataset 'folder': want folder:PATH"):
        open_dataset("folder", registry)
    with pytest.raises(ValueError, match="dataset 'shapes:x': want shapes"):
        open_dataset("shapes:x", registry)


BOX, CLASS = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0])
YES, NO = torch.tensor([True]), torch.tensor([False])
POSE, NO_POSE = torch.tensor([[[1.0, 1, 2]]]), torch.zeros(1, 1, 3)
ALL_VOID = torch.full((2, 2), VOID, dtype=torch.uint8)
COUNTS = [
    (Target(boxes=BOX, labels=CLASS), {"boxes", "labels"}, True),
    (Target(boxes=BOX, labels=CLASS, crowd=NO, ignored=NO), {"boxes", "labels"}, True),
    (Target(boxes=BOX[:0], labels=CLASS[:0]), {"boxes", "labels"}, False),
    (Target(boxes=BOX, labels=CLASS, crowd=YES), {"boxes", "labels"}, False),
    (Target(boxes=BOX, labels=CLASS, ignored=YES), {"boxes"}, False),
    (Target(boxes=BOX, keypoints=POSE), {"boxes", "keypoints"}, True),
    (Target(boxes=BOX, keypoints=NO_POSE), {"boxes", "keypoints"}, False),
    (Target(boxes=BOX, keypoints=POSE, crowd=YES), {"keypoints"}, False),
    (Target(image_label=0), {"image_label"}, True),
    (Target(), {"image_label"}, False),
    (Target(semantic_map=ALL_VOID), {"semantic_map"}, False),
    (Target(semantic_map=ALL_VOID - VOID), {"semantic_map"}, True),
    (Target(), set(), True),
]


def count_in(names):
    """Whether a target has something that is scored in each of these fields."""
    fields = [installed().target_fields[name] for name in names]
    return lambda target: all(field.has(target) for field in fields)


@pytest.mark.parametrize(("target", "fields", "want"), COUNTS)
def test_what_counts_for_a_task(target, fields, want):
    assert any_counts(Opened((), (target,)), count_in(fields)) == want


def test_only_the_first_images_are_looked_at_and_no_more_than_needed():
    empty, full = Target(boxes=BOX[:0]), Target(boxes=BOX)
    boxes = count_in({"boxes"})
    assert not any_counts(Opened((), (empty, full)), boxes, images=1)
    assert any_counts(Opened((), (empty, full)), boxes, images=2)
    assert any_counts(Opened((), (full, None)), boxes), "the second isn't looked at"


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ((), "dataset 'shapes': split 'val' has no images"),
        ((Target(boxes=BOX[:0]),), "dataset 'shapes': split 'val' has nothing that counts in boxes"),
    ],
)
def test_a_split_in_which_nothing_counts_is_refused(registry, monkeypatch, targets, words):
    monkeypatch.setattr("roibench.datasets.reference.resolve", lambda path: lambda *_: Opened((), targets))
    with pytest.raises(ValueError, match=words):
        open_dataset("shapes", registry)
