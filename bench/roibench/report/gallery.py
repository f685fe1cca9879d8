"""What the models of a run predicted of the same images: a row per image, ground truth first, then a model a column."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from roibench.draw.canvas import fitting
from roibench.draw.prediction import draw
from roibench.files import write_atomically
from roibench.measure.record import Record
from roibench.measure.recorded import recorded_cells, recorded_data, recorded_predictions
from roibench.registry import Registry
from roibench.task import Frame, ground_truth

_WIDTH = 256  # of a picture, in pixels
_GAP = 6


def write_gallery(run: Path, images: Sequence[int], out: Path, registry: Registry) -> Path:
    """Draw what a run's cells predicted for some images of their dataset into a .png; returns its path.

    The predictions are those that were timed and scored; left_out names the cells that aren't shown. Raises ValueError
    where there are none, where they lack an image, are impossible, or where they or the dataset have changed.
    """
    records, _ = _chosen(run)
    first = records[0]
    fields = registry.fields.values()
    tasks = [registry.tasks[name] for name in dict.fromkeys(name for record in records for name in record.scores)]
    fewest = min(record.images for record in records)
    if wrong := [index for index in images if not 0 <= index < fewest]:
        raise ValueError(f"{run}: image {wrong[0]}: want 0 to {fewest - 1}, which every cell has predicted")
    data = recorded_data(first, registry)
    samples, classes = [data[index] for index in images], data.info.classes
    frames = [Frame.of(one.input, data.info) for one in samples]
    true = [draw(one.input.image, ground_truth(tasks, one.target), classes, fields) for one in samples]
    columns = {"ground truth": true}
    for record in records:
        found = recorded_predictions(record, run, images, frames, registry)
        columns[record.cell.label] = [
            draw(one.input.image, prediction, classes, fields) for one, prediction in zip(samples, found, strict=True)
        ]
    picture = BytesIO()
    side_by_side(columns).save(picture, "png")
    return write_atomically(out, picture.getvalue())


def left_out(run: Path) -> list[str]:
    """The cells of a run that a gallery doesn't show: those of other datasets or tasks than the first one's."""
    return [record.cell_id for record in _chosen(run)[1]]


def _chosen(run: Path) -> tuple[list[Record], list[Record]]:
    """What is shown, and what isn't."""
    records = recorded_cells(run)
    first = records[0]
    shown = [r for r in records if r.cell.dataset_hash == first.cell.dataset_hash and _task(first) in r.scores]
    return shown, [record for record in records if record not in shown]


def _task(record: Record) -> str:
    return next(iter(record.scores))


def side_by_side(columns: dict[str, Sequence[Image.Image]]) -> Image.Image:
    """Pictures in columns of one width, each under its heading; a row is as high as the highest of its pictures."""
    font = ImageFont.load_default(size=16)
    top = sum(font.getmetrics()) + _GAP
    resized = [
        [one.resize((_WIDTH, round(one.height * _WIDTH / one.width))) for one in col] for col in columns.values()
    ]
    heights = [max(one.height for one in row) for row in zip(*resized, strict=True)]
    size = (len(columns) * (_WIDTH + _GAP) + _GAP, top + sum(heights) + (len(heights) + 1) * _GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, (heading, column) in enumerate(zip(columns, resized, strict=True)):
        x, y = _GAP + i * (_WIDTH + _GAP), top
        pen.text((x, top - _GAP), fitting(heading, "", font, _WIDTH), fill="black", font=font, anchor="ls")
        for one, height in zip(column, heights, strict=True):
            sheet.paste(one, (x, y))
            y += height + _GAP
    return sheet
