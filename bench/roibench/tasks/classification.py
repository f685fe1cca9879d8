"""Classification: the class of the whole image."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from roibench.contract import NetworkContract
from roibench.draw.bars import add_bars, best
from roibench.field_checks import FLOATS, check_finite, check_tensor
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, Value
from roibench.structures import Input, Prediction, Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField, Task
from roibench.tasks.doubts import no_class_in_common


def check_class_scores(value: object, frame: Frame) -> str | None:
    kind = check_tensor("class_scores", value, FLOATS, (len(frame.classes),))
    return kind or check_finite("class_scores", value)


def doubt_class_scores(scored: Scored) -> Iterator[str]:
    if scored.targets and all(one.image_label is not None for one in scored.targets):
        found = {int(one.class_scores.argmax()) for one in scored.kept}
        yield from no_class_in_common(scored, found, {int(one.image_label) for one in scored.targets})


def describe_class_scores(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """classes: the best of the whole image."""
    scores = best(prediction.class_scores.numpy())
    return {"classes": [{"label": classes[label], "score": round(score, 4)} for label, score in scores.items()]}


def _first_class(found: dict[str, Any]) -> str | None:
    return next((f"{first['label']} {first['score']:.2f}" for first in found["classes"]), None)


CLASS_SCORES = Field(
    "class_scores",
    check_class_scores,
    doubts=doubt_class_scores,
    layers=(Layer(add_bars, Place.STRIP),),
    describe=describe_class_scores,
    in_words=_first_class,
)


def check_image_label(value: object, frame: Frame) -> str | None:
    inside = isinstance(value, int) and 0 <= value < len(frame.classes)
    return None if inside else f"image_label is {value!r}; want a class index from 0 to {len(frame.classes) - 1}"


class ClassifierContract(NetworkContract):
    """What the classification task relies on, of a network that learns the class of an image."""

    def targets(self) -> list[Target]:
        return [Target(image_label=0), Target(image_label=2)]

    def empty_targets(self) -> list[Target]:
        """Every image has a class; here both have the same."""
        return [Target(image_label=1), Target(image_label=1)]

    def test_class_scores_are_probabilities(self, eager: TrainableModel) -> None:
        for prediction in eager.predict(self.noise((128, 128), (1, 1), (3, 300))):
            scores = prediction.class_scores
            assert scores.dtype == torch.float32 and scores.shape == (len(self.info.classes),)
            assert (scores >= 0).all() and scores.sum().item() == pytest.approx(1, abs=1e-5)

    def test_an_image_alone_and_beside_others_of_any_size_gives_the_same_scores(self, eager: TrainableModel) -> None:
        inputs = self.noise((70, 100), (128, 128), (9, 250), (400, 300))
        alone = [eager.predict([one])[0].class_scores for one in inputs]
        together = [one.class_scores for one in eager.predict(inputs)]
        assert torch.allclose(torch.stack(alone), torch.stack(together), atol=1e-5)
        # Or it would predict the same of every image. Relative: a confident one differs in scores that are next to 0.
        assert not torch.allclose(together[0], together[1], rtol=1e-2, atol=0)

    def test_an_enlarged_image_gets_like_scores(self, eager: TrainableModel) -> None:
        [coarse] = self.noise((6, 10))
        smooth = (F.interpolate(coarse.image[None], size, mode="bilinear")[0] for size in ((60, 100), (180, 300)))
        one, other = (eager.predict([Input("smooth", image)])[0].class_scores for image in smooth)
        assert torch.allclose(one, other, atol=0.02)


class Classification(Task):
    name = "classification"
    target_fields = (TargetField("image_label", check_image_label),)
    prediction_fields = (CLASS_SCORES,)
    metrics = (
        MetricSpec(
            "top_k_accuracy",
            name,
            "roibench.metrics.classification:top_k_accuracy",
            (Value("top1", ranks=True), Value("top5", shown=True)),
        ),
        MetricSpec(
            "calibration",
            name,
            "roibench.metrics.calibration:classification_calibration",
            (Value("ECE", higher_is_better=False),),
        ),
    )
    contract = ClassifierContract
