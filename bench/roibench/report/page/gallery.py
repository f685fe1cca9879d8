"""What a run's models predicted, for the page: images of one table beside their ground truth, and kinds of mistakes."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from roibench.dataset import Dataset
from roibench.draw.prediction import SCORE_THRESHOLD, draw
from roibench.files import file_hash
from roibench.measure.per_image import load_per_image
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_data, recorded_predictions
from roibench.measure.rescore import GroundTruth
from roibench.metric import cost_of
from roibench.registry import Registry
from roibench.report.beside import MISSED
from roibench.report.comparison import Grid
from roibench.report.gallery import WIDTH
from roibench.report.numbers import scale, short
from roibench.report.rows import Row, Table
from roibench.structures import Prediction
from roibench.task import Mistakes, Task, ground_truth

FIRST = 3  # images, whatever was predicted of them
WORST = 3  # images, of those that cost the models most
MISTAKES = (
    f"Detections that score at least {SCORE_THRESHOLD}, by what is wrong with each; missed: objects that no detection "
    "comes near, whatever its score."
)


@dataclass(frozen=True)
class Picture:
    """source: a data URI. name: of the model. note: what the image costs it; "" where that isn't known."""

    source: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Strip:
    """One image: its ground truth, then what each model predicted of it. title: which image, and why it is shown."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """strips: none where predictions or dataset aren't there. mistakes: how many of each kind, None where the task
    doesn't tell. notes: which models aren't shown, and why; none where no predictions were kept at all.
    """

    strips: tuple[Strip, ...] = ()
    mistakes: Grid | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Shown:
    """A row whose predictions were kept.

    found: of all its images, filtered as for scoring. mistakes: in them, [] where the task doesn't tell.
    costs: by image, how much worse it makes what ranks; {} where that isn't known.
    """

    row: Row
    label: str
    found: list[Prediction]
    mistakes: list[Mistakes]
    costs: dict[int, float]

    def drawn(self, index: int) -> Prediction:
        """What was predicted of an image, with what is wrong with it."""
        if not self.mistakes:
            return self.found[index]
        return Prediction.of(self.found[index].known | {"mistakes": self.mistakes[index].objects})


def gallery(table: Table, runs: Sequence[Path], registry: Registry) -> Gallery:
    """Of the table's rows whose predictions were kept in one of the runs' folders.

    Images are those that cost the models most on average, and the first ones. What can't be shown is told, never
    raised: a table is worth a page without its pictures.
    """
    kept = [(row, run) for row in table.rows if (run := _run_of(row.record, runs)) is not None]
    if not kept:
        return Gallery()
    try:
        data = recorded_data(kept[0][0].record, registry, kept[0][1])
        known = GroundTruth.of(data, max(row.record.images for row, _ in kept))
        task = registry.tasks[table.task]
    except (ValueError, OSError, KeyError) as error:
        return Gallery(notes=(_line(error),))
    shown, notes = [], []
    for row, run in kept:
        try:
            shown.append(_shown(row, table.label(row), run, task, known, registry))
        except (ValueError, OSError, KeyError) as error:
            notes.append(_line(error))
    with_any = {row.record.cell_id for row, _ in kept}
    if missing := [table.label(row) for row in table.rows if row.record.cell_id not in with_any]:
        notes.append(f"not shown, as no predictions were kept: {', '.join(missing)}.")
    if not shown:
        return Gallery(notes=tuple(notes))
    return Gallery(tuple(_strips(table, task, shown, data, registry)), _counts(shown), tuple(notes))


def _run_of(record: Ok, runs: Sequence[Path]) -> Path | None:
    return next((run for run in runs if (run / record.predictions).is_file()), None)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _shown(row: Row, label: str, run: Path, task: Task, known: GroundTruth, registry: Registry) -> _Shown:
    images = row.record.images
    predictions = recorded_predictions(row.record, run, range(images), known.frames[:images], registry)
    found = list(map(task.filter, predictions))
    told = [task.mistakes(one, target) for one, target in zip(found, known.targets[:images], strict=True)]
    return _Shown(row, label, found, [one for one in told if one is not None], _costs(row, run))


def _costs(row: Row, run: Path) -> dict[int, float]:
    """By image, how much worse it makes what ranks."""
    record = row.record
    path = run / record.per_image if record.per_image else None
    if path is None or not path.is_file() or file_hash(path) != record.per_image_sha256:
        return {}
    column = load_per_image(path).get(cost_of(row.record.scores[row.task].primary), [])
    return {index: cost for index, cost in enumerate(column) if math.isfinite(cost)}


def _strips(table: Table, task: Task, shown: Sequence[_Shown], data: Dataset, registry: Registry) -> Iterator[Strip]:
    fewest = min(one.row.record.images for one in shown)  # an image is shown of all models
    costs = {index: _mean([one.costs.get(index, 0.0) for one in shown if one.costs]) for index in range(fewest)}
    worst = [index for index in sorted(costs, key=lambda index: -costs[index])[:WORST] if costs[index] > 0]
    fields, classes = list(registry.fields.values()), data.info.classes
    for index in dict.fromkeys((*worst, *range(min(FIRST, fewest)))):
        sample = data[index]
        why = f", one of those that cost the models most {table.name(table.primary)}" if index in worst else ""
        columns = {"ground truth": (ground_truth([task], sample.target), "")}
        columns |= {one.label: (one.drawn(index), _cost(one, index, table.unit)) for one in shown}
        pictures = [
            Picture(_data_uri(draw(sample.input.image, prediction, classes, fields, shown_at=WIDTH)), name, note)
            for name, (prediction, note) in columns.items()
        ]
        yield Strip(f"Image {index}, {sample.input.id}{why}", tuple(pictures))


def _cost(one: _Shown, index: int, unit: str) -> str:
    """In words; "" where it isn't known."""
    return f"costs {short(scale(unit) * one.costs[index])} {unit}".rstrip() if index in one.costs else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _data_uri(picture: Image.Image) -> str:
    small = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    data = io.BytesIO()
    small.save(data, "webp", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def _counts(shown: Sequence[_Shown]) -> Grid | None:
    """How many mistakes of each kind each row makes; None where the task doesn't tell."""
    if not all(one.mistakes for one in shown):
        return None
    counts = [sum(map(_counted, one.found, one.mistakes), Counter()) for one in shown]
    kinds = [*sorted({kind for counter in counts for kind in counter} - {MISSED}), MISSED]
    rows = tuple(
        (one.label, f"{len(one.found):,}", *(f"{counter[kind]:,}" for kind in kinds))
        for one, counter in zip(shown, counts, strict=True)
    )
    return Grid(("model", "images", *kinds), rows, 1)


def _counted(found: Prediction, mistakes: Mistakes) -> Counter[str]:
    scores = found.scores.tolist()
    kinds = [kind for kind, score in zip(mistakes.objects, scores, strict=True) if kind and score >= SCORE_THRESHOLD]
    return Counter(kinds) + Counter({MISSED: sum(mistakes.missed)})
