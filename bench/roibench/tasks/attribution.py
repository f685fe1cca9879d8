"""Attribution: how much each pixel counted for the class that the query names."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from roibench.contract import ModelContract
from roibench.draw.relevance import draw_relevance
from roibench.field_checks import FLOATS, check_finite, check_tensor
from roibench.model import Model
from roibench.specs import MetricSpec, Value
from roibench.structures import Prediction, Target
from roibench.task import Field, Frame, Layer, Place, Scored, Task
from roibench.tasks.objects import TRUE_BOXES, TRUE_LABELS, counted


def main_class(target: Target) -> int | None:
    """The class that an image is about: its own label, or that of its main object, or of its largest one; None if it is
    about nothing. A crowd or an ignored object is never the largest.
    """
    if target.image_label is not None:
        return target.image_label
    if target.labels is None or not len(target.labels):
        return None
    if target.main is not None:
        return int(target.labels[target.main])
    areas = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(1) if target.areas is None else target.areas
    areas = areas.masked_fill(~counted(target, len(areas)), -1.0)
    return int(target.labels[areas.argmax()]) if areas.max() >= 0 else None


def check_attribution(value: object, frame: Frame) -> str | None:
    return check_tensor("attribution", value, FLOATS, frame.sides) or check_finite("attribution", value)


def doubt_attribution(scored: Scored) -> Iterator[str]:
    maps = [one.get("attribution") for one in scored.kept]
    if maps and all(one.min() == one.max() for one in maps):
        yield f"all {len(maps):,} attributions are the same everywhere in their image"


def describe_attribution(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """attribution: where its maximum is, as x and y of the pixel's centre."""
    relevance = prediction.get("attribution")
    y, x = divmod(int(relevance.argmax()), relevance.shape[1])
    return {"attribution": {"maximum": [x + 0.5, y + 0.5]}}


# float32 [H, W]: the higher, the more a pixel speaks for the class.
ATTRIBUTION = Field(
    "attribution",
    check_attribution,
    doubts=doubt_attribution,
    layers=(Layer(draw_relevance, Place.AREA),),
    describe=describe_attribution,
    in_words=lambda found: "maximum at x {:g}, y {:g}".format(*found["attribution"]["maximum"]),
)


class AttributionContract(ModelContract):
    """What the attribution task relies on, of a model that explains another one.

    looks_at_the_class: False for baselines, whose maps are the same for every class.
    """

    looks_at_the_class = True

    def test_maps_have_the_sizes_of_the_images_as_given(self, built: Model) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200), (400, 1))
        for predictions in (built.predict(inputs), [built.predict([one])[0] for one in inputs]):
            for one, prediction in zip(inputs, predictions, strict=True):
                relevance = prediction.get("attribution")
                assert relevance.shape == one.image.shape[1:]
                assert relevance.dtype == torch.float32 and torch.isfinite(relevance).all()

    def test_the_query_names_the_class_to_explain(self, built: Model) -> None:
        [one] = self.noise((128, 128))
        maps = [
            built.predict([dataclasses.replace(one, query=label)])[0].get("attribution")
            for label in range(len(self.info.classes))
        ]
        differ = any(not torch.equal(maps[0], other) for other in maps[1:])
        assert differ == self.looks_at_the_class

    def test_explaining_leaves_the_explained_model_alone(self, built: Model) -> None:
        def marks() -> list:
            modules = list(built.inner.modules())
            hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules]
            flags = [(p.requires_grad, p.grad is None) for p in built.inner.parameters()]
            return [hooks, flags, [m.training for m in modules], torch.is_grad_enabled()]

        before = marks()
        built.predict(self.noise((128, 128)))
        assert marks() == before


class Attribution(Task):
    name = "attribution"
    target_fields = (TRUE_BOXES, TRUE_LABELS)
    prediction_fields = (ATTRIBUTION,)
    query_help = "the class to explain, an index; None for the highest-scoring one"
    metrics = (
        MetricSpec(
            "pointing_game",
            name,
            "roibench.metrics.attribution:pointing_game",
            (Value("pointing", ranks=True), Value("energy", shown=True)),
        ),
        MetricSpec(
            "insertion_deletion",
            name,
            "roibench.metrics.faithfulness:insertion_deletion",
            (
                Value("insertion", shown=True),
                Value("deletion", higher_is_better=False, shown=True),
                Value("faithfulness", plotted=True),
            ),
            needs_probe=True,
        ),
        MetricSpec("road", name, "roibench.metrics.removal:road", (Value("ROAD", shown=True),), needs_probe=True),
        MetricSpec(
            "average_drop",
            name,
            "roibench.metrics.removal:average_drop",
            (Value("average_drop", higher_is_better=False, shown=True), Value("average_increase", shown=True)),
            needs_probe=True,
        ),
        MetricSpec(
            "max_box_acc", name, "roibench.metrics.attribution:max_box_acc", (Value("MaxBoxAccV2", shown=True),)
        ),
        MetricSpec(
            "parameter_randomization",
            name,
            "roibench.metrics.faithfulness:parameter_randomization",
            (
                Value("randomization", higher_is_better=False, shown=True),
                Value("null", higher_is_better=False, shown=True),
                Value("constant", higher_is_better=False, shown=True),
            ),
            needs_probe=True,
        ),
    )
    contract = AttributionContract

    def query(self, target: Target) -> int | None:
        return main_class(target)

    def ground_truth(self, target: Target) -> Prediction:
        """The boxes of the class that the query names."""
        label = main_class(target)
        if target.boxes is None:
            return Prediction()
        labels = torch.zeros(len(target.boxes), dtype=torch.int64) if target.labels is None else target.labels
        kept = slice(None) if label is None else labels == label
        boxes = target.boxes[kept]
        return Prediction(boxes=boxes, labels=labels[kept], scores=torch.ones(len(boxes)))
