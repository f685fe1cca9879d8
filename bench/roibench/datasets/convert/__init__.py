"""Writes a split of a dataset in another format, reads it back, and tells what is different in the copy.

Image files are copied as they are, under their names; what lies in none, or is turned by its EXIF orientation, becomes
PNG.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roibench.dataset import Dataset
from roibench.datasets.convert.check import Facts, areas_differ, check_copy, facts_of
from roibench.datasets.convert.coco import CocoWriter
from roibench.datasets.convert.pictures import content_of, names_of
from roibench.datasets.convert.text import CsvWriter, FoldersWriter, VocWriter
from roibench.datasets.convert.writer import Placed, Writer
from roibench.datasets.convert.yolo import YoloPoseWriter, YoloSegmentsWriter, YoloWriter
from roibench.files import write_atomically
from roibench.registry import unknown

_WRITERS: tuple[type[Writer], ...] = (
    *(CocoWriter, YoloWriter, YoloSegmentsWriter, YoloPoseWriter),
    *(VocWriter, CsvWriter, FoldersWriter),
)
WRITERS = {one.form: one for one in _WRITERS}
_LOST = (
    "boxes",
    "masks",
    "keypoints",
    "captions",
    "semantic_map",
    "image_label",
)  # what a format may have no place for at all


@dataclass(frozen=True)
class Report:
    """What was written.

    file: the one that was written last.
    reference: as which the copy opens.
    images: how many.
    objects: how many of each class, by name.
    notes: what is different in the copy, or isn't in it.
    """

    file: Path
    reference: str
    images: int
    objects: Counter[str]
    notes: tuple[str, ...]


def convert(
    data: Dataset,
    form: str,
    out: Path,
    images: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes the first `images` samples (None: all) to a folder, which may hold other splits, and reads them back.

    progress: called with images written and images in all. Every file is whole or not there; what was interrupted is
    run again. Raises ValueError for an unknown format, for a dataset that lacks what the format is about, and for a
    folder that it doesn't go together with; FileExistsError where the split is there already; RuntimeError where the
    copy reads otherwise than what was written.
    """
    if form not in WRITERS:
        raise ValueError(unknown("format", form, WRITERS))
    info, writer = data.info, WRITERS[form](out, data)
    if missing := writer.needs - info.fields:
        raise ValueError(f"{info.name} can't be written as {form}: it has no {' and no '.join(sorted(missing))}")
    if images is not None and images < 1:
        raise ValueError(f"images: want 1 or more, got {images}")
    if writer.exists:
        raise FileExistsError(f"{writer.file} is there already, with {info.split}: name another folder, or delete it")
    count = len(data) if images is None else images if data.unbounded else min(images, len(data))
    written: list[Facts] = []
    turned, areas_lost = 0, False
    for number, name in enumerate(writer.check(names_of(data, count)), start=1):
        sample = data[number - 1]
        image = content_of(data, number - 1, sample)
        file = write_atomically(writer.folder(sample.target) / f"{name}{image.suffix}", image.content)
        writer.add(Placed(number, file, tuple(sample.input.image.shape[1:]), sample.input.id), sample.target)
        written.append(facts_of(sample.target, info.classes, writer))
        turned += image.turned
        areas_lost |= "areas" not in writer.keeps and "boxes" in writer.keeps and areas_differ(sample.target)
        if progress:
            progress(number, count)
    writer.finish()
    copy = check_copy(writer, written)
    objects = Counter(name for one in written for name in one.names)
    notes = [*writer.notes(), *_lost(writer, areas_lost)]
    if absent := set(info.classes) - set(copy.classes):
        notes.append(f"classes without an object are left out: {len(absent)}")
    if turned:
        notes.append(f"images that became PNGs, upright, as their EXIF orientation turns them: {turned}")
    if problems := getattr(data, "problems", ()):
        notes.append(f"images and objects that were left out as bad data: {len(problems)}")
    return Report(writer.file, f"{form.partition('-')[0]}:{out}@{info.split}", count, objects, tuple(notes))


def _lost(writer: Writer, areas: bool) -> list[str]:
    """What of the dataset the format has no place for."""
    fields = writer.info.fields - writer.keeps - writer.needs
    names = [name.replace("_", " ") for name in _LOST if name in fields] + ["areas of objects"] * areas
    return [f"{writer.form} has no place for {', '.join(names)}"] if names else []
