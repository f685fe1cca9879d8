"""Boxes in a table, a line per object: `csv:FILE.csv`, `csv:FILE.csv:IMAGES` or `csv:FOLDER@SPLIT`.

The first line names the columns, in whatever order, separated by commas, semicolons or tabs: image (also filename,
path, image_id, ...), label (class, class_name, category, ...), and the box in pixels counted from 0: xmin, ymin, xmax
and ymax (x1 ..., left, top, right, bottom), or x, y, width and height of its upper left corner and size, or one column
bbox, "[x, y, width, height]". Beside xmin, width and height are the image's. crowd, ignored (difficult) and area are
read where they are there, other columns are not. Without such a line, the columns are image, x1, y1, x2, y2, label. An
image whose line has no box and no label has no objects; one that no line names is not in the dataset.

classes.txt beside the table names the classes in label order; else they are sorted. A folder holds SPLIT.csv, or
SPLIT/ with one table in it. An image lies in IMAGES, or beside its table, in images/, SPLIT/ or images/SPLIT/ there;
its ending may be missing from the table.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData, Box
from roibench.datasets.checked_images import CheckedImage, check_images
from roibench.datasets.images import SUFFIXES, files_in, folders_in, shared_size
from roibench.datasets.objects import CLASSES, Object, ObjectFiles, Picture, area_of, known_fields, read_classes
from roibench.datasets.values import brief, flag, read_lines, whole

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SIDES = ("x", "y", "width", "height")
_COLUMNS = {
    "image": ("filename", "file_name", "file", "path", "image_path", "image_id", "imageid", "image_name", "img"),
    "label": ("class", "class_name", "category", "category_name", "label_name", "labelname", "name"),
    "xmin": ("x1", "x_min", "left"),
    "ymin": ("y1", "y_min", "top"),
    "xmax": ("x2", "x_max", "right"),
    "ymax": ("y2", "y_max", "bottom"),
    "width": ("w", "bbox_width"),
    "height": ("h", "bbox_height"),
    "x": ("bbox_x",),
    "y": ("bbox_y",),
    "bbox": (),
    "crowd": ("iscrowd",),
    "ignored": ("difficult",),
    "area": (),
}
_KNOWN = {other: name for name, others in _COLUMNS.items() for other in (name, *others)}


def open_csv(path: str, split: str, on_bad_data: str = "fail") -> ObjectFiles:
    """Opens a table. Every line of it is read, and every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out a bad line, or an image
    that can't be read, and warns; "clip" does, too, but clips boxes to their images first. Raises ValueError for a
    table without the columns that it needs.
    """
    bad = BadData(on_bad_data)
    place = _find(path, split)
    lines = list(_read(place.table, bad))
    others = [line for table in place.others for line in _read(table, BadData("skip"))]
    names = place.table.parent / CLASSES, place.root / CLASSES
    if (named := next((file for file in names if file.is_file()), None)) is not None:
        classes = read_classes(named, bad)
    else:
        classes = tuple(sorted({line.label for line in (*lines, *others) if line.label}))
    files = {name: _locate(name, place.folders) for name in dict.fromkeys(line.image for line in lines)}
    images = check_images(files.values(), bad)
    objects: dict[str, list[Object]] = {name: [] for name, file in files.items() if file in images}
    for line in lines:
        if line.image in objects and (one := _object(line, images[files[line.image]], classes, bad, place.table)):
            objects[line.image].append(one)
    pictures = tuple(Picture(name, images[files[name]], tuple(found)) for name, found in objects.items())
    problems = bad.settle()
    size = shared_size(picture.image.size for picture in pictures)
    info = DatasetInfo(f"csv:{path}", split, classes, image_size=size, fields=known_fields(pictures, ()))
    return ObjectFiles(info, pictures, problems)


@dataclass(frozen=True)
class _Place:
    """Where a split lies.

    root: the folder that was named, or the table's.
    table: the split's.
    others: those of other splits, for their labels.
    folders: where images may lie.
    """

    root: Path
    table: Path
    others: tuple[Path, ...]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Line:
    """A line of a table, as text by the columns' proper names."""

    number: int
    values: dict[str, str]

    @property
    def image(self) -> str:
        return self.values["image"].replace("\\", "/")

    @property
    def label(self) -> str:
        return self.values["label"]


def _find(text: str, split: str) -> _Place:
    path = Path(text)
    if path.is_file():
        return _Place(path.parent, path, (), (path.parent, path.parent / "images"))
    if not path.exists() and (parts := re.fullmatch(r"(.+\.csv):(.+)", text, re.IGNORECASE)):
        path, folder = map(Path, parts.groups())
        if not path.is_file():
            raise ValueError(f"{path}: no such file, in csv:FILE.csv:IMAGES")
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder, in csv:FILE.csv:IMAGES")
        return _Place(path.parent, path, (), (folder,))
    if not path.is_dir():
        raise ValueError(f"{path}: no such table or folder")
    tables = {file.stem: file for file in files_in(path, {".csv"})}
    for folder in folders_in(path):
        if folder.name not in tables and (inner := files_in(folder, {".csv"})):
            if len(inner) > 1:
                raise ValueError(f"{folder} has several tables; name one: csv:{inner[0]}")
            tables[folder.name] = inner[0]
    if split not in tables:
        raise ValueError(f"{path} has no split {split!r}, {split}.csv; it has: {', '.join(tables) or 'none'}")
    table = tables.pop(split)
    folders = [path / "images" / split, path / split, path / "images", path]
    return _Place(path, table, tuple(tables.values()), tuple(dict.fromkeys([table.parent, *folders])))


def _read(file: Path, bad: BadData) -> Iterator[_Line]:
    """The lines below the columns' names; those of another number of columns are reported."""
    texts = read_lines(file, bad)
    if not texts:
        return
    delimiter = max(",;\t", key=texts[0][1].count)
    rows = [(number, _cells(text, delimiter)) for number, text in texts]
    columns = _columns(rows[0][1])
    if columns is None:
        columns = dict(enumerate(("image", *_CORNERS, "label")))
        if len(rows[0][1]) != len(columns) or not all(_number(cell) is not None for cell in rows[0][1][1:5] if cell):
            wanted = "image, label, and xmin, ymin, xmax, ymax or x, y, width, height or bbox"
            raise ValueError(f"{file}: want a first line that names {wanted}; got {brief(texts[0][1])}")
        width = len(columns)
    else:
        width = len(rows.pop(0)[1])
    for number, cells in rows:
        if len(cells) != width:
            bad.report(file, f"has {len(cells)} columns, want {width}", number)
        elif not (values := {name: cells[place] for place, name in columns.items()})["image"]:
            bad.report(file, "names no image", number)
        else:
            yield _Line(number, values)


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))]
    except csv.Error:  # of a line without end
        return []


def _columns(cells: list[str]) -> dict[int, str] | None:
    """What each column is that is known; None where they aren't enough. Of two of one kind the first counts."""
    columns: dict[int, str] = {}
    for place, cell in enumerate(cells):
        name = _KNOWN.get(cell.lower().replace(" ", "_"))
        if name is not None and name not in columns.values():
            columns[place] = name
    there = set(columns.values())
    boxes = {*_CORNERS} <= there or {*_SIDES} <= there or "bbox" in there
    return columns if boxes and {"image", "label"} <= there else None


def _object(line: _Line, image: CheckedImage, classes: tuple[str, ...], bad: BadData, file: Path) -> Object | None:
    """The object of a line; None where it has none, or one that can't be used."""
    try:
        return _checked(line, image, classes, bad, file)
    except ValueError as error:
        bad.report(file, str(error), line.number)
        return None


def _checked(line: _Line, image: CheckedImage, classes: tuple[str, ...], bad: BadData, file: Path) -> Object | None:
    values = line.values
    if "xmin" in values and (size := (values.get("height"), values.get("width"))) != (None, None):
        given = tuple(whole(text or "") for text in size)
        if any(size) and (problem := image.size_problem(given)):
            raise ValueError(problem)
    written = [values[name] for name in _box_columns(values)]
    if not line.label and not any(written):
        return None
    if not line.label:
        raise ValueError(f"box {', '.join(written)} without a label")
    if line.label not in classes:
        raise ValueError(f"label {brief(line.label)} is unknown: {CLASSES} has {len(classes)} others")
    flags = {name: flag(values.get(name, "")) for name in ("crowd", "ignored")}
    if wrong := next((name for name, value in flags.items() if value is None), None):
        raise ValueError(f"{line.label}: {wrong} {brief(values[wrong])} is neither yes nor no")
    corners = _corners(values, written)
    if corners is None:
        raise ValueError(f"{line.label}: box without four numbers: {', '.join(written)}")
    area = _number(values["area"]) if values.get("area") else None
    if values.get("area") and (area is None or not 0 <= area < float("inf")):
        raise ValueError(f"{line.label}: area {brief(values['area'])} is none")
    box = bad.fit_box(corners, image.size, file, f"{line.label}: box {', '.join(written)}", line.number)
    if box is None:
        return None
    return Object(box, classes.index(line.label), area_of(box) if area is None else area, **flags)


def _box_columns(values: dict[str, str]) -> tuple[str, ...]:
    return _CORNERS if "xmin" in values else _SIDES if "x" in values else ("bbox",)


def _corners(values: dict[str, str], written: list[str]) -> Box | None:
    """xyxy as written, wherever it lies; None for what is no box."""
    if "bbox" in _box_columns(values):
        try:
            written = [str(value) for value in json.loads(written[0])]
        except (ValueError, TypeError):
            return None
    numbers = [_number(text) for text in written]
    if len(numbers) != 4 or None in numbers:
        return None
    x, y, third, fourth = numbers
    return (x, y, third, fourth) if "xmin" in values else (x, y, x + third, y + fourth)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _locate(name: str, folders: tuple[Path, ...]) -> Path:
    """Where an image lies; where it should, if nowhere."""
    bare = Path(name).name
    tried = [folder / one for one in dict.fromkeys([name, bare]) for folder in folders]
    if Path(name).suffix.lower() not in SUFFIXES:
        tried += [place.with_name(place.name + suffix) for place in tried for suffix in sorted(SUFFIXES)]
    return next((place for place in tried if _is_file(place)), tried[0])


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):  # of a name that no file can have
        return False
