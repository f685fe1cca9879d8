"""What a run's models predicted, for the page: images of one table beside their ground truth, and kinds of mistakes."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
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
    """A row whose predictions were kept: those of all its images, and what each costs, {} where that isn't known."""

    row: Row
    predictions: list[Prediction]
    costs: dict[int, float]


def gallery(table: Table, runs: Sequence[Path], registry: Registry) -> Gallery:
    """Of the table's rows whose predictions were kept in one of the runs' folders.

    Images are the first ones, and those that cost the models most on average. What can't be shown is told, never
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
            shown.append(_shown(row, run, known, registry))
        except (ValueError, OSError, KeyError) as error:
            notes.append(_line(error))
    missing = [table.label(row) for row in table.rows if row not in [row for row, _ in kept]]
    if missing:
        notes.append(f"not shown, as no predictions were kept: {', '.join(missing)}.")
    if not shown:
        return Gallery(notes=tuple(notes))
    strips = tuple(_strips(table, task, shown, data, registry))
    return Gallery(strips, _mistakes(table, task, shown, known), tuple(notes))


def _run_of(record: Ok, runs: Sequence[Path]) -> Path | None:
    return next((run for run in runs if (run / record.predictions).is_file()), None)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _shown(row: Row, run: Path, known: GroundTruth, registry: Registry) -> _Shown:
    record = row.record
    predictions = recorded_predictions(record, run, range(record.images), known.frames[: record.images], registry)
    return _Shown(row, predictions, _costs(row, run))


def _costs(row: Row, run: Path) -> dict[int, float]:
    """By image, how much worse it makes what ranks."""
    record = row.record
    path = run / record.per_image if record.per_image else None
    if path is None or not path.is_file() or file_hash(path) != record.per_image_sha256:
        return {}
    column = load_per_image(path).get(cost_of(row.record.scores[row.task].primary), [])
    return {index: cost for index, cost in enumerate(column) if math.isfinite(cost)}


def _strips(table: Table, task: Task, shown: Sequence[_Shown], data: Dataset, registry: Registry) -> list[Strip]:
    fewest = min(one.row.record.images for one in shown)  # a row of pictures has all models
    costly = {index: _mean([one.costs.get(index, 0.0) for one in shown if one.costs]) for index in range(fewest)}
    worst = [index for index in sorted(costly, key=lambda index: -costly[index])[:WORST] if costly[index] > 0]
    name, unit = table.name(table.primary), table.unit
    chosen = dict.fromkeys((*worst, *range(min(FIRST, fewest))))
    fields, classes = list(registry.fields.values()), data.info.classes
    strips = []
    for index in chosen:
        sample = data[index]

        def picture(prediction: Prediction, label: str, note: str = "", image: object = sample.input.image) -> Picture:
            return Picture(_data_uri(draw(image, prediction, classes, fields, shown_at=WIDTH)), label, note)

        pictures = [picture(ground_truth([task], sample.target), "ground truth")]
        for one in shown:
            cost = one.costs.get(index)
            note = "" if cost is None else f"costs {short(scale(unit) * cost)} {unit}".rstrip()
            pictures.append(picture(one.predictions[index], table.label(one.row), note))
        why = f", one of those that cost the models most {name}" if index in worst else ""
        strips.append(Strip(f"Image {index}, {sample.input.id}{why}", tuple(pictures)))
    return strips


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _data_uri(picture: Image.Image) -> str:
    small = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    data = io.BytesIO()
    small.save(data, "webp", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def _mistakes(table: Table, task: Task, shown: Sequence[_Shown], known: GroundTruth) -> Grid | None:
    counts = {}
    for one in shown:
        found = (
            (task.filter(prediction), target)
            for prediction, target in zip(one.predictions, known.targets, strict=False)
        )
        told = [(prediction, task.mistakes(prediction, target)) for prediction, target in found]
        if any(mistakes is None for _, mistakes in told):
            return None
        counts[table.label(one.row)] = (len(told), sum((_counted(*pair) for pair in told), Counter()))
    kinds = list(dict.fromkeys(kind for _, counter in counts.values() for kind in sorted(counter) if kind != MISSED))
    titles = ("model", "images", *kinds, MISSED)
    rows = tuple(
        (name, f"{images:,}", *(f"{counter[kind]:,}" for kind in (*kinds, MISSED)))
        for name, (images, counter) in counts.items()
    )
    return Grid(titles, rows, 1)


def _counted(prediction: Prediction, mistakes: Mistakes) -> Counter[str]:
    scores = prediction.scores.tolist()
    kinds = [kind for kind, score in zip(mistakes.objects, scores, strict=True) if kind and score >= SCORE_THRESHOLD]
    return Counter({MISSED: sum(mistakes.missed)}) + Counter(kinds)
