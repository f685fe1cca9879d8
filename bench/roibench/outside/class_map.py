"""Whose classes are whose: a model's own names mapped to a dataset's, in words that both may write in their own way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOTHING = ("__background__", "background", "N/A", "no person", "no_object")  # names that stand for no class
SHOWN = 12  # names in a line, before "and 68 more"

# Names of one class in well-known datasets (VOC, COCO, Open Images, ImageNet, Objects365), folded.
SYNONYMS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "tv tvmonitor television televisionset tvset",
        "motorcycle motorbike",
        "airplane aeroplane plane",
        "couch sofa studiocouch",
        "diningtable kitchenanddiningroomtable",
        "pottedplant houseplant",
        "person human people",
        "bicycle bike pushbike",
        "cellphone mobilephone cellulartelephone",
        "donut doughnut",
        "hairdrier hairdryer blowdryer",
        "refrigerator fridge",
        "microwave microwaveoven",
        "remote remotecontrol",
        "keyboard computerkeyboard",
        "mouse computermouse",
        "laptop laptopcomputer",
        "trafficlight trafficsignal",
        "firehydrant hydrant",
        "car automobile",
        "truck lorry",
        "cow cattle",
        "teddybear teddy",
        "hotdog frankfurter",
        "tennisracket tennisracquet",
        "baseballglove baseballmitt",
        "handbag purse",
        "soccerball football",
    )
)


class ClassMapError(ValueError):
    """None of a model's classes is one of the dataset's."""


@dataclass(frozen=True)
class ClassMap:
    """Which of a dataset's classes each of a model's own is.

    own: the model's names, in the order of its labels.
    dataset: the dataset's, likewise.
    indices: of each own one the dataset's index, or -1.
    how: of each own one in which way it was found: exact, case, plural, synonym, file; nothing: it stands for no class;
        None if it wasn't.
    """

    own: tuple[str, ...]
    dataset: tuple[str, ...]
    indices: tuple[int, ...]
    how: tuple[str | None, ...]

    @property
    def names(self) -> dict[str, str | None]:
        """The model's -> the dataset's."""
        found = (None if index < 0 else self.dataset[index] for index in self.indices)
        return dict(zip(self.own, found, strict=True))

    @property
    def missing(self) -> tuple[str, ...]:
        """The dataset's that the model can't find."""
        return tuple(name for index, name in enumerate(self.dataset) if index not in self.indices)

    def lines(self, dataset: str) -> list[str]:
        """What matched, in which way, and what did not."""
        matched = len(self.dataset) - len(self.missing)
        if not matched:
            return [f"by --class-map no class of the model is one of {dataset}: it is measured for its speed alone"]
        found = [how for index, how in zip(self.indices, self.how, strict=True) if index >= 0]
        ways = ", ".join(f"{found.count(way)} by {name}" for way, name in _WAYS.items() if way in found)
        lines = [f"{matched} of the {len(self.dataset)} classes of {dataset} matched ({ways}){self._renamed()}"]
        if self.missing:
            lines.append(f"WARNING: the model can't find {_listed(self.missing)} of {dataset}: want --class-map FILE")
        dropped = [name for name, index, how in zip(self.own, self.indices, self.how, strict=True) if how is None]
        if dropped:
            lines.append(f"WARNING: {len(dropped)} classes of the model are none of {dataset}'s: {_listed(dropped)}")
        return lines

    def _renamed(self) -> str:
        pairs = [
            f"{name} = {self.dataset[index]}"
            for name, index, how in zip(self.own, self.indices, self.how, strict=True)
            if index >= 0 and how not in ("exact", "case")
        ]
        return f": {_listed(pairs)}" if pairs else ""


_WAYS = {
    "exact": "their names",
    "case": "case and spaces",
    "plural": "plural",
    "synonym": "synonym",
    "file": "--class-map",
}


def match_classes(own: Sequence[str], dataset: Sequence[str], table: Mapping[str, str | None] = {}) -> ClassMap:
    """By the table first, then exactly, by case and spaces, plural, synonym.

    table: of --class-map: the model's name -> the dataset's, None to leave one out. Raises ClassMapError where nothing
    matches, unless all were left out.
    """
    found = [_matched(name, dataset, table) for name in own]
    if all(index < 0 for index, _ in found) and not _left_out(own, table):
        raise ClassMapError(
            f"none of the model's {len(own)} classes ({_listed(own, 5)}) is one of the dataset's "
            f"{len(dataset)} ({_listed(dataset, 5)}): want --class-map FILE, with lines such as "
            f"`{own[0] if own else 'name'}: {dataset[0]}`"
        )
    return ClassMap(tuple(own), tuple(dataset), *map(tuple, zip(*found, strict=True)))


def _left_out(own: Sequence[str], table: Mapping[str, str | None]) -> bool:
    """Whether a person has said of every class of the model that the dataset lacks it."""
    return bool(own) and all(name in table and table[name] is None for name in own)


def _matched(name: str, dataset: Sequence[str], table: Mapping[str, str | None]) -> tuple[int, str | None]:
    if name in table:
        wanted = table[name]
        # A line about another dataset of the run maps to nothing here.
        return (dataset.index(wanted) if wanted in dataset else -1), "file"
    if name in NOTHING and name not in dataset:
        return -1, "nothing"
    ways = (
        ("exact", lambda other: other == name),
        ("case", lambda other: _fold(other) == _fold(name)),
        ("plural", lambda other: bool(_forms(other) & _forms(name))),
        ("synonym", lambda other: bool(_alike(other) & _alike(name))),
    )
    for way, is_same in ways:
        for index, other in enumerate(dataset):
            if is_same(other):
                return index, way
    return -1, None


def _fold(name: str) -> str:
    """Case, spaces, dashes and underscores aside."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _forms(name: str) -> set[str]:
    """Of a name that may be a plural, what it may be a plural of, and itself."""
    folded = _fold(name)
    endings = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"))
    endings += (("ses", "s"), ("oes", "o"), ("s", ""))
    stems = {folded[: -len(end)] + base for end, base in endings if folded.endswith(end) and not folded.endswith("ss")}
    return {folded, *(stem for stem in stems if len(stem) > 2)}


def _alike(name: str) -> set[str]:
    forms = _forms(name)
    return forms.union(*(group for group in SYNONYMS if group & forms))


def _listed(names: Sequence[str], shown: int = SHOWN) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
