"""Images with a label image each, as SegNet's CamVid lays them out: `masks:PATH@SPLIT`.

PATH/SPLIT/NAME.png (or .jpg, ...) is the photograph and PATH/SPLITannot/NAME.png its labels: one channel (grey or
palette, of any depth), a label's number in every pixel. PATH/SPLIT.txt, where it exists, lists the split, one image per
line (of a path only the last part counts, of two paths the first); else it is all that the folder holds.

PATH/classes.txt, where it exists, names the labels from 0 on, one per line. `background` becomes 0 in the semantic map,
and so it should be called; `void`, `unlabelled`, `unlabeled` and `ignore` become 255, which the metrics leave out; all
others are classes, counted without these. Without classes.txt every number up to the largest in any split is a class
that is called by it: CamVid's 12 labels, of which 11 means unlabelled, are 12 classes then. 255 is always void.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData
from roibench.datasets.checked_images import CheckedImage, check_images, check_labels
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import SUFFIXES, files_in, folders_in, images_in, naming, read_labels, shared_size
from roibench.datasets.values import read_lines
from roibench.structures import VOID, Target

BACKGROUND = 0  # in Target.semantic_map; a class is its index + 1
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")
# A line of a list: a path, or that of an image and that of its labels.
_LISTED = re.compile(rf"(.+?)(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))})(?:\s.*)?", re.IGNORECASE)


def open_masks(path: str, split: str, on_bad_data: str = "fail") -> "Masks":
    """Opens a split. Every photograph and label image is decoded once (without classes.txt, labels of all splits).

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" or "clip" leaves out an image that
    can't be read, or whose labels are missing, broken or of another size, and warns. A broken classes.txt always fails.
    """
    root, bad = Path(path), BadData(on_bad_data)
    frames = _read_frames(root, split, bad)
    names = _read_names(root / "classes.txt") or _name_labels(root)
    values = _map_values(names)
    known = {VOID, *range(len(names))}
    sound = []
    for frame in frames:
        if strange := sorted(frame.labels.pixel_values - known):
            what = f"label {strange[0]} is unknown: classes.txt names 0 to {len(names) - 1}"
            bad.report(frame.labels.file, what)
        else:
            sound.append(frame)
    problems = bad.settle()
    classes = tuple(name for name, value in zip(names, values, strict=False) if value not in (BACKGROUND, VOID))
    size, fields = shared_size(frame.image.size for frame in sound), frozenset({"semantic_map"})
    info = DatasetInfo(f"masks:{path}", split, classes, image_size=size, fields=fields)
    return Masks(info, tuple(sound), problems, values)


class Frame(NamedTuple):
    """A photograph with its label image.

    id: the files' common name.
    image: the photograph.
    labels: the label image.
    """

    id: str
    image: CheckedImage
    labels: CheckedImage


@dataclass(frozen=True)
class Masks(ImageFiles[Frame]):
    """A split of photographs and label images.

    values: label -> value in the semantic map.
    """

    values: tuple[int, ...] = ()

    def target(self, frame: Frame) -> Target:
        with naming(frame.labels.file):
            labels, _ = read_labels(frame.labels.file.read_bytes())
        return Target(semantic_map=torch.from_numpy(np.array(self.values, np.uint8)[labels]))

    def facts(self, frame: Frame) -> tuple:
        return frame.id, self.values, frame.labels.sha256


def _read_frames(root: Path, split: str, bad: BadData) -> list[Frame]:
    """What can be used of a split."""
    folder, listing = root / split, root / f"{split}.txt"
    if not folder.is_dir() or not _annotations(root, split).is_dir():
        known = _splits(root) if root.is_dir() else []
        raise ValueError(
            f"{root} has no split {split!r}, which would be the folders {split} and {split}annot; "
            f"it has: {', '.join(known) or 'none'}"
        )
    there = {file.stem: file for file in reversed(images_in(folder))}
    names = [_name(line) for _, line in read_lines(listing, bad)] if listing.is_file() else sorted(there)
    photographs = {name: there.get(name, folder / f"{name}.png") for name in names}
    images = check_images(photographs.values(), bad)
    label_files = {name: _annotations(root, split) / f"{name}.png" for name in names if photographs[name] in images}
    labels = check_labels(label_files.values(), bad)
    frames = []
    for name, file in label_files.items():
        image = images[photographs[name]]
        if file not in labels:
            continue
        if problem := image.size_problem(labels[file].size):
            bad.report(file, problem)
        else:
            frames.append(Frame(name, image, labels[file]))
    return frames


def _name(line: str) -> str:
    listed = _LISTED.fullmatch(line)
    return Path(listed[1] if listed else line).name


def _annotations(root: Path, split: str) -> Path:
    return root / f"{split}annot"


def _splits(root: Path) -> list[str]:
    return [folder.name for folder in folders_in(root) if _annotations(root, folder.name).is_dir()]


def _read_names(file: Path) -> tuple[str, ...]:
    """The labels' names; none if there is no such file. What is wrong with it raises BadDataError."""
    if not file.is_file():
        return ()
    bad = BadData("fail")
    lines = read_lines(file, bad)
    if gap := next((place for place, (number, _) in enumerate(lines, start=1) if place != number), None):
        bad.report(file, "is empty: the label of this line has no name", gap)
    bad.settle()
    if len(lines) > VOID:
        raise ValueError(f"{file} names {len(lines)} labels; an 8-bit label image with void at {VOID} holds {VOID}")
    return tuple(name for _, name in lines)


def _name_labels(root: Path) -> tuple[str, ...]:
    """A name for every label up to the largest that any split holds; what can't be read is reported elsewhere."""
    files = [file for split in _splits(root) for file in files_in(_annotations(root, split), {".png"})]
    values = (image.pixel_values for image in check_labels(files, BadData("skip")).values())
    return tuple(map(str, range(max(set().union(*values) - {VOID}, default=-1) + 1)))


def _map_values(names: tuple[str, ...]) -> tuple[int, ...]:
    """The semantic map's value for each of the 256 labels that a pixel can hold."""
    values = [VOID] * 256
    classes = 0
    for label, name in enumerate(names):
        if name == "background":
            values[label] = BACKGROUND
        elif name not in VOID_NAMES:
            classes += 1
            values[label] = classes
    if classes >= VOID:
        raise ValueError(f"{classes} classes: a semantic map holds {VOID - 1} beside background and void")
    return tuple(values)
