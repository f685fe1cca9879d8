"""What is published is made of records: the reports in results/, and what README.md and docs/ tell of them, between

    <!-- roibench: table results/scenes detection -->
    <!-- end -->

`roibench publish` fills these in, `--check` and a test find what differs. There is one of these per line of MARKERS.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from roibench import options
from roibench.claim import judge
from roibench.files import write_atomically
from roibench.measure.journal import FILE, read_records
from roibench.measure.record import Ok, Record
from roibench.registry import Registry, unknown
from roibench.report import csv, markdown
from roibench.report.agreement import LEAST, VALUES, agreements
from roibench.report.page.html import Collection, page
from roibench.report.rows import Table, tables
from roibench.report.write import SOURCE, SPEED_ACCURACY, Drawing, drawings

RESULTS = Path("results")
PAGE = "index.html"
RUNS = options.Options().out  # where runs write: nothing there is published
MARKERS = (
    "table FOLDER TASK",
    "plot FOLDER TASK [WHAT]",
    "agreement FOLDER TASK",
    "stages FOLDER",
    "claims [NAME...]",
    "options",
)
_MARKER = re.compile(r"<!-- roibench: *(.*?) *-->")
_END = "<!-- end -->"


class PublishError(ValueError):
    """What can't be published; the message says where, and what would be right."""


@dataclass(frozen=True)
class Text:
    """A published file that is text."""

    path: Path
    text: str

    @property
    def differs(self) -> bool:
        return not self.path.is_file() or self.path.read_text() != self.text

    @property
    def content(self) -> bytes:
        return self.text.encode()


@dataclass(frozen=True)
class Plot:
    """A published .png, which differs where it was drawn from other numbers."""

    path: Path
    drawing: Drawing

    @property
    def differs(self) -> bool:
        if not self.path.is_file():
            return True
        with Image.open(self.path) as image:
            return image.info.get(SOURCE) != self.drawing.source

    @property
    def content(self) -> bytes:
        return self.drawing.content("png")


def publish(root: Path, registry: Registry) -> list[Path]:
    """Writes whatever differs below root, a checkout; returns the paths. Raises PublishError before anything is
    written.
    """
    return [write_atomically(one.path, one.content) for one in differing(root, registry)]


def publish_page(root: Path, registry: Registry) -> Path:
    """Writes results/index.html of all published records, a folder's tables apart from the others'; returns its path.

    Git ignores it, as its JavaScript is larger than the records that it shows. Raises PublishError for no checkout.
    """
    folders = _Results(root, registry).folders
    collections = [
        Collection(str(folder.relative_to(RESULTS)), records, [root / folder]) for folder, records in folders.items()
    ]
    return write_atomically(root / RESULTS / PAGE, page(collections, registry).encode())


def differing(root: Path, registry: Registry) -> list[Text | Plot]:
    """What isn't as records have it."""
    return [one for one in published(root, registry) if one.differs]


def published(root: Path, registry: Registry) -> Iterator[Text | Plot]:
    """Every file that is made of records, wholly or in part."""
    results = _Results(root, registry)
    for folder, records in results.folders.items():
        yield Text(root / folder / "table.md", markdown.render(records))
        yield Text(root / folder / "table.csv", csv.render(records))
        for name, drawing in drawings(records).items():
            yield Plot(root / folder / f"{name}.png", drawing)
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        if path.is_file():
            place = path.parent.relative_to(root)
            yield Text(path, fill_in(path.read_text(), path, lambda words, place=place: results.part(words, place)))


def fill_in(text: str, path: Path, part: Callable[[list[str]], str]) -> str:
    """Puts part(the marker's words) between each marker and its end. Raises PublishError, which names the line."""
    lines, begun = [], None
    for number, line in enumerate(text.splitlines(), 1):
        marker = _MARKER.fullmatch(line)
        if begun and marker:
            raise PublishError(f"{path}:{begun}: has no {_END} before the next marker, in line {number}")
        if not begun and line == _END:
            raise PublishError(f"{path}:{number}: {_END} ends no marker")
        if marker:
            try:
                lines += [line, part(marker[1].split())]
            except PublishError as error:
                raise PublishError(f"{path}:{number}: {error}") from error
            begun = number
        elif not begun or line == _END:
            lines.append(line)
            begun = None
    if begun:
        raise PublishError(f"{path}:{begun}: has no {_END}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Results:
    """What is below results/ of a checkout, and the parts of pages that are made of it."""

    root: Path
    registry: Registry

    @cached_property
    def records(self) -> dict[Path, list[Record]]:
        """By folder, relative to the checkout."""
        files = sorted((self.root / RESULTS).rglob(FILE))
        folders = [file.parent.relative_to(self.root) for file in files]
        return {folder: read_records(self.root / folder) for folder in folders if not folder.is_relative_to(RUNS)}

    @property
    def folders(self) -> dict[Path, list[Record]]:
        """records, of which there are some. Raises PublishError else."""
        if not self.records:
            raise PublishError(
                f"{self.root / RESULTS} has no folder with {FILE}: want a checkout, with what it publishes"
            )
        return self.records

    def part(self, words: list[str], place: Path) -> str:
        """What belongs behind a marker on a page in the folder `place`."""
        match words:
            case ["table", folder, task]:
                found = self._tables(folder, task)
                return "\n\n".join(f"{one.heading}: {markdown.comparison(one)}" for one in found)
            case ["plot", folder, task]:
                return self._plots(folder, task, SPEED_ACCURACY, place)
            case ["plot", folder, task, value]:
                return self._plots(folder, task, value, place)
            case ["agreement", folder, task]:
                return self._agreement(folder, task)
            case ["stages", folder]:
                return markdown.stages(self._folder(folder))
            case ["claims", *names]:
                return self._claims(names)
            case ["options"]:
                return options.markdown()
        raise PublishError(f"unknown marker {' '.join(words)!r}; want one of: {', '.join(MARKERS)}")

    def _folder(self, folder: str) -> list[Record]:
        if (records := self.records.get(Path(folder))) is None:
            known = ", ".join(str(one) for one in self.records)
            raise PublishError(f"no folder {folder} with {FILE}; there are: {known}")
        return records

    def _tables(self, folder: str, task: str) -> list[Table]:
        found = tables(self._folder(folder))
        if task not in (known := [table.task for table in found]):
            raise PublishError(f"{folder}: {unknown('task', task, known)}")
        return [table for table in found if table.task == task]

    def _agreement(self, folder: str, task: str) -> str:
        found = [one for one in self._tables(folder, task) if agreements(one)]
        if not found:
            why = f"no {VALUES} values of {task} are known, with resamples, of {LEAST} models around the same one"
            raise PublishError(f"{folder}: {why}")
        return "\n\n".join(f"{one.heading}: {markdown.agreement(one)}" for one in found)

    def _plots(self, folder: str, task: str, what: str, place: Path) -> str:
        self._tables(folder, task)
        there = drawings(self._folder(folder))
        found = {name: one for name, one in there.items() if one.table.task == task and name.startswith(f"{what}-")}
        if not found:
            raise PublishError(f"{folder}: no plot of {what!r} for {task}; there are: {', '.join(there) or 'none'}")
        lines = []
        for name, drawing in found.items():
            title = f"{drawing.table.heading}: {drawing.about}"
            lines.append(f"![{title}]({os.path.relpath(Path(folder, f'{name}.png'), place)})")
        return "\n".join(lines)

    def _claims(self, names: list[str]) -> str:
        known = self.registry.claims
        if missing := [name for name in names if name not in known]:
            raise PublishError(unknown("claim", missing[0], known))
        claims = [known[name] for name in names] if names else list(known.values())
        ran = [record for records in self.records.values() for record in records if isinstance(record, Ok)]
        return markdown.claims(judge(claims, ran))
