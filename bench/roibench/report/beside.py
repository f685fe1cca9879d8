"""Models around one that is inspected, each asked about a mistake in every image, and drawn beside it."""

from collections.abc import Sequence
from dataclasses import replace

from roibench.dataset import Dataset
from roibench.measure.checks import check_count, check_predictions
from roibench.measure.record import Ok
from roibench.measure.recorded import recorded_model
from roibench.metrics.faithfulness import predicted_class
from roibench.registry import AT, Registry
from roibench.structures import Prediction, Sample
from roibench.task import Frame, Mistakes

MISSED = "missed"


def worst_mistake(found: Prediction, mistakes: Mistakes | None, true: Prediction) -> Prediction | None:
    """The object that a model around another one is asked about, alone; None where nothing is wrong.

    A false positive, if there is one: the highest-scoring of those that are the best of their class, which is the
    detection that a question about a class is about, or else of all. Otherwise the first object that was missed.
    found: best score first. true: the ground truth, drawn.
    """
    if mistakes is None:
        return None
    if wrong := [index for index, mistake in enumerate(mistakes.objects) if mistake]:
        labels = found.labels.tolist()
        index = min(wrong, key=lambda index: labels.index(labels[index]) != index)
        return _alone(found, index, mistakes.objects[index])
    return _alone(true, mistakes.missed.index(True), MISSED) if any(mistakes.missed) else None


def _alone(prediction: Prediction, index: int, mistake: str | None) -> Prediction:
    one = slice(index, index + 1)
    return Prediction(
        prediction.boxes[one], prediction.scores[one], prediction.labels[one], extra={"mistakes": (mistake,)}
    )


def asked_beside(
    name: str,
    record: Ok,
    data: Dataset,
    samples: Sequence[Sample],
    found: Sequence[Prediction],
    subjects: Sequence[Prediction | None],
    registry: Registry,
) -> list[Prediction]:
    """What the model `name` around the recorded one answers for each sample, with the object that it was asked about.

    The query is the object's class, as it was predicted; where there is none, the class that was predicted of the whole
    image. Raises ValueError for a model that doesn't go around the recorded one, or gives nothing that can be drawn;
    PredictionError where it answers what can't be.
    """
    spec = registry.model(f"{name}{AT}{record.cell.typed_model}")
    fields = registry.needed_fields(spec.tasks)
    if not any(registry.fields[field].layers for field in fields):
        raise ValueError(f"model {spec.name!r} gives {' and '.join(sorted(fields))}, which isn't drawn")
    model = recorded_model(record, data, registry, around=name)
    classes = [
        predicted_class(whole) if one is None else int(one.labels[0])
        for whole, one in zip(found, subjects, strict=True)
    ]
    inputs = [replace(one.input, query=label) for one, label in zip(samples, classes, strict=True)]
    answers = []
    for one in inputs:  # a batch of all might not fit into memory
        answer = model.predict([one])
        check_count(answer, 1)
        answers += answer
    check_predictions(answers, [Frame.of(one, data.info) for one in inputs], registry.fields, fields)
    return [
        Prediction.of(answer.known | (one.known if one else {})) for answer, one in zip(answers, subjects, strict=True)
    ]
