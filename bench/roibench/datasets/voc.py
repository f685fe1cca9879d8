"""Pascal VOC: a folder with Annotations/ID.xml, JPEGImages/ID.jpg and ImageSets/Main/SPLIT.txt, or less of it.

Public sets differ from that. What opens, of a folder PATH:

- PATH/ImageSets/Main/SPLIT.txt lists a split's names, one per line; a name may have spaces, and VOC's per-class lists
  have -1, 0 or 1 behind it. Their annotations lie in Annotations (or annotations).
- Without ImageSets/Main, the folders in PATH that hold XML files are splits, of all their XML files.
- Where there are none either, or they are called Annotations or annotations, all XML files, in there or in PATH, are
  one split: it opens as `val` (what a model is scored on), `test` or `all`, never as `train`.

An image lies in PATH/JPEGImages, PATH/images, beside its XML file or in PATH, under the XML file's name; else under the
<filename> that this gives, in the same folders or in PATH/<folder>.

VOC counts pixels from 1 and includes both ends, so a box becomes (xmin - 1, ymin - 1, xmax, ymax) in pixel corners. By
that rule xmin = xmax would be one pixel wide; in published data it is a slip of the mouse, and counts as degenerate. A
file that counts from 0 is off by one pixel, which is accepted at the border as anywhere.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData, Box, Problem
from roibench.datasets.checked_images import CheckedImage, check_images
from roibench.datasets.folders import check_undivided
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import files_in, folders_in, images_in, shared_size
from roibench.datasets.values import brief, decode_xml, flag, read_lines, whole
from roibench.structures import Target

FIELDS = frozenset({"boxes", "labels", "ignored", "areas"})
_ANNOTATIONS = ("Annotations", "annotations")
_IMAGES = ("JPEGImages", "images")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def open_voc(path: str, split: str, on_bad_data: str = "fail") -> "Voc":
    """Opens a split of a VOC folder. Every annotation of the split is read, and every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out a bad box, or an image
    that can't be read or has no annotation, and warns; "clip" does, too, but clips boxes to their images first.
    """
    root, bad = Path(path), BadData(on_bad_data)
    files, others = _find(root, split, bad)
    annotations = _read_annotations(set(files.values()), others, bad)
    classes = tuple(sorted({name for annotation in annotations.values() for name in annotation.names}))
    found = [(name, annotations[file]) for name, file in files.items() if file in annotations]
    indexes: dict[Path, Mapping[str, Path]] = {}
    places = [_locate(root, name, annotation, indexes) for name, annotation in found]
    images = check_images(places, bad)
    photographs = []
    for (name, annotation), place in zip(found, places, strict=True):
        if (image := images.get(place)) is None:
            continue
        if annotation.size is not None and (problem := image.size_problem(annotation.size)):
            bad.report(annotation.file, problem)
        else:
            photographs.append(_photograph(name, annotation, image, classes, bad))
    problems = bad.settle()
    size = shared_size(photograph.image.size for photograph in photographs)
    return Voc(DatasetInfo(f"voc:{path}", split, classes, image_size=size, fields=FIELDS), tuple(photographs), problems)


class Photograph(NamedTuple):
    """One image of N objects.

    id: its name in the split.
    image: its file.
    boxes: xyxy in pixel corners.
    labels: into DatasetInfo.classes.
    difficult: which objects VOC neither requires nor counts as wrong.
    """

    id: str
    image: CheckedImage
    boxes: tuple[Box, ...]
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


class _Object(NamedTuple):
    """An <object>.

    name: of its class.
    corners: its box as written.
    difficult: whether it is.
    line: where it starts.
    """

    name: str
    corners: Box
    difficult: bool
    line: int


class _Annotation(NamedTuple):
    """An annotation file.

    file: where it lies.
    size: (height, width), text where it isn't a number; None without a size.
    filename: the image's, or nothing.
    folder: the image's, or nothing.
    names: of all objects' classes, also of unusable ones.
    objects: those that can be used.
    problems: what is wrong with the others.
    """

    file: Path
    size: tuple[int | str | None, int | str | None] | None
    filename: str
    folder: str
    names: frozenset[str]
    objects: tuple[_Object, ...]
    problems: tuple[Problem, ...]


def _find(root: Path, split: str, bad: BadData) -> tuple[dict[str, Path], set[Path]]:
    """The annotation files of the split by their images' names, and those of all other splits; some may be missing."""
    if not root.is_dir():
        raise ValueError(f"{root} is no Pascal VOC folder: no such folder")
    lists = root / "ImageSets" / "Main"
    if lists.is_dir():
        return _listed(root, lists, split, bad)
    splits = {folder.name: found for folder in folders_in(root) if (found := files_in(folder, {".xml"}))}
    for name in _ANNOTATIONS:
        if name in splits:
            return _undivided(root, split, splits[name])
    if beside := files_in(root, {".xml"}):
        return _undivided(root, split, beside)
    if not splits:
        raise ValueError(f"{root} is no Pascal VOC folder: it has neither ImageSets/Main nor XML files")
    if split not in splits:
        raise ValueError(f"{root} has no split {split!r}; it has: {', '.join(sorted(splits))}")
    own = {file.stem: file for file in splits.pop(split)}
    return own, set().union(*splits.values())


def _undivided(root: Path, split: str, files: list[Path]) -> tuple[dict[str, Path], set[Path]]:
    check_undivided(root, split)
    return {file.stem: file for file in files}, set()


def _listed(root: Path, lists: Path, split: str, bad: BadData) -> tuple[dict[str, Path], set[Path]]:
    files = {file.stem: file for file in files_in(lists, {".txt"})}
    if split not in files:
        raise ValueError(f"{root} has no split {split!r}; it has: {', '.join(files) or 'none'}")
    folder = next((root / name for name in _ANNOTATIONS if (root / name).is_dir()), root / _ANNOTATIONS[0])
    there = {file.stem for file in files_in(folder, {".xml"})} if folder.is_dir() else set()
    found = {
        listed: {name: folder / f"{name}.xml" for name in (_name(line, there) for _, line in read_lines(file, bad))}
        for listed, file in files.items()
    }
    own = found.pop(split)
    return own, {file for others in found.values() for file in others.values()} - set(own.values())


def _name(line: str, there: set[str]) -> str:
    """The name on a line of a list; what VOC's per-class lists have behind it (1, -1 or 0) is not needed."""
    per_class = re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line)
    return per_class[1] if per_class and line not in there else line


def _read_annotations(own: set[Path], others: set[Path], bad: BadData) -> dict[Path, _Annotation]:
    """The annotations of all splits, for all of them count for the classes; only the split's own must exist.

    One that can't be parsed is reported whichever split it is of: it may hold a class that nothing else does.
    """
    annotations = {}
    for file in sorted(own | others):
        try:
            annotations[file] = _parse(file)
        except FileNotFoundError:
            if file in own:
                bad.report(file, "missing")
        except OSError as error:
            bad.report(file, f"can't be read: {error.strerror}")
        except expat.ExpatError as error:
            bad.report(file, f"broken XML: {expat.ErrorString(error.code)}", error.lineno)
        except ValueError as error:
            bad.report(file, f"can't be read: {error}")
        else:
            if file in own:
                bad.problems += annotations[file].problems
    return annotations


def _parse(file: Path) -> _Annotation:
    root, lines = _parse_xml(decode_xml(file.read_bytes()))
    names, objects, problems = set(), [], []
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
        difficult = flag(element.findtext("difficult") or "")
        if difficult is None:
            written = brief(element.findtext("difficult"))
            problems.append(Problem(file, line, f"{name}: difficult {written} is neither yes nor no"))
            continue
        objects.append(_Object(name, (x1, y1, x2, y2), difficult, line))
    written = [(root.findtext(f"size/{side}") or "0").strip() for side in ("height", "width")]
    height, width = (text if whole(text) is None else whole(text) for text in written)
    filename, folder = ((root.findtext(tag) or "").strip() for tag in ("filename", "folder"))
    size = (height, width) if height and width else None
    return _Annotation(file, size, filename, folder, frozenset(names), tuple(objects), tuple(problems))


def _parse_xml(text: str) -> tuple[Element, dict[Element, int]]:
    """The document, and the line where each element starts, which ElementTree's own parser doesn't tell."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    lines: dict[Element, int] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close(), lines


def _locate(root: Path, name: str, annotation: _Annotation, indexes: dict[Path, Mapping[str, Path]]) -> Path:
    """Where an annotation's image lies; where it should, if it lies nowhere. indexes: images by stem, per folder."""
    inner, stem = Path(name).parent, Path(name).name
    folders = [*(root / images / inner for images in _IMAGES), annotation.file.parent, root]
    for folder in folders:
        if folder not in indexes:
            files = images_in(folder) if folder.is_dir() else []
            indexes[folder] = {file.stem: file for file in reversed(files)}
        if stem in indexes[folder]:
            return indexes[folder][stem]
    filename = Path(annotation.filename.replace("\\", "/")).name
    places = [folder / filename for folder in (*folders, root / annotation.folder)] if filename else []
    expected = next((folder for folder in folders if folder.is_dir()), folders[0]) / f"{stem}.jpg"
    return next((place for place in places if os.path.isfile(place)), expected)  # noqa: PTH113 - false for any name


def _photograph(
    name: str, annotation: _Annotation, image: CheckedImage, classes: tuple[str, ...], bad: BadData
) -> Photograph:
    """An image with those boxes of its annotation that are sound."""
    sound = []
    for one in annotation.objects:
        x1, y1, x2, y2 = one.corners
        what = f"{one.name}: box {one.corners}"
        if x1 == x2 or y1 == y2:
            bad.report(annotation.file, f"{what} is degenerate", one.line)
        elif box := bad.fit_box((x1 - 1, y1 - 1, x2, y2), image.size, annotation.file, what, one.line):
            sound.append((one, box))
    return Photograph(
        name,
        image,
        tuple(box for _, box in sound),
        tuple(classes.index(one.name) for one, _ in sound),
        tuple(one.difficult for one, _ in sound),
    )
