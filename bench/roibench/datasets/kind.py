"""Which adapter reads what lies at a path: for who asks what a folder holds before knowing its format."""

import re
from pathlib import Path

from roibench.datasets.images import files_in, folders_in, images_in
from roibench.datasets.objects import CLASSES
from roibench.datasets.reference import DatasetRef
from roibench.registry import Registry

_FILES = {".json": "coco", ".csv": "csv", ".yaml": "yolo", ".yml": "yolo"}


def reference_to(text: str, registry: Registry) -> str:
    """The dataset as open_dataset wants it: PATH and PATH@SPLIT get their kind, all else is returned as it is.

    Raises ValueError for a path at which no known format is seen.
    """
    if DatasetRef.parse(text).name in registry.datasets:
        return text
    path, split = re.fullmatch(r"(.+?)(@\w+)?", text).groups(default="")
    if Path(text).exists():
        path, split = text, ""
    if not Path(path).exists():
        return text
    return f"{kind_of(Path(path))}:{path}{split}"


def kind_of(path: Path) -> str:
    """The kind of dataset, by the files that tell it. Raises ValueError where none does."""
    if path.is_file():
        found = _FILES.get(path.suffix.lower())
    else:
        found = next((kind for kind, is_there in _SIGNS if is_there(path)), None)
    if found is None:
        raise ValueError(f"{path}: no format is seen there; name it: voc:{path}, coco:{path}, folders:{path}, ...")
    return found


def _has(folder: Path, *suffixes: str) -> bool:
    """Files of a kind, in there or one folder below."""
    return any(files_in(one, set(suffixes)) for one in (folder, *folders_in(folder)))


def _is_yolo(folder: Path) -> bool:
    return bool(files_in(folder, {".yaml", ".yml"})) or ((folder / CLASSES).is_file() and (folder / "labels").is_dir())


def _is_masks(folder: Path) -> bool:
    named = any((folder / name).is_dir() for name in ("SegmentationClass", "gtFine"))
    return named or any(inner.name.endswith("annot") for inner in folders_in(folder))


def _is_folders(folder: Path) -> bool:
    below = [inner for top in folders_in(folder) for inner in (top, *folders_in(top))]
    return any(images_in(inner) for inner in below)


_SIGNS = (
    ("coco", lambda folder: (folder / "annotations").is_dir() and bool(files_in(folder / "annotations", {".json"}))),
    ("yolo", _is_yolo),
    ("voc", lambda folder: _has(folder, ".xml")),
    ("masks", _is_masks),
    ("lsp", lambda folder: any(folder.glob("joints*.mat"))),
    ("csv", lambda folder: _has(folder, ".csv")),
    ("folders", _is_folders),
)
