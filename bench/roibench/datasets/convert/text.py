"""As tables and as Pascal VOC's XML: formats in which a name stands beside each box."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from xml.sax.saxutils import escape

from roibench.dataset import Dataset
from roibench.datasets.bad_data import BadData
from roibench.datasets.boxes_csv import open_csv
from roibench.datasets.convert.writer import Placed, Writer, short, true
from roibench.datasets.folders import open_folders
from roibench.datasets.objects import CLASSES, read_classes
from roibench.datasets.values import read_lines
from roibench.datasets.voc import open_voc
from roibench.files import write_atomically
from roibench.structures import Target


class CsvWriter(Writer):
    """OUT/SPLIT.csv, OUT/classes.txt and OUT/images/SPLIT/NAME.jpg."""

    form = "csv"
    open = staticmethod(open_csv)
    keeps = frozenset({"boxes", "labels", "crowd", "ignored", "areas"})

    def __init__(self, out: Path, data: Dataset):
        super().__init__(out, data)
        self.lines: list[tuple[str, ...]] = []

    @property
    def file(self) -> Path:
        return self.out / f"{self.info.split}.csv"

    def check(self, names: list[str]) -> list[str]:
        if (file := self.out / CLASSES).is_file():
            refuse_other_classes(file, read_classes(file, BadData("skip")), self.info.classes)
        return names

    def folder(self, target: Target) -> Path:
        return self.out / "images" / self.info.split

    def add(self, image: Placed, target: Target) -> None:
        for index, label in enumerate(target.labels.tolist()):
            corners = (short(value) for value in target.boxes[index].tolist())
            flags = (str(int(true(known, index))) for known in (target.crowd, target.ignored))
            area = "" if target.areas is None else short(float(target.areas[index]))
            self.lines.append((image.file.name, *corners, self.info.classes[label], *flags, area))
        if not len(target.labels):
            self.lines.append((image.file.name, *[""] * 8))

    def finish(self) -> None:
        write_atomically(self.out / CLASSES, "".join(f"{name}\n" for name in self.info.classes).encode())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image", "xmin", "ymin", "xmax", "ymax", "label", "crowd", "ignored", "area"))
        writer.writerows(self.lines)
        write_atomically(self.file, text.getvalue().encode())


class VocWriter(Writer):
    """OUT/Annotations/NAME.xml, OUT/JPEGImages/NAME.jpg and OUT/ImageSets/Main/SPLIT.txt."""

    form = "voc"
    open = staticmethod(open_voc)
    keeps = frozenset({"boxes", "labels", "ignored"})

    def __init__(self, out: Path, data: Dataset):
        super().__init__(out, data)
        self.names: list[str] = []
        self.crowds = 0

    @property
    def file(self) -> Path:
        return self.out / "ImageSets" / "Main" / f"{self.info.split}.txt"

    def check(self, names: list[str]) -> list[str]:
        lists = self.file.parent.glob("*.txt")
        taken = {line for file in lists if file != self.file for _, line in read_lines(file, BadData("skip"))}
        if taken.isdisjoint(names):
            return names
        return [f"{self.info.split}_{number:06d}" for number in range(1, len(names) + 1)]

    def folder(self, target: Target) -> Path:
        return self.out / "JPEGImages"

    def add(self, image: Placed, target: Target) -> None:
        height, width = image.size
        objects = []
        for index, label in enumerate(target.labels.tolist()):
            x1, y1, x2, y2 = (Decimal(short(value)) for value in target.boxes[index].tolist())
            sides = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}  # counted from 1, both ends included
            box = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
            crowd, name = true(target.crowd, index), escape(self.info.classes[label])
            difficult = int(crowd or true(target.ignored, index))
            objects.append(
                f"  <object>\n    <name>{name}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n"
                f"    <difficult>{difficult}</difficult>\n    <bndbox>{box}</bndbox>\n  </object>\n"
            )
            self.crowds += crowd
        text = (
            f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{escape(image.file.name)}</filename>\n"
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"  <segmented>0</segmented>\n{''.join(objects)}</annotation>\n"
        )
        write_atomically(self.out / "Annotations" / f"{image.file.stem}.xml", text.encode())
        self.names.append(image.file.stem)

    def finish(self) -> None:
        write_atomically(self.file, "".join(f"{name}\n" for name in self.names).encode())

    def notes(self) -> list[str]:
        return [f"{self.crowds} crowds are difficult objects: VOC knows no crowds"] if self.crowds else []


class FoldersWriter(Writer):
    """OUT/SPLIT/CLASS/NAME.jpg: whole images by their class. The split gets its name when it is complete."""

    form = "folders"
    open = staticmethod(open_folders)
    needs = frozenset({"image_label"})
    keeps = needs
    ordered = False  # but sorted by class

    @property
    def file(self) -> Path:
        return self.out / self.info.split

    @property
    def _part(self) -> Path:
        return self.out / f".{self.info.split}.part"

    def check(self, names: list[str]) -> list[str]:
        if wrong := next((name for name in self.info.classes if Path(name).name != name or name[0] == "."), None):
            raise ValueError(f"class {wrong!r} can't be the name of a folder")
        return names

    def folder(self, target: Target) -> Path:
        return self._part / self.info.classes[target.image_label]

    def add(self, image: Placed, target: Target) -> None:
        """All is said by where it lies."""

    def finish(self) -> None:
        for name in self.info.classes:
            (self._part / name).mkdir(parents=True, exist_ok=True)
        self._part.rename(self.file)


def refuse_other_classes(file: Path, there: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Raises ValueError where a folder's classes are others than those of the split that is to be written into it."""
    if there != classes:
        raise ValueError(f"{file} has other classes than the dataset: name another folder")
