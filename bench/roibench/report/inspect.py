"""The images that cost a cell most, as a list and drawn: ground truth beside prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from roibench.draw.canvas import fitting
from roibench.draw.prediction import draw
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_cells, recorded_data, recorded_predictions
from roibench.measure.rescore import GroundTruth, recorded_scores
from roibench.metric import cost_of
from roibench.registry import Registry, unknown
from roibench.report.gallery import write_sheet
from roibench.report.numbers import scale, short, short_name
from roibench.structures import Prediction, Sample
from roibench.task import Field, Frame, Task, ground_truth

_NOTE = (512, 96)  # pixels of what is written beside an image


@dataclass(frozen=True)
class Cost:
    """What an image costs.

    index: in the dataset.
    id: Input.id.
    cost: by how much the image makes the value that ranks worse.
    """

    index: int
    id: str
    cost: float


@dataclass(frozen=True)
class Inspection:
    """The images that cost a cell most under its first task.

    record: the cell's.
    task: its first one.
    name: of the value that ranks.
    unit: likewise.
    worst: the images, the worst first.
    """

    record: Ok
    task: Task
    name: str
    unit: str
    worst: tuple[Cost, ...]

    def line(self, one: Cost) -> str:
        """`AP 0.213 %`."""
        return f"{self.name} {short(scale(self.unit) * one.cost)} {self.unit}".rstrip()


def inspect_run(run: Path, count: int, registry: Registry, cell: str | None = None) -> Inspection:
    """Scores a run's cell again, image by image.

    cell: its id or its model's name; None: the first one that ran.

    Raises ValueError where there is no such cell, where its metric doesn't tell what images cost, and where predictions
    or dataset have changed.
    """
    if count < 1:
        raise ValueError(f"--worst {count}: want 1 or more")
    record = _cell(run, cell)
    task = registry.tasks[next(iter(record.scores))]
    ground_truth = GroundTruth.of(recorded_data(record, registry), record.images)
    scores = recorded_scores(record, run, task, ground_truth, registry)
    if (costs := scores.per_image.get(cost_of(scores.primary))) is None:
        raise ValueError(f"{record.cell_id}: its metric doesn't tell what each image costs of {scores.primary!r}")
    order = (-costs).nan_to_num(float("inf")).argsort(stable=True).tolist()
    ids = [frame.id for frame in ground_truth.frames]
    worst = [Cost(index, ids[index], float(costs[index])) for index in order[:count] if costs[index] > 0]
    name, unit = short_name(scores.primary), scores.declared[scores.primary].unit
    return Inspection(record, task, name, unit, tuple(worst))


def write_inspection(found: Inspection, run: Path, out: Path, registry: Registry) -> Path:
    """Draw the images, one per row, with id and cost, into a .png; returns its path. ValueError if no image costs."""
    if not found.worst:
        raise ValueError(f"{found.record.cell_id}: no image makes {found.name} worse")
    data = recorded_data(found.record, registry)
    indices = [one.index for one in found.worst]
    samples, classes = [data[index] for index in indices], data.info.classes
    frames = [Frame.of(one.input, data.info) for one in samples]
    predictions = recorded_predictions(found.record, run, indices, frames, registry)
    tasks = [registry.tasks[name] for name in found.record.scores]
    true = [ground_truth(tasks, one.target) for one in samples]
    fields = list(registry.fields.values())
    columns = {
        "costs": [_note(one.id, found.line(one)) for one in found.worst],
        "ground truth": _drawn(samples, true, classes, fields),
        found.record.cell.label: _drawn(samples, predictions, classes, fields),
    }
    return write_sheet(columns, out)


def _cell(run: Path, cell: str | None) -> Ok:
    records = recorded_cells(run)
    names = [name for record in records for name in (record.cell_id, record.cell.model)]
    if cell is not None and cell not in names:
        raise ValueError(f"{run}: --cell: {unknown('cell', cell, names)}")
    return next(record for record in records if cell in (None, record.cell_id, record.cell.model))


def _drawn(
    samples: Sequence[Sample], found: Sequence[Prediction], classes: Sequence[str], fields: Sequence[Field]
) -> list[Image.Image]:
    return [draw(one.input.image, prediction, classes, fields) for one, prediction in zip(samples, found, strict=True)]


def _note(*lines: str) -> Image.Image:
    """Lines of text as a picture."""
    note = Image.new("RGB", _NOTE, "white")
    font = ImageFont.load_default(size=_NOTE[1] / 3)
    pen = ImageDraw.Draw(note)
    for number, line in enumerate(lines):
        pen.text((0, number * _NOTE[1] / 2), fitting(line, "", font, _NOTE[0]), fill="black", font=font)
    return note
