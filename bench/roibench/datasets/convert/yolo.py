"""As YOLO's text labels: OUT/data.yaml, OUT/images/SPLIT/NAME.jpg, OUT/labels/SPLIT/NAME.txt.

Crowds, ignored objects, and areas that aren't their boxes' lie in folders of their own (roibench.datasets.yolo). Where
the images' order isn't that of their names, OUT/SPLIT.txt lists them.
"""

from pathlib import Path

import numpy as np
import yaml
from scipy.spatial.distance import cdist
from skimage.measure import approximate_polygon, find_contours
from torch import Tensor

from roibench.dataset import Dataset
from roibench.datasets.convert.check import areas_differ
from roibench.datasets.convert.text import refuse_other_classes
from roibench.datasets.convert.writer import Placed, Writer, short, true
from roibench.datasets.yolo import AREAS, CROWDS, IGNORED, open_yolo
from roibench.datasets.yolo_layout import IMAGES, LABELS, layout_of
from roibench.files import write_atomically
from roibench.structures import Target

_ROUGH = 0.25  # pixels, by how much an outline's points may lie beside a mask's border
_PADDED = 1  # pixels around a mask, so that its outline is closed at the image's border


class YoloWriter(Writer):
    """Boxes."""

    form = "yolo"
    open = staticmethod(open_yolo)
    keeps = frozenset({"boxes", "labels", "crowd", "ignored", "areas"})

    def __init__(self, out: Path, data: Dataset):
        super().__init__(out, data)
        self.splits: dict[str, object] = {}
        self.names: list[str] = []
        self.beside: set[str] = set()

    @property
    def file(self) -> Path:
        return self.out / "data.yaml"

    @property
    def exists(self) -> bool:
        return self.file.is_file() and self.info.split in layout_of(self.out).splits

    def check(self, names: list[str]) -> list[str]:
        if self.file.is_file():
            layout = layout_of(self.out)
            refuse_other_classes(self.file, layout.classes, self.info.classes)
            if layout.joints != self.joints:
                raise ValueError(f"{self.file} has other joints than this copy: name another folder")
            self.splits = {
                name: [place.relative_to(self.out).as_posix() for place in places]
                for name, places in layout.splits.items()
            }
        return names

    @property
    def joints(self) -> tuple[str, ...]:
        return ()

    def folder(self, target: Target) -> Path:
        return self.out / IMAGES / self.info.split

    def add(self, image: Placed, target: Target) -> None:
        lines: dict[str, list[str]] = {LABELS: [], CROWDS: [], IGNORED: []}
        areas: dict[str, list[str]] = {kind: [] for kind in lines}
        for index, label in enumerate(target.labels.tolist()):
            crowd, ignored = true(target.crowd, index), true(target.ignored, index)
            kind = CROWDS if crowd else IGNORED if ignored else LABELS
            values = self.values(target, index, image.size)
            lines[kind].append(
                " ".join([str(label), *(np.format_float_positional(value, trim="-") for value in values)])
            )
            areas[kind] += [] if target.areas is None else [short(float(target.areas[index]))]
        lines[AREAS] = [area for kind in areas for area in areas[kind]] if self._areas_differ(target) else []
        for kind, written in lines.items():
            file = self.out / kind / self.info.split / f"{image.file.stem}.txt"
            self.beside |= {kind} if written and kind != LABELS else set()
            if written or kind == LABELS:
                write_atomically(file, "".join(f"{line}\n" for line in written).encode())
            else:
                file.unlink(missing_ok=True)  # of a conversion that was interrupted
        self.names.append(image.file.name)

    def values(self, target: Target, index: int, size: tuple[int, int]) -> list[float]:
        """What stands behind the class."""
        height, width = size
        x1, y1, x2, y2 = target.boxes[index].tolist()
        return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]

    def _areas_differ(self, target: Target) -> bool:
        """Whether an area can't be had from what stands in the line."""
        return areas_differ(target)

    def notes(self) -> list[str]:
        if not self.beside:
            return []
        return [f"other tools know nothing of the folders beside labels: {', '.join(sorted(self.beside))}"]

    def finish(self) -> None:
        split = self.info.split
        place = f"{IMAGES}/{split}"
        if self.names != sorted(self.names):
            lines = "".join(f"./{place}/{name}\n" for name in self.names)
            write_atomically(self.out / f"{split}.txt", lines.encode())
            place = f"{split}.txt"
        splits = {name: one[0] if isinstance(one, list) and len(one) == 1 else one for name, one in self.splits.items()}
        content = splits | {split: place, "names": dict(enumerate(self.info.classes))}
        if self.joints:
            joints = list(self.joints)
            content |= {
                "kpt_shape": [len(joints), 3],
                "kpt_names": dict.fromkeys(range(len(self.info.classes)), joints),
            }
        text = yaml.dump(
            content, Dumper=_Plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
        )
        write_atomically(self.file, text.encode())


class YoloPoseWriter(YoloWriter):
    """Boxes and joints."""

    form = "yolo-pose"
    needs = frozenset({"boxes", "labels", "keypoints"})
    keeps = YoloWriter.keeps | {"keypoints"}

    @property
    def joints(self) -> tuple[str, ...]:
        return self.info.joints

    def values(self, target: Target, index: int, size: tuple[int, int]) -> list[float]:
        height, width = size
        joints = [
            value
            for x, y, visibility in target.keypoints[index].tolist()
            for value in (x / width, y / height, visibility)
        ]
        return super().values(target, index, size) + joints


class YoloSegmentsWriter(YoloWriter):
    """Outlines of masks, of which an object has but one: parts are joined by lines without width."""

    form = "yolo-segments"
    needs = frozenset({"boxes", "labels", "masks"})
    keeps = frozenset({"labels", "crowd", "ignored", "areas"})

    def values(self, target: Target, index: int, size: tuple[int, int]) -> list[float]:
        height, width = size
        points = outline_of(target.masks[index])
        if points is None:
            x1, y1, x2, y2 = target.boxes[index].tolist()
            points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        return (points / (width, height)).flatten().tolist()

    def _areas_differ(self, target: Target) -> bool:
        return target.areas is not None

    def notes(self) -> list[str]:
        return [*super().notes(), "masks are outlines, within about a pixel, and boxes are those around them"]


class _Plain(yaml.SafeDumper):
    """Without anchors: other readers' people read it, too."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def outline_of(mask: Tensor) -> np.ndarray | None:
    """One outline, [N, 2] as x, y, of a mask, [H, W]; None for one without an area. Parts and holes are joined at their
    nearest points, back and forth.
    """
    padded = np.pad(mask.numpy().astype(float), _PADDED)
    parts = [approximate_polygon(part, _ROUGH)[:-1] for part in find_contours(padded, 0.5)]
    parts = [part for part in parts if len(part) >= 3]
    if not parts:
        return None
    joined = parts[0]
    for part in parts[1:]:
        here, there = np.unravel_index(cdist(joined, part).argmin(), (len(joined), len(part)))
        turned = np.roll(part, -there, axis=0)
        joined = np.concatenate([joined[: here + 1], turned, turned[:1], joined[here:]])
    height, width = mask.shape
    return (joined[:, ::-1] - _PADDED + 0.5).clip(0, (width, height))
