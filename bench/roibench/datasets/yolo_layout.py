"""Where the files of a YOLO dataset lie: data.yaml, its splits, and which label file belongs to which image.

PATH is a .yaml file or a folder with data.yaml, dataset.yaml or one other .yaml in it. `names` (a list, or names by
number) are the classes, `train`, `val`, `test` and other keys the splits: a folder of images, a .txt that lists them,
or several of either. They are looked for below `path`, where that exists, else below the file's own folder, there also
without a leading `../`: paths of another machine, and of a download that was moved, are of no use.

Without a .yaml, PATH holds classes.txt (or obj.names), `images` and `labels`; the folders in `images` are splits, and
where there are none all of it opens as `val`, `test` or `all`.

Labels of a/images/b.jpg are in a/labels/b.txt: the last `images` of the path counts. Where there is no such folder they
lie beside the image. An image without a label file has no objects.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from roibench.datasets.bad_data import BadData, BadDataError, Problem
from roibench.datasets.images import files_in, folders_in, images_in
from roibench.datasets.objects import CLASSES, read_classes
from roibench.datasets.values import brief, read_lines, whole

IMAGES, LABELS = "images", "labels"
_YAML = (".yaml", ".yml")
_PREFERRED = ("data.yaml", "dataset.yaml")
_NAMES = (CLASSES, "obj.names", "labels/classes.txt")
_USUAL = ("train", "val", "test", "valid", "validation")
_ALIASES = {"val": ("valid", "validation"), "valid": ("val", "validation"), "validation": ("val", "valid")}
_NO_SPLITS = ("path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "download", "channels")


@dataclass(frozen=True)
class Layout:
    """What data.yaml, or what stands for it, tells.

    root: below which everything lies.
    classes: names, in label order.
    joints: names, in order; () where there are no poses.
    joint_values: per joint, 2 (x, y) or 3 (x, y, visibility).
    splits: what each lists: folders, and .txt files.
    """

    root: Path
    classes: tuple[str, ...]
    joints: tuple[str, ...]
    joint_values: int
    splits: dict[str, tuple[Path, ...]]

    def images(self, split: str, bad: BadData) -> list[Path]:
        """The image files of a split, in order. Raises ValueError where there is no such split.

        Of a folder, label files that no image belongs to are reported.
        """
        found = next((name for name in (split, *_ALIASES.get(split, ())) if name in self.splits), None)
        if found is None:
            raise ValueError(f"{self.root} has no split {split!r}; it has: {', '.join(self.splits) or 'none'}")
        files: dict[Path, None] = {}
        for place in self.splits[found]:
            if place.is_dir():
                inside = list(_images_below(place))
                self._report_strays(inside, bad)
                files |= dict.fromkeys(inside)
            elif place.is_file():
                files |= {_listed(line, place, self.root): None for _, line in read_lines(place, bad)}
            else:
                raise ValueError(f"{self.root} has no split {split!r}: {place} is neither a folder nor a list")
        return list(files)

    def _report_strays(self, images: list[Path], bad: BadData) -> None:
        texts = {image: self.beside(image) for image in images}
        known = set(texts.values())
        for folder in dict.fromkeys(text.parent for image, text in texts.items() if text.parent != image.parent):
            for file in files_in(folder, {".txt"}) if folder.is_dir() else []:
                if file not in known and file.name != CLASSES:
                    bad.report(file, "has no image")

    def beside(self, image: Path, folder: str = LABELS) -> Path:
        """Where the text of an image lies, in `labels` or another folder of that layout."""
        inside = image.relative_to(self.root).parts if image.is_relative_to(self.root) else image.parts
        text = image.with_suffix(".txt")
        if IMAGES not in inside[:-1]:
            return text
        place = len(image.parts) - 1 - inside[::-1].index(IMAGES)
        moved = Path(*image.parts[:place], folder, *text.parts[place + 1 :])
        if folder == LABELS and not Path(*image.parts[:place], LABELS).is_dir():
            return text
        return moved


def layout_of(path: Path) -> Layout:
    """Raises ValueError for what is no YOLO dataset, and BadDataError for a broken .yaml."""
    if path.is_dir():
        if (file := _yaml_in(path)) is not None:
            return _read(file)
        if (names := next((path / name for name in _NAMES if (path / name).is_file()), None)) is not None:
            return _without_yaml(path, names)
        raise ValueError(f"{path} is no YOLO dataset: it has neither data.yaml nor {CLASSES}")
    if path.suffix.lower() in _YAML and path.is_file():
        return _read(path)
    raise ValueError(f"{path} is no YOLO dataset: want a folder or a .yaml file")


def _yaml_in(folder: Path) -> Path | None:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _YAML and file.is_file())
    named = [file for name in _PREFERRED for file in files if file.name == name]
    if not named and len(files) > 1:
        raise ValueError(f"{folder} has several .yaml files; name one: {', '.join(file.name for file in files)}")
    return next(iter(named or files), None)


def _without_yaml(root: Path, names: Path) -> Layout:
    bad = BadData("fail")
    classes = read_classes(names, bad)
    bad.settle()
    top = root / IMAGES if (root / IMAGES).is_dir() else root
    inner = [folder for folder in folders_in(top) if folder.name != LABELS and any(_images_below(folder))]
    splits = {folder.name: (folder,) for folder in inner} or dict.fromkeys(("val", "test", "all"), (top,))
    return Layout(root, classes, (), 0, splits)


def _read(file: Path) -> Layout:
    content = _load(file)
    root = _root(file, content.get("path"))
    classes = _classes(file, content)
    joints, values = _joints(file, content)
    splits = {}
    for key, value in content.items():
        entries = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if key in _NO_SPLITS or not entries or not all(isinstance(one, str) and one for one in entries):
            continue
        places = tuple(_place(one, (root, file.parent)) for one in entries)
        if key in _USUAL or all(place.exists() for place in places):
            splits[key] = places
    return Layout(root, classes, joints, values, splits)


def _load(file: Path) -> dict[str, Any]:
    """All scalars are text: YAML takes `no` for a boolean, and 007 for a number."""
    try:
        content = yaml.load(file.read_bytes(), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        text = getattr(error, "problem", None) or " ".join(str(error).split())
        raise BadDataError((Problem(file, mark and mark.line + 1, f"broken YAML: {text}"),)) from error
    except (OSError, UnicodeError) as error:
        raise BadDataError((Problem(file, None, f"can't be read: {error}"),)) from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is no YOLO dataset: it has no names")
    return content


def _root(file: Path, path: object) -> Path:
    if isinstance(path, str) and path and (file.parent / path).is_dir():
        return file.parent / path
    return file.parent


def _place(text: str, roots: tuple[Path, ...]) -> Path:
    """Where a split lies; where it should, if nowhere."""
    text = text.replace("\\", "/")
    places = [root / one for one in (text, re.sub(r"^(\.\./)+", "", text)) for root in roots]
    return next((place for place in places if place.exists()), places[0])


def _classes(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names, count = content.get("names"), whole(content.get("nc"))
    if not names and count is not None:
        return tuple(f"class {number}" for number in range(count))
    if isinstance(names, dict):
        by_number = {whole(key): name for key, name in names.items()}
        if set(by_number) != set(range(len(names))):
            raise ValueError(f"{file}: names: want one for each number from 0 on, got {brief(list(names))}")
        names = [by_number[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{file}: names: want a list of names, or names by number, got {brief(names)}")
    if count is not None and count != len(names):
        raise ValueError(f"{file}: nc is {count}, but there are {len(names)} names")
    return tuple(names)


def _joints(file: Path, content: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """Names of the joints, and how many values each has."""
    if not (shape := content.get("kpt_shape")):
        return (), 0
    count, values = map(whole, shape) if isinstance(shape, list) and len(shape) == 2 else (None, None)
    if count is None or count < 1 or values not in (2, 3):
        raise ValueError(f"{file}: kpt_shape: want [joints, 2] or [joints, 3], got {brief(shape)}")
    named = content.get("kpt_names")
    if isinstance(named, dict):  # by class, of which each has the same
        named = next(iter(named.values()), None)
    if named is None:
        return tuple(f"joint {number}" for number in range(1, count + 1)), values
    if not isinstance(named, list) or len(named) != count or not all(isinstance(name, str) for name in named):
        raise ValueError(f"{file}: kpt_names: want {count} names, as kpt_shape has joints, got {brief(named)}")
    return tuple(named), values


def _images_below(folder: Path) -> Iterator[Path]:
    yield from images_in(folder)
    for inner in folders_in(folder):
        yield from _images_below(inner)


def _listed(line: str, file: Path, root: Path) -> Path:
    """An image by its line in a list."""
    line = line.replace("\\", "/").removeprefix("./")
    places = [file.parent / line, root / line]
    return next((place for place in places if place.is_file()), places[0])
