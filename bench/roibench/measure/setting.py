"""What a cell was measured with, in words: what must be equal for two times to mean the same."""

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

from roibench.measure.record import Ok

FEW = 100  # images: below, intervals are rough (results/coverage.md)
FEW_NOTE = " (few: intervals are rough)"


class Setting(NamedTuple):
    """What a cell was measured with; all but the images must be equal for a comparison to mean something.

    images: how many were scored.
    device: as in the cell.
    precision: likewise.
    batch_size: likewise.
    threads: likewise.
    machine: the processor, and the GPU where one was used.
    """

    images: int
    device: str
    precision: str
    batch_size: int
    threads: int
    machine: str

    @classmethod
    def of(cls, record: Ok) -> Self:
        cell, machine = record.cell, record.provenance
        processor = re.sub(r"\((R|TM)\)", "", machine.cpu)
        if machine.gpu and cell.device != "cpu":
            processor = f"{machine.gpu} with {processor}"
        return cls(record.images, cell.device, cell.precision, cell.batch_size, cell.threads, processor)

    def is_like(self, other: Self) -> bool:
        """But for the images."""
        return self[1:] == other[1:]

    @property
    def parts(self) -> tuple[str, ...]:
        """Each field in words, in the order of the fields."""
        few = FEW_NOTE if self.images < FEW else ""
        images = f"{self.images:,} image{'s' * (self.images != 1)}{few}"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return (images, self.device, self.precision, f"batch {self.batch_size}", threads, self.machine)


def shared_parts(settings: Iterable[Setting]) -> str:
    """What all settings have in common, in words."""
    return ", ".join(column[0] for column in _columns(settings) if len(set(column)) == 1)


def own_parts(setting: Setting, settings: Iterable[Setting]) -> str:
    """What tells a setting from others, in words."""
    differing = [len(set(column)) > 1 for column in _columns(settings)]
    return ", ".join(part for part, differs in zip(setting.parts, differing, strict=True) if differs)


def machine_of(record: Ok) -> str:
    """The machine as far as a record tells: two of one name may still be two."""
    return f"{Setting.of(record).machine}, {record.provenance.cores} cores"


def _columns(settings: Iterable[Setting]) -> list[tuple[str, ...]]:
    return list(zip(*(setting.parts for setting in settings), strict=True))
