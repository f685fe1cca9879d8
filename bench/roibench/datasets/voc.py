"""Pascal VOC: a folder with Annotations/ID.xml, JPEGImages/ID.jpg and ImageSets/Main/SPLIT.txt.

VOC counts pixels from 1 and includes both ends, so a box becomes (xmin - 1, ymin - 1, xmax, ymax) in pixel corners. By
that rule xmin = xmax would be one pixel wide; in published data it is a slip of the mouse, and counts as degenerate.
"""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import torch

from roibench.datasets.bad_data import BadData, Problem, box_problem
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import read_size, shared_size
from roibench.structures import Target
from roibench.tasks import DatasetInfo

FIELDS = frozenset({"boxes", "labels", "ignored", "areas"})
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def open_voc(path: str, split: str, on_bad_data: str = "fail") -> "Voc":
    """Opens a split of a VOC folder. Every annotation of the split is read and every image's header looked at.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out a bad box, or an image
    that can't be read or has no annotation, and warns. Images are decoded when asked for.
    """
    root, bad = Path(path), BadData(on_bad_data)
    names = _read_split(root, split)
    annotations = _read_annotations(root, set(names), bad)
    classes = tuple(sorted({name for annotation in annotations.values() for name in annotation.names}))
    photographs = [
        _read_photograph(root, name, annotations[name], classes, bad) for name in names if name in annotations
    ]
    photographs = tuple(photograph for photograph in photographs if photograph is not None)
    problems = bad.settle()
    size = shared_size(photograph.size for photograph in photographs)
    return Voc(DatasetInfo(f"voc:{path}", split, classes, image_size=size, fields=FIELDS), photographs, problems)


class Photograph(NamedTuple):
    """One image of N objects. size: (height, width). boxes: xyxy in pixel corners. labels: into DatasetInfo.classes."""

    id: str
    file: Path
    size: tuple[int, int]
    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[int, ...]
    difficult: tuple[bool, ...]


class Voc(ImageFiles[Photograph]):
    """A split of a VOC folder."""

    def target(self, photograph: Photograph) -> Target:
        boxes = torch.tensor(photograph.boxes, dtype=torch.float32).reshape(-1, 4)
        width_height = boxes[:, 2:] - boxes[:, :2]
        return Target(
            boxes=boxes,
            labels=torch.tensor(photograph.labels, dtype=torch.int64),
            ignored=torch.tensor(photograph.difficult, dtype=torch.bool),
            areas=width_height.prod(dim=1),  # of the box: VOC's detection task knows no outline
        )

    def facts(self, photograph: Photograph) -> tuple:
        return photograph.id, photograph.boxes, photograph.labels, photograph.difficult


class _Thing(NamedTuple):
    """An <object>: its class, its box as written, whether it is difficult, and the line where it starts."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool
    line: int


class _Annotation(NamedTuple):
    """An annotation file. size: (width, height) as written, or None. names: of all objects, also of unusable ones."""

    file: Path
    size: tuple[int, int] | None
    names: frozenset[str]
    things: tuple[_Thing, ...]
    problems: tuple[Problem, ...]


def _read_split(root: Path, split: str) -> list[str]:
    folder = root / "ImageSets" / "Main"
    if not folder.is_dir():
        raise ValueError(f"{root} is no Pascal VOC folder: it has no ImageSets/Main")
    file = folder / f"{split}.txt"
    if not file.is_file():
        known = ", ".join(sorted(other.stem for other in folder.glob("*.txt"))) or "none"
        raise ValueError(f"{root} has no split {split!r}; it has: {known}")
    return _names(file)


def _names(file: Path) -> list[str]:
    """The image names of a split file; what follows a name on its line (VOC's per-class 1 and -1) is not needed."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


def _read_annotations(root: Path, wanted: set[str], bad: BadData) -> dict[str, _Annotation]:
    """The annotations of all splits, for all of them count for the classes; only the wanted ones must exist.

    One that can't be parsed is reported whichever split it is of: it may hold a class that nothing else does.
    """
    annotations = {}
    everything = {name for file in (root / "ImageSets" / "Main").glob("*.txt") for name in _names(file)}
    for name in sorted(everything):
        file = root / "Annotations" / f"{name}.xml"
        try:
            annotations[name] = _parse(file)
        except FileNotFoundError:
            if name in wanted:
                bad.report(file, "missing")
        except OSError as error:
            bad.report(file, f"can't be read: {error.strerror}")
        except expat.ExpatError as error:
            bad.report(file, f"broken XML: {expat.ErrorString(error.code)}", error.lineno)
        else:
            if name in wanted:
                bad.problems += annotations[name].problems
    return annotations


def _parse(file: Path) -> _Annotation:
    root, lines = _parse_xml(file.read_bytes())
    names, things, problems = set(), [], []
    for element in root.findall("object"):
        line = lines[element]
        name = (element.findtext("name") or "").strip()
        if not name:
            problems.append(Problem(file, line, "object without a name"))
            continue
        names.add(name)
        corners = [element.findtext(f"bndbox/{side}") for side in _SIDES]
        try:
            x1, y1, x2, y2 = map(float, corners)
        except (TypeError, ValueError):
            written = ", ".join(f"{side}={text}" for side, text in zip(_SIDES, corners, strict=True))
            problems.append(Problem(file, line, f"{name}: box without four numbers: {written}"))
            continue
        difficult = (element.findtext("difficult") or "0").strip() == "1"
        things.append(_Thing(name, (x1, y1, x2, y2), difficult, line))
    try:
        size = int(root.findtext("size/width") or 0), int(root.findtext("size/height") or 0)
    except ValueError:
        size = (0, 0)
    return _Annotation(file, size if all(size) else None, frozenset(names), tuple(things), tuple(problems))


def _parse_xml(data: bytes) -> tuple[Element, dict[Element, int]]:
    """The document, and the line where each element starts, which ElementTree's own parser doesn't tell."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    lines: dict[Element, int] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close(), lines


def _read_photograph(
    root: Path, name: str, annotation: _Annotation, classes: tuple[str, ...], bad: BadData
) -> Photograph | None:
    """The image of an annotation with those boxes that are sound; None if there is no such image."""
    folder = root / "JPEGImages"
    places = [folder / (name + suffix) for suffix in _SUFFIXES]
    file = next((place for place in places if place.is_file()), places[0])
    size = read_size(file, bad)
    if size is None:
        return None
    height, width = size
    if annotation.size not in (None, (width, height)):
        said = "x".join(map(str, annotation.size))
        bad.report(annotation.file, f"says that the image has {said} pixels; it has {width}x{height}")
        return None
    sound = []
    for thing in annotation.things:
        x1, y1, x2, y2 = thing.corners
        problem = "degenerate" if x1 == x2 or y1 == y2 else box_problem((x1 - 1, y1 - 1, x2, y2), width, height)
        if problem:
            bad.report(annotation.file, f"{thing.name}: box {thing.corners} is {problem}", thing.line)
        else:
            sound.append((thing, (x1 - 1, y1 - 1, x2, y2)))
    return Photograph(
        name,
        file,
        size,
        tuple(box for _, box in sound),
        tuple(classes.index(thing.name) for thing, _ in sound),
        tuple(thing.difficult for thing, _ in sound),
    )
