"""What a person types for a data set: `scenes`, `scenes@train`, `voc:PATH`, `voc:PATH@test`."""

import re
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Self

from roibench.registry import Registry, UnknownNameError, resolve, unknown
from roibench.tasks import Dataset


@dataclass(frozen=True)
class Source:
    """A data set's name, its path if it is a kind that takes one, and a split (None: the kind's eval_split)."""

    name: str
    path: str | None = None
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Splits NAME[:PATH][@SPLIT]; an @ inside the path is the path's own unless only a word follows."""
        match = re.fullmatch(r"(?P<name>[^:@]+)(?::(?P<path>.+?))?(?:@(?P<split>\w+))?", text)
        if match is None:
            raise ValueError(f"data set {text!r}: want NAME, NAME:PATH or either with @SPLIT, such as voc:photos@test")
        return cls(**match.groupdict())

    @property
    def label(self) -> str:
        """As typed, without the folders above what was opened: those belong to the machine."""
        return str(replace(self, path=self.path and PurePath(self.path).name))

    def __str__(self) -> str:
        path = f":{self.path}" if self.path else ""
        return self.name + path + (f"@{self.split}" if self.split else "")


def open_dataset(text: str, registry: Registry, split: str | None = None, on_bad_data: str = "fail") -> Dataset:
    """Opens what `text` names; a split in the text wins over `split`, which wins over the kind's eval_split.

    on_bad_data: "fail" or "skip", for kinds that are read from a path. Raises UnknownNameError for a name that nothing
    registered and ValueError for a missing or superfluous path.
    """
    source = Source.parse(text)
    spec = registry.datasets.get(source.name)
    if spec is None:
        raise UnknownNameError(unknown("data set", source.name, registry.datasets))
    if spec.takes_path != (source.path is not None):
        want = f"{spec.name}:PATH" if spec.takes_path else spec.name
        raise ValueError(f"data set {text!r}: want {want}")
    options = {"on_bad_data": on_bad_data} if spec.takes_path else {}
    return resolve(spec.open)(source.path, source.split or split or spec.eval_split, **options)
