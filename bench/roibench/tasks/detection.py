"""Detection: a box of each object, with its class."""

from collections.abc import Mapping

import torch

from roibench.assemble import build_model
from roibench.contract import NetworkContract
from roibench.dataset import DatasetInfo
from roibench.metrics.detection_errors import detection_errors
from roibench.metrics.error_costs import FIXED
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, ModelSpec, Value
from roibench.structures import Input, Prediction, Target
from roibench.task import Mistakes
from roibench.tasks.objects import (
    BOXES,
    COCO_VALUES,
    LABELS,
    MAX_DETECTIONS,
    SCORES,
    TRUE_BOXES,
    TRUE_LABELS,
    ObjectTask,
)


class DetectorContract(NetworkContract):
    """What the detection task relies on, of a network that learns boxes and labels."""

    overrides: Mapping[str, object] = {"score_threshold": 0.0}

    @staticmethod
    def objects(*rows: tuple[float, float, float, float, int], ignored: bool = False) -> Target:
        """Boxes and their labels."""
        table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
        return Target(
            boxes=table[:, :4], labels=table[:, 4].to(torch.int64), ignored=torch.full((len(table),), ignored)
        )

    def targets(self) -> list[Target]:
        return [
            self.objects((10, 10, 60, 60, 0), (70, 40, 100, 110, 2)),
            # Of all sizes: each level of a pyramid has something to learn.
            self.objects((20, 30, 80, 90, 1), (84, 90, 106, 112, 0), (4, 6, 14, 15, 0)),
        ]

    def empty_targets(self) -> list[Target]:
        return [self.objects(), self.objects((10, 10, 60, 60, 0), ignored=True)]

    def test_detections_are_sorted_and_at_most_as_many_as_the_task_allows(self, eager: TrainableModel) -> None:
        [prediction] = eager.predict(self.noise((128, 128)))
        assert 0 < len(prediction.boxes) <= MAX_DETECTIONS
        assert (prediction.scores.diff() <= 0).all()
        assert prediction.labels.dtype == torch.int64
        assert prediction.labels.min() >= 0 and prediction.labels.max() < len(self.info.classes)

    def test_one_class_is_enough(self, spec: ModelSpec) -> None:
        model = build_model(spec, DatasetInfo("contract", "val", ("only",), image_size=(128, 128)), self.overrides)
        [found] = model.eval().predict(self.noise((128, 128)))
        assert (found.labels == 0).all()

    def test_an_image_of_one_colour_is_no_accident(self, eager: TrainableModel) -> None:
        flat = [torch.full((3, 128, 128), value, dtype=torch.uint8) for value in (0, 128, 255)]
        for found in eager.predict([Input(f"flat-{index}", image) for index, image in enumerate(flat)]):
            assert torch.isfinite(found.boxes).all() and torch.isfinite(found.scores).all()

    def test_an_image_alone_and_in_a_batch_gives_the_same_boxes(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (128, 128))
        alone, together = eager.predict(inputs[:1])[0], eager.predict(inputs)[0]
        best = slice(10)  # further down, scores of an untrained network are too close to keep their order
        assert torch.allclose(alone.scores[best], together.scores[best], atol=1e-4)
        assert torch.allclose(alone.boxes[best], together.boxes[best], atol=1e-2)


class Detection(ObjectTask):
    name = "detection"
    target_fields = (TRUE_BOXES, TRUE_LABELS)
    prediction_fields = (BOXES, SCORES, LABELS)
    metrics = (
        MetricSpec("coco_ap", name, "roibench.metrics.detection:coco_ap", COCO_VALUES),
        MetricSpec(
            "neighbour_recall",
            name,
            "roibench.metrics.neighbours:neighbour_recall",
            (Value("near"), Value("apart")),
        ),
        MetricSpec("voc_ap", name, "roibench.metrics.detection:voc_ap", (Value("VOC07_AP50"), Value("VOC_AP50"))),
        MetricSpec(
            "tide",
            name,
            "roibench.metrics.error_costs:tide",
            tuple(Value(f"dAP_{kind}", higher_is_better=False) for kind in FIXED),
        ),
        MetricSpec("operating_point", name, "roibench.metrics.operating_point:operating_point", (Value("F1"),)),
        MetricSpec(
            "box_calibration",
            name,
            "roibench.metrics.calibration:detection_calibration",
            (Value("D_ECE", higher_is_better=False),),
        ),
    )
    contract = DetectorContract

    def mistakes(self, prediction: Prediction, target: Target) -> Mistakes:
        return detection_errors(prediction, target)
