"""Images with a label image each: `masks:PATH@SPLIT`. mask_layouts tells which folders hold them: as in SegNet's
CamVid, Pascal VOC or Cityscapes.

A label image has one channel (grey or palette, of any depth), a label's number in every pixel. PATH/classes.txt, where
it exists, names the labels from 0 on, one per line; else VOC and Cityscapes have their own names, and all other numbers
up to the largest in any split are classes that are called by them: CamVid's 12 labels, of which 11 means unlabelled,
are 12 classes then. `background` becomes 0 in the semantic map, and so it should be called; `void`, `unlabelled`,
`unlabeled` and `ignore` become 255, which the metrics leave out; all others are classes, counted without these. 255 is
always void.

Where PATH/label_colors.txt exists, label images are in colours. Each of its lines is a label, "RED GREEN BLUE NAME",
as in CamVid's own; names mean what they mean in classes.txt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData
from roibench.datasets.checked_images import CheckedImage, check_images, check_labels
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import ColourLabels, naming, read_labels, shared_size
from roibench.datasets.mask_layouts import Layout, layout_of
from roibench.datasets.values import read_lines
from roibench.structures import VOID, Target

BACKGROUND = 0  # in Target.semantic_map; a class is its index + 1
VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")


class Labels(NamedTuple):
    """What label images hold. names: of the labels, from 0 on. colours: how they are told, where not by numbers."""

    names: tuple[str, ...]
    colours: ColourLabels | None


def open_masks(path: str, split: str, on_bad_data: str = "fail") -> "Masks":
    """Opens a split. Every photograph and label image is decoded once (of all splits, where nothing names labels).

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" or "clip" leaves out an image that
    can't be read, or whose labels are missing, broken or of another size, and warns. A broken classes.txt or
    label_colors.txt always fails.
    """
    root, bad = Path(path), BadData(on_bad_data)
    layout = layout_of(root)
    if split not in (known := layout.splits() if root.is_dir() else []):
        raise ValueError(
            f"{root} has no split {split!r}, which would be {layout.wants(split)}; it has: {', '.join(known) or 'none'}"
        )
    labels = _labels(layout)
    frames = _read_frames(layout, split, labels.colours, bad)
    values = _map_values(labels.names)
    known_labels = {VOID, *range(len(labels.names))}
    sound = []
    for frame in frames:
        if strange := sorted(frame.labels.pixel_values - known_labels):
            what = f"label {strange[0]} is unknown: names are there for 0 to {len(labels.names) - 1}"
            bad.report(frame.labels.file, what)
        else:
            sound.append(frame)
    problems = bad.settle()
    classes = tuple(name for name, value in zip(labels.names, values, strict=False) if value not in (BACKGROUND, VOID))
    size, fields = shared_size(frame.image.size for frame in sound), frozenset({"semantic_map"})
    info = DatasetInfo(f"masks:{path}", split, classes, image_size=size, fields=fields)
    return Masks(info, tuple(sound), problems, values, labels.colours)


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
    colours: how labels are told, where not by numbers.
    """

    values: tuple[int, ...] = ()
    colours: ColourLabels | None = None

    def target(self, frame: Frame) -> Target:
        read = self.colours or read_labels
        with naming(frame.labels.file):
            labels, _ = read(frame.labels.file.read_bytes())
        return Target(semantic_map=torch.from_numpy(np.array(self.values, np.uint8)[labels]))

    def facts(self, frame: Frame) -> tuple:
        return frame.id, self.values, frame.labels.sha256


def _read_frames(layout: Layout, split: str, colours: ColourLabels | None, bad: BadData) -> list[Frame]:
    """What can be used of a split."""
    pairs = layout.pairs(split, bad)
    images = check_images([one.image for one in pairs], bad)
    labels = check_labels([one.labels for one in pairs if one.image in images], bad, colours or read_labels)
    frames = []
    for one in pairs:
        if one.image not in images or one.labels not in labels:
            continue
        image, found = images[one.image], labels[one.labels]
        if problem := image.size_problem(found.size):
            bad.report(one.labels, problem)
        else:
            frames.append(Frame(one.id, image, found))
    return frames


def _labels(layout: Layout) -> Labels:
    """By label_colors.txt, classes.txt, convention, or the numbers that occur. What is wrong with a file raises
    BadDataError.
    """
    names, colours = layout.root / "classes.txt", layout.root / "label_colors.txt"
    if names.is_file() and colours.is_file():
        raise ValueError(f"{layout.root} has classes.txt and label_colors.txt, which both name the labels: want one")
    if colours.is_file():
        return _read_colours(colours)
    return Labels(_read_names(names) or layout.names or _name_labels(layout), None)


def _read_colours(file: Path) -> Labels:
    bad = BadData("fail")
    found: dict[tuple[int, ...], str] = {}
    for number, line in read_lines(file, bad):
        *written, name = line.split(maxsplit=3)
        if len(written) != 3 or not all(word.isdecimal() and int(word) <= 255 for word in written):
            bad.report(file, f"{line!r}: want three numbers from 0 to 255 and a name", number)
        elif (colour := tuple(map(int, written))) in found:
            bad.report(file, f"has the colour of {found[colour]!r}", number)
        else:
            found[colour] = name
    if not found and not bad.problems:
        bad.report(file, "names no label")
    bad.settle()
    _check_count(file, len(found))
    return Labels(tuple(found.values()), ColourLabels(tuple(found)))


def _read_names(file: Path) -> tuple[str, ...]:
    """The labels' names; none if there is no such file."""
    if not file.is_file():
        return ()
    bad = BadData("fail")
    lines = read_lines(file, bad)
    if gap := next((place for place, (number, _) in enumerate(lines, start=1) if place != number), None):
        bad.report(file, "is empty: the label of this line has no name", gap)
    bad.settle()
    _check_count(file, len(lines))
    return tuple(name for _, name in lines)


def _check_count(file: Path, count: int) -> None:
    if count > VOID:
        raise ValueError(f"{file} names {count} labels; an 8-bit label image with void at {VOID} holds {VOID}")


def _name_labels(layout: Layout) -> tuple[str, ...]:
    """A name for every label up to the largest that any split holds; what can't be read is reported elsewhere."""
    values = (image.pixel_values for image in check_labels(layout.label_files(), BadData("skip")).values())
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
