"""Images in a folder per class, as torchvision's ImageFolder reads them: `folders:PATH@SPLIT`.

PATH/SPLIT/CLASS/*.jpg (or .png, .bmp, .webp, ...). The classes are the folders' names in all splits together, sorted,
so that a label means the same in each; an empty folder is a class, too. PATH/CLASS/*.jpg has no splits: all of it opens
as `val` (what a model is scored on), `test` or `all`, never as `train`, lest a model be scored on what it has learnt
from. Files of other kinds, dotfiles and what systems leave behind (__MACOSX, @eaDir, ...) don't count.
"""

from pathlib import Path
from typing import NamedTuple

from roibench.dataset import DatasetInfo
from roibench.datasets.bad_data import BadData
from roibench.datasets.checked_images import CheckedImage, check_images
from roibench.datasets.image_files import ImageFiles
from roibench.datasets.images import folders_in, images_in, shared_size
from roibench.structures import Target

_UNDIVIDED = ("val", "test", "all")


def check_undivided(root: Path, split: str) -> None:
    """Raises ValueError for a split as which a folder without splits doesn't open."""
    if split not in _UNDIVIDED:
        raise ValueError(f"{root} is not divided into splits: it opens as {', '.join(_UNDIVIDED)}, not as {split!r}")


def open_folders(path: str, split: str, on_bad_data: str = "fail") -> "Folders":
    """Opens a split, or a folder without splits. Every image is decoded once.

    on_bad_data: "fail" raises BadDataError, which lists all that is wrong; "skip" or "clip" leaves out an image that
    can't be read or lies in no class, and warns.
    """
    bad = BadData(on_bad_data)
    folder, classes = _find(Path(path), split)
    for stray in images_in(folder):
        bad.report(stray, "lies in no class's folder")
    labels = {}
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue  # a class of another split
        for deeper in folders_in(folder / name):
            bad.report(deeper, f"a folder within the class {name}: its images would be left out")
        labels |= dict.fromkeys(images_in(folder / name), label)
    images = check_images(labels, bad)
    pictures = [Picture(f"{classes[labels[file]]}/{file.name}", image, labels[file]) for file, image in images.items()]
    problems = bad.settle()
    size, fields = shared_size(picture.image.size for picture in pictures), frozenset({"image_label"})
    info = DatasetInfo(f"folders:{path}", split, classes, image_size=size, fields=fields)
    return Folders(info, tuple(pictures), problems)


class Picture(NamedTuple):
    """An image file.

    id: CLASS/FILE, for a file's name alone may be in every class.
    image: the file.
    label: index of the class.
    """

    id: str
    image: CheckedImage
    label: int


class Folders(ImageFiles[Picture]):
    """A split, or a folder without splits."""

    def target(self, picture: Picture) -> Target:
        return Target(image_label=picture.label)

    def facts(self, picture: Picture) -> tuple:
        return picture.id, picture.label


def _find(root: Path, split: str) -> tuple[Path, tuple[str, ...]]:
    """The folder that holds the split's class folders, and the classes of all splits."""
    tops = folders_in(root) if root.is_dir() else []
    if not tops:
        raise ValueError(f"{root} holds no folders: want {root}/SPLIT/CLASS or {root}/CLASS")
    splits = {top.name: {folder.name for folder in folders_in(top)} for top in tops}
    if not any(splits.values()):
        check_undivided(root, split)
        return root, tuple(splits)
    if split not in splits:
        raise ValueError(f"{root} has no split {split!r}; it has: {', '.join(splits)}")
    return root / split, tuple(sorted(set().union(*splits.values())))
