"""Images with a label image each, as SegNet's CamVid lays them out: `masks:PATH@SPLIT`.

PATH/SPLIT/NAME.png (or .jpg) is the photograph and PATH/SPLITannot/NAME.png its labels: one 8-bit channel (grey or
palette), a label's number in every pixel. PATH/SPLIT.txt, where it exists, lists the split, one image per line (of a
path only the last part counts, of a line only the first word); else it is all that the folder holds.

PATH/classes.txt, where it exists, names the labels from 0 on, one per line. `background` becomes 0 in the semantic map,
and so it should be called; `void`, `unlabelled`, `unlabeled` and `ignore` become 255, which the metrics leave out; all
others are classes, counted without these. Without classes.txt every number up to the largest in any split is a class
that is called by it: CamVid's 12 labels, of which 11 means unlabelled, are 12 classes then. 255 is always void.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from roibench.datasets.bad_data import BadData, BadDataError, Problem
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import images_in, read_size, shared_size
from roibench.files import file_hash
from roibench.structures import Target
from roibench.tasks import DatasetInfo

BACKGROUND, VOID = 0, 255  # in Target.semantic_map; a class is its index + 1
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")
_MODES = ("L", "P", "1")  # Pillow's names for grey, palette and black and white


def open_masks(path: str, split: str, on_bad_data: str = "fail") -> "Masks":
    """Opens a split. Every label image of the split is read (of all splits without classes.txt), photographs' headers.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" leaves out an image that can't be
    read, or whose labels are missing, broken or of another size, and warns. Images are decoded when asked for.
    """
    root, bad = Path(path), BadData(on_bad_data)
    names = _read_split(root, split)
    frames = [_read_frame(root, split, name, bad) for name in names]
    frames = [frame for frame in frames if frame is not None]
    labels = _read_names(root / "classes.txt") or _numbers(root)
    values = _map_values(labels)
    known = {VOID, *range(len(labels))}
    sound = []
    for frame in frames:
        if strange := sorted(frame.values - known):
            bad.report(frame.labels, f"label {strange[0]} is unknown: classes.txt names 0 to {len(labels) - 1}")
        else:
            sound.append(frame)
    problems = bad.settle()
    classes = tuple(label for label, value in zip(labels, values, strict=False) if value not in (BACKGROUND, VOID))
    size, fields = shared_size(frame.size for frame in sound), frozenset({"semantic_map"})
    info = DatasetInfo(f"masks:{path}", split, classes, image_size=size, fields=fields)
    return Masks(info, tuple(sound), problems, values)


class Frame(NamedTuple):
    """A photograph's file with its label image. size: (height, width). values: the label numbers in it."""

    id: str
    file: Path
    labels: Path
    size: tuple[int, int]
    values: frozenset[int]


@dataclass(frozen=True)
class Masks(ImageFiles[Frame]):
    """A split of photographs and label images. values: label number -> semantic map."""

    values: tuple[int, ...] = ()

    def target(self, frame: Frame) -> Target:
        with Image.open(frame.labels) as image:
            numbers = np.array(image, dtype=np.uint8)
        return Target(semantic_map=torch.from_numpy(np.array(self.values, np.uint8)[numbers]))

    def facts(self, frame: Frame) -> tuple:
        return frame.id, self.values, file_hash(frame.labels)


def _read_split(root: Path, split: str) -> list[str]:
    """The names of the split's images, without suffixes."""
    folder, listing = root / split, root / f"{split}.txt"
    if not folder.is_dir() or not _annotations(root, split).is_dir():
        known = sorted(_splits(root)) if root.is_dir() else []
        raise ValueError(
            f"{root} has no split {split!r}, which would be the folders {split} and {split}annot; "
            f"it has: {', '.join(known) or 'none'}"
        )
    if listing.is_file():
        lines = listing.read_text(encoding="utf-8").splitlines()
        return list(dict.fromkeys(Path(line.split()[0]).stem for line in lines if line.strip()))
    return list(dict.fromkeys(file.stem for file in images_in(folder)))


def _annotations(root: Path, split: str) -> Path:
    return root / f"{split}annot"


def _splits(root: Path) -> Iterator[str]:
    return (folder.name for folder in root.iterdir() if folder.is_dir() and _annotations(root, folder.name).is_dir())


def _read_frame(root: Path, split: str, name: str, bad: BadData) -> Frame | None:
    """None, and a report, if a file is missing, can't be read or doesn't fit the other."""
    labels = _annotations(root, split) / f"{name}.png"
    suffixes = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
    places = [root / split / (name + suffix) for suffix in suffixes]
    photograph = next((place for place in places if place.is_file()), places[0])
    size = read_size(photograph, bad)
    if size is None:
        return None
    try:
        label_size, values = _read_labels(labels)
    except BadDataError as error:
        bad.problems += error.problems
        return None
    if label_size != size:
        said, found = (f"{width}x{height}" for height, width in (label_size, size))
        bad.report(labels, f"has {said} pixels; the image has {found}")
        return None
    return Frame(name, photograph, labels, size, values)


def _read_labels(file: Path) -> tuple[tuple[int, int], frozenset[int]]:
    """(height, width) and the numbers in a label image."""
    what = None
    try:
        with Image.open(file) as image:
            if image.mode in _MODES:
                return (image.height, image.width), frozenset(np.unique(np.array(image, dtype=np.uint8)).tolist())
            what = f"is {image.mode}: labels want one 8-bit channel with a label's number in every pixel"
    except FileNotFoundError:
        what = "missing"
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        what = f"can't be read: {error}"
    raise BadDataError((Problem(file, None, what),))


def _read_names(file: Path) -> tuple[str, ...]:
    """The labels' names; none if there is no such file."""
    if not file.is_file():
        return ()
    names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    if len(names) > VOID:
        raise ValueError(f"{file} names {len(names)} labels; an 8-bit label image with void at 255 holds {VOID}")
    return names


def _numbers(root: Path) -> tuple[str, ...]:
    """A name for every number up to the largest that any split holds; what can't be read is reported elsewhere."""
    largest = -1
    for split in _splits(root):
        for file in images_in(_annotations(root, split)):
            try:
                _, values = _read_labels(file)
            except BadDataError:
                continue
            largest = max(largest, -1, *(values - {VOID}))
    return tuple(map(str, range(largest + 1)))


def _map_values(labels: tuple[str, ...]) -> tuple[int, ...]:
    """The semantic map's value for each of the 256 numbers that a pixel can hold."""
    values = [VOID] * 256
    classes = 0
    for number, label in enumerate(labels):
        if label == "background":
            values[number] = BACKGROUND
        elif label not in VOID_NAMES:
            classes += 1
            values[number] = classes
    if classes >= VOID:
        raise ValueError(f"{classes} classes: a semantic map holds {VOID - 1} beside background and void")
    return tuple(values)
