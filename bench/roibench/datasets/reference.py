"""What a person types for a dataset: `scenes`, `scenes@train`, `voc:PATH`, `voc:PATH@test`."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Self

from roibench.dataset import Dataset
from roibench.datasets.ground_truth import any_counts
from roibench.registry import Registry, UnknownNameError, resolve, unknown

_FILE_AND_IMAGES = re.compile(r"(?<=\.json):|(?<=\.csv):")  # coco:FILE.json:IMAGES


@dataclass(frozen=True)
class DatasetRef:
    """A dataset as typed.

    name: of its kind.
    path: None for a kind that takes none.
    split: None: the kind's eval_split.
    """

    name: str
    path: str | None = None
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Splits NAME[:PATH][@SPLIT]; an @ inside the path is the path's own unless only a word follows."""
        match = re.fullmatch(r"(?P<name>[^:@]+)(?::(?P<path>.+?))?(?:@(?P<split>\w+))?", text)
        if match is None:
            raise ValueError(f"dataset {text!r}: want NAME, NAME:PATH or either with @SPLIT, such as voc:photos@test")
        return cls(**match.groupdict())

    @property
    def label(self) -> str:
        """As typed, without the folders above what was opened: those belong to the machine."""
        parts = _FILE_AND_IMAGES.split(self.path or "")
        return str(replace(self, path=":".join(PurePath(part).name for part in parts)))

    def __str__(self) -> str:
        path = f":{self.path}" if self.path else ""
        return self.name + path + (f"@{self.split}" if self.split else "")


def found_from(text: str, folder: Path) -> str:
    """A dataset as typed elsewhere: a relative path of it that leads nowhere from here is looked for from a folder, and
    from those above it.
    """
    reference = DatasetRef.parse(text)
    if reference.path is None:
        return text
    parts = [_found_from(part, folder) for part in _FILE_AND_IMAGES.split(reference.path)]
    return str(replace(reference, path=":".join(parts)))


def _found_from(path: str, folder: Path) -> str:
    if Path(path).is_absolute() or Path(path).exists():
        return path
    places = (place / path for place in (folder.resolve(), *folder.resolve().parents))
    return str(next((place for place in places if place.exists()), path))


def split_list(text: str, names: Collection[str]) -> list[str]:
    """Datasets as typed in one list. A comma separates them; within a path it is the path's own, unless what follows
    begins as a dataset does: with one of the names (of what is registered) alone or before : or @, or with any word of
    two or more letters before a colon.
    """
    references: list[str] = []
    for piece in text.split(","):
        begins = re.match(r"\s*([a-z]\w+)(:|@|\s*$)", piece)
        another = begins is not None and (begins[1] in names or begins[2] == ":")
        if references and ":" in references[-1] and not another:
            references[-1] += f",{piece}"
        else:
            references.append(piece)
    stripped = (reference.strip().rstrip(",") for reference in references)
    return [reference for reference in stripped if reference]


def open_dataset(text: str, registry: Registry, split: str | None = None, on_bad_data: str = "fail") -> Dataset:
    """Opens what `text` names; a split in the text wins over `split`, which wins over the kind's eval_split.

    on_bad_data: "fail", "skip" or "clip", for kinds that are read from a path. Raises UnknownNameError for a name that
    nothing registered, and ValueError for a missing or superfluous path and for a split in which nothing counts.
    """
    reference = DatasetRef.parse(text)
    spec = registry.datasets.get(reference.name)
    if spec is None:
        raise UnknownNameError(unknown("dataset", reference.name, registry.datasets))
    if spec.takes_path != (reference.path is not None):
        want = f"{spec.name}:PATH" if spec.takes_path else spec.name
        raise ValueError(f"dataset {text!r}: want {want}")
    options = {"on_bad_data": on_bad_data} if spec.takes_path else {}
    data = resolve(spec.open)(reference.path, reference.split or split or spec.eval_split, **options)
    if not len(data):
        raise ValueError(f"dataset {text!r}: split {data.info.split!r} has no images{_left_out(data)}")
    known = [field for name, field in registry.target_fields.items() if name in data.info.fields]
    if known and not any(any_counts(data, field.has) for field in known):
        names = ", ".join(sorted(field.name for field in known))
        what = f"has nothing that counts in {names} (crowds, ignored objects, void and unknown pixels don't)"
        raise ValueError(f"dataset {text!r}: split {data.info.split!r} {what}{_left_out(data)}")
    return data


def _left_out(data: Dataset) -> str:
    problems = getattr(data, "problems", ())
    return f" (left out because of bad data: {len(problems)})" if problems else ""
