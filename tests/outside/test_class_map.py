"""A model's classes and a dataset's: what is the same under another name is found, and what isn't is said."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roibench.outside.class_map import ClassMapError, match_classes
from roibench.outside.sidecar import COCO_80, COCO_91, VOC
from roibench.sources import read_class_map

words = st.text(string.ascii_lowercase + " _-", min_size=3, max_size=12).filter(lambda text: text.strip(" _-"))


@pytest.mark.parametrize(
    ("own", "theirs", "way"),
    [
        ("tvmonitor", "tv", "synonym"),
        ("motorbike", "motorcycle", "synonym"),
        ("aeroplane", "airplane", "synonym"),
        ("sofa", "couch", "synonym"),
        ("diningtable", "dining table", "case"),
        ("pottedplant", "potted plant", "case"),
        ("Traffic_Light", "traffic light", "case"),
        ("dogs", "dog", "plural"),
        ("knife", "Knives", "plural"),
        ("box", "boxes", "plural"),
        ("bus", "buses", "plural"),
        ("berries", "berry", "plural"),
        ("people", "person", "synonym"),
    ],
)
def test_one_class_under_two_names(own, theirs, way):
    for first, second in ((own, theirs), (theirs, own)):
        found = match_classes([first, "zebra"], ["zebra", second])
        assert found.indices == (1, 0) and found.how == (way, "exact")


@pytest.mark.parametrize(("own", "theirs"), [("car", "cart"), ("cat", "cattle"), ("glass", "gla"), ("table", "tv")])
def test_other_classes_stay_apart(own, theirs):
    assert match_classes([own, "zebra"], ["zebra", theirs]).indices == (-1, 0)


def test_vocs_classes_are_all_cocos_own():
    """The six names by which accuracy was lost in silence are among them."""
    found = match_classes(VOC, COCO_80)
    assert found.indices.count(-1) == 0 and len(set(found.indices)) == 20
    [first, *_] = found.lines("coco")
    for pair in ("aeroplane = airplane", "motorbike = motorcycle", "sofa = couch", "tvmonitor = tv"):
        assert pair in first
    assert len(match_classes(COCO_80, VOC).missing) == 0


def test_names_that_stand_for_nothing_are_nobodys():
    found = match_classes(COCO_91, COCO_80)
    assert [name for name, index in zip(COCO_91, found.indices, strict=True) if index < 0] == [
        name for name in COCO_91 if name in ("__background__", "N/A")
    ]
    assert len(found.lines("coco")) == 1  # no warning of them


@given(st.lists(words, min_size=1, max_size=8, unique_by=lambda name: "".join(filter(str.isalnum, name))))
def test_every_name_is_its_own_best_match(names):
    assert match_classes(names, names).indices == tuple(range(len(names)))


def test_the_table_comes_first_and_may_leave_out():
    found = match_classes(["cat", "dog", "cow"], ["cat", "dog"], {"cow": "dog", "cat": None})
    assert found.indices == (-1, 1, 1) and found.names == {"cat": None, "dog": "dog", "cow": "dog"}
    assert found.missing == ("cat",)
    said = found.lines("farm")
    assert "1 of the 2 classes of farm matched" in said[0] and "WARNING: the model can't find cat" in said[1]
    assert len(said) == 2  # what was left out on purpose is no surprise


def test_a_table_that_leaves_all_out_is_no_mistake():
    found = match_classes(["face"], ["cat", "dog"], {"face": None})
    assert found.indices == (-1,) and found.missing == ("cat", "dog")
    assert found.lines("farm") == [
        "by --class-map no class of the model is one of farm: it is measured for its speed alone"
    ]
    with pytest.raises(ClassMapError):
        match_classes(["face", "hand"], ["cat", "dog"], {"face": None})


def test_what_did_not_match_is_told_on_both_sides():
    said = match_classes(["cat", "unicorn"], ["cat", "sheep"]).lines("farm")
    assert said[1:] == [
        "WARNING: the model can't find sheep of farm: want --class-map FILE",
        "WARNING: 1 classes of the model are none of farm's: unicorn",
    ]


def test_nothing_in_common_is_refused_in_a_line():
    with pytest.raises(ClassMapError) as caught:
        match_classes(COCO_80, ["square", "circle"])
    assert str(caught.value) == (
        "none of the model's 80 classes (person, bicycle, car, motorcycle, airplane and 75 more) is one of the "
        "dataset's 2 (square, circle): want --class-map FILE, with lines such as `person: square`"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "want lines of"),
        ("- tv", "want lines of"),
        ("tv: [a, b]", "'tv': .*: want two names, or a name and null"),
        ("1: tv", "1: 'tv': want two names"),
        ("a: b: c", "can't be read"),
    ],
)
def test_a_file_that_is_no_class_map_is_refused(tmp_path, text, said):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_class_map(file)
