"""The images that cost a cell most, as a list and drawn: ground truth beside prediction, and what is wrong with it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from roibench.draw.canvas import fitting
from roibench.draw.prediction import SCORE_THRESHOLD, draw
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_cells, recorded_data, recorded_predictions
from roibench.measure.rescore import GroundTruth, recorded_scores
from roibench.metric import cost_of
from roibench.registry import AT, Registry, unknown
from roibench.report.beside import MISSED, asked_beside, worst_mistake
from roibench.report.gallery import WIDTH, write_sheet
from roibench.report.numbers import scale, short, short_name
from roibench.structures import Prediction
from roibench.task import Mistakes, Task, ground_truth

_LINE = 22  # pixels, of what is written beside an image
_LISTED = 10  # mistakes, at most


@dataclass(frozen=True)
class Cost:
    """What an image costs.

    index: in the dataset.
    id: Input.id.
    cost: by how much the image makes the value that ranks worse.
    found: what was predicted and scored of it.
    mistakes: what is wrong with that; None where the task doesn't tell.
    """

    index: int
    id: str
    cost: float
    found: Prediction
    mistakes: Mistakes | None

    @property
    def counts(self) -> list[str]:
        """How many mistakes of each kind are drawn, the most frequent first, and how many objects are missed:
        `2 location`, `1 missed`.
        """
        if self.mistakes is None:
            return []
        kinds = Counter(self.mistakes.objects[index] for index in self.drawn).most_common()
        missed = sum(self.mistakes.missed)
        return [f"{count} {kind}" for kind, count in (*kinds, *([(MISSED, missed)] if missed else []))]

    @property
    def drawn(self) -> list[int]:
        """Which objects are mistakes, and score enough to be drawn."""
        kinds = self.mistakes.objects if self.mistakes else ()
        return [index for index, kind in enumerate(kinds) if kind and self.found.scores[index] >= SCORE_THRESHOLD]


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
    if record.unscored:
        raise ValueError(f"{record.cell_id}: {record.unscored}: nothing was scored")
    task = registry.tasks[next(iter(record.scores))]
    known = GroundTruth.of(recorded_data(record, registry), record.images)
    scores = recorded_scores(record, run, task, known, registry)
    if (costs := scores.per_image.get(cost_of(scores.primary))) is None:
        raise ValueError(f"{record.cell_id}: its metric doesn't tell what each image costs of {scores.primary!r}")
    order = (-costs).nan_to_num(float("inf")).argsort(stable=True).tolist()
    indices = [index for index in order[:count] if costs[index] > 0]
    predictions = recorded_predictions(record, run, indices, [known.frames[index] for index in indices], registry)
    worst = []
    for index, prediction in zip(indices, map(task.filter, predictions), strict=True):
        mistakes = task.mistakes(prediction, known.targets[index])
        worst.append(Cost(index, known.frames[index].id, float(costs[index]), prediction, mistakes))
    name, unit = short_name(scores.primary), scores.declared[scores.primary].unit
    return Inspection(record, task, name, unit, tuple(worst))


def write_inspection(found: Inspection, out: Path, registry: Registry, beside: Sequence[str] = ()) -> Path:
    """Draw the images, one per row, with id and cost, into a .png; returns its path. ValueError if no image costs.

    Where the task tells mistakes, they stand behind the score of each box, and beside what was missed. beside: names of
    models that go around this one, such as one that says where it looks: each is asked about the worst mistake in an
    image (roibench.report.beside), which is drawn on its answer.
    """
    if not found.worst:
        raise ValueError(f"{found.record.cell_id}: no image makes {found.name} worse")
    data, record, fields = recorded_data(found.record, registry), found.record, list(registry.fields.values())
    samples = [data[one.index] for one in found.worst]
    tasks = [registry.tasks[name] for name in record.scores]
    true = [ground_truth(tasks, one.target) for one in samples]

    def drawn(predictions: Sequence[Prediction], threshold: float = SCORE_THRESHOLD) -> list[Image.Image]:
        return [
            draw(sample.input.image, one, data.info.classes, fields, threshold, shown_at=WIDTH)
            for sample, one in zip(samples, predictions, strict=True)
        ]

    columns = {
        "costs": [_note(one.id, found.line(one), *_listed(one, data.info.classes)) for one in found.worst],
        "ground truth": drawn([_with_missed(*pair) for pair in zip(true, found.worst, strict=True)]),
        record.cell.label: drawn([_with_mistakes(one) for one in found.worst]),
    }
    subjects = [worst_mistake(one.found, one.mistakes, truth) for one, truth in zip(found.worst, true, strict=True)]
    predicted = [one.found for one in found.worst]
    for name in beside:
        answers = asked_beside(name, record, data, samples, predicted, subjects, registry)
        columns[f"{name}{AT}{record.cell.label}"] = drawn(answers, 0.0)
    return write_sheet(columns, out)


def _cell(run: Path, cell: str | None) -> Ok:
    records = recorded_cells(run)
    names = [name for record in records for name in (record.cell_id, record.cell.model)]
    if cell is not None and cell not in names:
        raise ValueError(f"{run}: --cell: {unknown('cell', cell, names)}")
    return next(record for record in records if cell in (None, record.cell_id, record.cell.model))


def _with_mistakes(one: Cost) -> Prediction:
    """What was predicted, with what is wrong with it."""
    return one.found if one.mistakes is None else Prediction.of(one.found.known | {"mistakes": one.mistakes.objects})


def _with_missed(true: Prediction, one: Cost) -> Prediction:
    """The ground truth, with what was missed of it."""
    if one.mistakes is None:
        return true
    return Prediction.of(true.known | {"mistakes": tuple(MISSED if missed else None for missed in one.mistakes.missed)})


def _listed(one: Cost, classes: Sequence[str]) -> list[str]:
    """How many mistakes there are, and the highest-scoring ones: `circle 0.48 class`."""
    found, listed = one.found, one.drawn[:_LISTED]
    lines = [", ".join(one.counts)] if one.counts else []
    for index in listed:
        name, score = classes[int(found.labels[index])], float(found.scores[index])
        lines.append(f"{name} {score:.2f} {one.mistakes.objects[index]}")
    return lines + [f"and {len(one.drawn) - len(listed)} more"] * (len(one.drawn) > len(listed))


def _note(*lines: str) -> Image.Image:
    """Lines of text as a picture."""
    note = Image.new("RGB", (WIDTH, _LINE * len(lines)), "white")
    font = ImageFont.load_default(size=0.75 * _LINE)
    pen = ImageDraw.Draw(note)
    for number, line in enumerate(lines):
        pen.text((0, number * _LINE), fitting(line, "", font, WIDTH), fill="black", font=font)
    return note
