"""Where folders of photographs and label images keep what: SegNet's, Pascal VOC's and Cityscapes' ways.

- SegNet (CamVid): SPLIT/NAME.png (or .jpg, ...) and SPLITannot/NAME.png; SPLIT.txt, where it exists, lists the split.
- VOC: JPEGImages/NAME.jpg and SegmentationClass/NAME.png; ImageSets/Segmentation/SPLIT.txt lists it.
- Cityscapes: leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png and gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roibench.datasets.bad_data import BadData
from roibench.datasets.images import SUFFIXES, files_in, folders_in, images_in
from roibench.datasets.values import read_lines

# A line of a list: a path, or that of an image and that of its labels.
_LISTED = re.compile(rf"(.+?)(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))})(?:\s.*)?", re.IGNORECASE)


class Pair(NamedTuple):
    """id: the files' common name. image, labels: the files, which need not exist."""

    id: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class Layout:
    """SegNet's. names: of the labels, from 0 on, by convention; none where numbers have no meaning of their own."""

    root: Path
    names: tuple[str, ...] = ()

    def splits(self) -> list[str]:
        return [one.name for one in folders_in(self.root) if self.labels(one.name).is_dir()]

    def pairs(self, split: str, bad: BadData) -> list[Pair]:
        """What a split lists, or holds."""
        folder = self.root / split
        names = listed(self.root / f"{split}.txt", bad)
        there = {file.stem: file for file in reversed(images_in(folder))}
        return [
            Pair(name, there.get(name, folder / f"{name}.png"), self.labels(split) / f"{name}.png")
            for name in (sorted(there) if names is None else names)
        ]

    def labels(self, split: str) -> Path:
        return self.root / f"{split}annot"

    def label_files(self) -> Iterator[Path]:
        """Of all splits."""
        for split in self.splits():
            yield from files_in(self.labels(split), {".png"})

    def wants(self, split: str) -> str:
        """The folders or files that would be such a split."""
        return f"the folders {split} and {split}annot"


class VOCLayout(Layout):
    def splits(self) -> list[str]:
        lists = self.root / "ImageSets" / "Segmentation"
        return [file.stem for file in files_in(lists, {".txt"})] if lists.is_dir() else []

    def pairs(self, split: str, bad: BadData) -> list[Pair]:
        names = listed(self.root / "ImageSets" / "Segmentation" / f"{split}.txt", bad)
        there = {file.stem: file for file in reversed(images_in(self.root / "JPEGImages"))}
        return [
            Pair(
                name,
                there.get(name, self.root / "JPEGImages" / f"{name}.jpg"),
                self.root / "SegmentationClass" / f"{name}.png",
            )
            for name in names or ()
        ]

    def label_files(self) -> Iterator[Path]:
        yield from files_in(self.root / "SegmentationClass", {".png"})

    def wants(self, split: str) -> str:
        return f"the file ImageSets/Segmentation/{split}.txt"


class CityscapesLayout(Layout):
    def splits(self) -> list[str]:
        return [folder.name for folder in folders_in(self.root / "leftImg8bit")]

    def pairs(self, split: str, bad: BadData) -> list[Pair]:
        pairs = []
        for city in folders_in(self.root / "leftImg8bit" / split):
            for image in images_in(city):
                name = image.stem.removesuffix("_leftImg8bit")
                labels = self.root / "gtFine" / split / city.name / f"{name}_gtFine_labelIds.png"
                pairs.append(Pair(name, image, labels))
        return pairs

    def label_files(self) -> Iterator[Path]:
        yield from (self.root / "gtFine").glob("*/*/*_gtFine_labelIds.png")

    def wants(self, split: str) -> str:
        return f"the folder leftImg8bit/{split}"


def layout_of(root: Path) -> Layout:
    if (root / "SegmentationClass").is_dir() and (root / "JPEGImages").is_dir():
        return VOCLayout(root, VOC_NAMES)
    if (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir():
        return CityscapesLayout(root, CITYSCAPES_NAMES)
    return Layout(root)


def listed(file: Path, bad: BadData) -> list[str] | None:
    """The names in a list, one image per line (of a path only the last part counts, of two paths the first), each once;
    None where there is no such file.
    """
    if not file.is_file():
        return None
    matches = [(line, _LISTED.fullmatch(line)) for _, line in read_lines(file, bad)]
    return list(dict.fromkeys(Path(match[1] if match else line).name for line, match in matches))


VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# Of 34 labels, those that its benchmark scores; the others are void.
CITYSCAPES_NAMES = (
    *["void"] * 7,
    *("road", "sidewalk", "void", "void", "building", "wall", "fence", "void", "void", "void", "pole", "void"),
    *("traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus"),
    *("void", "void", "train", "motorcycle", "bicycle"),
)
