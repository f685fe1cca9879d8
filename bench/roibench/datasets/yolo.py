"""YOLO's text labels, as darknet and its successors have them: `yolo:PATH@SPLIT`, with data.yaml or classes.txt.

A line of a label file is an object: the number of its class, then relative to the image's width and height

    x y width height              of its box, x and y of the centre
    x1 y1 x2 y2 x3 y3 ...         of its outline, three points or more: the box is the smallest around it
    x y width height X Y [V] ...  of its box and joints, where data.yaml has kpt_shape; V is 0, 1 or 2; without it a
                                  joint at 0 0, or below, is absent

Masks are known where every object of the split has an outline, areas by outline, or else by box.

What YOLO has no place for may lie beside `labels` in folders of the same layout, which other tools don't look into:
`crowds` and `ignored` have lines like those of labels for what counts neither way, and `areas` a number of pixels for
each line of labels, then of crowds, then of ignored. `roibench convert` writes them.

roibench.datasets.yolo_layout tells where all of it lies.
"""

from dataclasses import dataclass
from pathlib import Path

from pycocotools import mask as rle

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData, Box
from roibench.datasets.checked_images import CheckedImage, check_images
from roibench.datasets.images import shared_size
from roibench.datasets.objects import Object, ObjectFiles, Picture, area_of, known_fields, unique_ids
from roibench.datasets.values import brief, read_lines, whole
from roibench.datasets.yolo_layout import Layout, layout_of

CROWDS, IGNORED, AREAS = "crowds", "ignored", "areas"
_LARGEST = 1e30  # what is beyond may leave float32 once it is in pixels


def open_yolo(path: str, split: str, on_bad_data: str = "fail") -> ObjectFiles:
    """Opens a split. Every label file of it is read, and every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out a bad line, or an image
    that can't be read, and warns; "clip" does, too, but clips boxes to their images first. A broken .yaml always fails.
    """
    bad = BadData(on_bad_data)
    layout = layout_of(Path(path))
    files = layout.images(split, bad)
    images = check_images(files, bad)
    reader = _Reader(layout, bad)
    found = [file for file in files if file in images]
    pictures = tuple(
        Picture(id, images[file], reader.read(images[file]))
        for id, file in zip(unique_ids(found, layout.root), found, strict=True)
    )
    problems = bad.settle()
    info = DatasetInfo(
        name=f"yolo:{path}",
        split=split,
        classes=layout.classes,
        joints=layout.joints,
        image_size=shared_size(picture.image.size for picture in pictures),
        fields=known_fields(pictures, layout.joints),
    )
    return ObjectFiles(info, pictures, problems)


@dataclass
class _Reader:
    """Reads label files; bad lines are reported."""

    layout: Layout
    bad: BadData

    def read(self, image: CheckedImage) -> tuple[Object, ...]:
        """All objects of an image: those that count first, in the order of the lines."""
        labels = self.layout.beside(image.file)
        rows = [(labels, {}, *line) for line in self._lines(labels)]
        for folder, kind in ((CROWDS, "crowd"), (IGNORED, "ignored")):
            if (file := self.layout.beside(image.file, folder)) != labels:
                rows += [(file, {kind: True}, *line) for line in self._lines(file)]
        objects = []
        areas = self._areas(self.layout.beside(image.file, AREAS), labels, len(rows))
        for (file, flags, number, line), area in zip(rows, areas, strict=True):
            if (one := self._object(line, number, file, image.size, area)) is not None:
                objects.append(one._replace(**flags))
        return tuple(objects)

    def _lines(self, file: Path) -> list[tuple[int, str]]:
        return read_lines(file, self.bad) if file.is_file() else []

    def _areas(self, file: Path, labels: Path, count: int) -> list[float | None]:
        """One per object, None where it isn't written."""
        if file == labels or not (lines := self._lines(file)):
            return [None] * count
        values = [_numbers(text.split()) for _, text in lines]
        if len(values) != count or not all(one and one[0] >= 0 for one in values):
            self.bad.report(file, f"want an area for each of the {count} objects of {labels.name}")
            return [None] * count
        return [one[0] for one in values]

    def _object(self, line: str, number: int, file: Path, size: tuple[int, int], area: float | None) -> Object | None:
        first, *rest = line.split()
        label, values = whole(first), _numbers(rest)
        if label is None or not 0 <= label < len(self.layout.classes):
            known = f"data has names for 0 to {len(self.layout.classes) - 1}"
            self.bad.report(file, f"class {brief(first)} is unknown: {known}", number)
            return None
        if values is None or (wanted := self._wanted(len(values))):
            text = wanted if values is not None else "finite numbers"
            self.bad.report(file, f"want {text} behind the class, got {brief(' '.join(rest))}", number)
            return None
        height, width = size
        outline = None
        if not self.layout.joints and len(values) > 4:
            points = [value * (height if place % 2 else width) for place, value in enumerate(values)]
            corners = _around(points)
            outline = tuple(min(max(value, 0.0), size[1 - place % 2]) for place, value in enumerate(points))
        else:
            x, y, w, h = values[:4]
            corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        what = f"{self.layout.classes[label]}: {' '.join(rest[:6])}{' ...' if len(rest) > 6 else ''}"
        box = self.bad.fit_box(corners, size, file, what, number)
        if box is None:
            return None
        joints = self._joints(values[4:], size)
        if self.layout.joints and joints is None:
            self.bad.report(file, f"{what}: joints want a visibility of 0, 1 or 2", number)
            return None
        if area is None:
            area = _area_within(outline, size) if outline else area_of(box)
        return Object(box, label, area, outline=outline, joints=joints)

    def _wanted(self, count: int) -> str | None:
        """What a line should have that has so many numbers behind its class; None where it has it."""
        if joints := len(self.layout.joints):
            wanted = 4 + joints * self.layout.joint_values
            return None if count == wanted else f"{wanted} numbers, box and {joints} joints (kpt_shape),"
        if count == 4 or (count >= 6 and count % 2 == 0):
            return None
        return "4 numbers (a box) or 3 or more x y pairs (an outline)"

    def _joints(self, values: list[float], size: tuple[int, int]) -> tuple[float, ...] | None:
        """x, y, visibility, ... in pixels; None where there are none, or impossible ones."""
        if not self.layout.joints:
            return None
        height, width = size
        found = []
        for start in range(0, len(values), self.layout.joint_values):
            x, y, *seen = values[start : start + self.layout.joint_values]
            visibility = seen[0] if seen else 0.0 if min(x, y) < 0 or x == y == 0 else 2.0
            if visibility not in (0, 1, 2):
                return None
            found += [x * width, y * height, visibility]
        return tuple(found)


def _numbers(words: list[str]) -> list[float] | None:
    """None where one is no number, or none that float32 holds."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        return None
    return values if all(abs(value) < _LARGEST for value in values) else None  # NaN isn't


def _around(points: list[float]) -> Box:
    x, y = points[0::2], points[1::2]
    return min(x), min(y), max(x), max(y)


def _area_within(outline: tuple[float, ...], size: tuple[int, int]) -> float:
    """Pixels inside of an outline."""
    return float(rle.area(rle.merge(rle.frPyObjects([list(outline)], *size))))
