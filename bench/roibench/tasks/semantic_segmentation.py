"""Semantic segmentation: the class of every pixel."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from roibench.contract import NetworkContract
from roibench.draw.semantic_map import add_legend, draw_map, shares
from roibench.field_checks import check_range, check_tensor
from roibench.model import TrainableModel
from roibench.specs import MetricSpec, Value
from roibench.structures import VOID, Prediction, Target
from roibench.task import Field, Frame, Layer, Place, Scored, TargetField, Task
from roibench.tasks.doubts import classes_of, no_class_in_common


def check_semantic_map(value: object, frame: Frame) -> str | None:
    """0 is background, then the classes; a model can't answer VOID, which is in the ground truth alone."""
    kind = check_tensor("semantic_map", value, (torch.uint8,), frame.sides)
    return kind or check_range("semantic_map", value, len(frame.classes))


def check_true_map(value: object, frame: Frame) -> str | None:
    kind = check_tensor("semantic_map", value, (torch.uint8,), frame.sides)
    return kind or check_range("semantic_map", value[value != VOID], len(frame.classes))


def doubt_semantic_map(scored: Scored) -> Iterator[str]:
    found = classes_of(one.semantic_map for one in scored.kept) - {0}
    true = classes_of(one.semantic_map for one in scored.targets) - {0, VOID}
    if not found:
        yield f"not a pixel in {len(scored.kept):,} images has another class than background"
    yield from no_class_in_common(scored, {value - 1 for value in found}, {value - 1 for value in true})


def describe_semantic_map(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """pixels: the part of them that each class has, largest first."""
    names = ("background", *classes)
    parts = shares(prediction.semantic_map.numpy())
    return {"pixels": [{"label": names[value], "share": round(part, 4)} for value, part in parts.items()]}


SEMANTIC_MAP = Field(
    "semantic_map",
    check_semantic_map,
    doubts=doubt_semantic_map,
    layers=(Layer(draw_map, Place.AREA), Layer(add_legend, Place.STRIP)),
    describe=describe_semantic_map,
    in_words=lambda found: f"{len(found['pixels'])} classes",
    # 8-bit: 0 background, class index + 1.
    file=("maps", lambda prediction: Image.fromarray(prediction.semantic_map.numpy())),
)


class SegmentationContract(NetworkContract):
    """What the semantic segmentation task relies on, of a network that learns semantic maps."""

    @staticmethod
    def bands(*values: int) -> Target:
        """A map of 128x128 pixels, one horizontal band per value."""
        rows = torch.arange(128) * len(values) // 128
        return Target(semantic_map=torch.tensor(values, dtype=torch.uint8)[rows][:, None].repeat(1, 128))

    def targets(self) -> list[Target]:
        return [self.bands(0, 1, 3), self.bands(VOID, 2, 0, 1)]

    def empty_targets(self) -> list[Target]:
        return [self.bands(VOID), self.bands(VOID)]

    def test_maps_have_the_sizes_of_the_images_as_given(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (37, 91), (1, 1), (3, 200), (400, 1))
        for predictions in (eager.predict(inputs), [eager.predict([one])[0] for one in inputs]):
            for one, prediction in zip(inputs, predictions, strict=True):
                assert prediction.semantic_map.shape == one.image.shape[1:]
                assert prediction.semantic_map.dtype == torch.uint8

    def test_maps_hold_background_and_classes_and_no_void(self, eager: TrainableModel) -> None:
        [prediction] = eager.predict(self.noise((128, 128)))
        assert prediction.semantic_map.max() <= len(self.info.classes)

    def test_an_image_alone_and_in_a_batch_gives_the_same_map(self, eager: TrainableModel) -> None:
        inputs = self.noise((128, 128), (128, 128))
        alone, together = eager.predict(inputs[:1])[0], eager.predict(inputs)[0]
        # An untrained network's scores may tie within rounding.
        assert (alone.semantic_map == together.semantic_map).float().mean() > 0.999


class SemanticSegmentation(Task):
    name = "semantic_segmentation"
    target_fields = (
        TargetField("semantic_map", check_true_map, lambda target: bool((target.semantic_map != VOID).any())),
    )
    prediction_fields = (SEMANTIC_MAP,)
    metrics = (
        MetricSpec(
            "mean_iou",
            name,
            "roibench.metrics.semantic_segmentation:mean_iou",
            (
                Value("mIoU", ranks=True),
                Value("boundary_mIoU", shown=True),
                Value("pixel_accuracy", shown=True),
                Value("mean_accuracy"),
                Value("frequency_weighted_IoU"),
            ),
        ),
    )
    contract = SegmentationContract
