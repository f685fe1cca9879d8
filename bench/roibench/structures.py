"""What flows through the suite: an Input goes into a model, a Prediction comes out, a Target says what was right.

Boxes are xyxy in pixels of the image as given (x right, y down), with the origin at the image's upper left corner and
pixel centres at +0.5: a box that covers the first pixel alone is (0, 0, 1, 1).
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

VOID = 255  # in Target.semantic_map: a pixel that is neither learned nor scored


@dataclass(frozen=True, slots=True)
class Input:
    """What a model is given. It never holds the answer.

    id: the image's name, unique in its dataset.
    image: uint8 [3, H, W], RGB, decoded, on the host; None for tasks without an image (generation).
    query: what the task asks for, if anything: a class to explain, a latent to decode, a unit to show.
    """

    id: str
    image: Tensor | None
    query: object = None


@dataclass(frozen=True, slots=True)
class Target:
    """Ground truth of one image with N objects. A field is None where the dataset doesn't know it.

    boxes: float32 [N, 4], of the visible part. labels: int64 [N], index into DatasetInfo.classes.
    crowd: bool [N], a region of uncountable objects (COCO's iscrowd): detections inside it count neither way.
    ignored: bool [N], neither required nor wrong (VOC's difficult). areas: float32 [N], pixels of the object itself.
    masks: bool [N, H, W]. keypoints: float32 [N, J, 3] as x, y, visibility (0 absent, 1 hidden, 2 visible).
    captions: one sentence per object. main: the object that the image is about (largest visible area), None if there is
    none. image_label: int, the class of the whole image. semantic_map: uint8 [H, W], 0 background, class index + 1,
    VOID (255): pixels that count neither way.
    """

    boxes: Tensor | None = None
    labels: Tensor | None = None
    crowd: Tensor | None = None
    ignored: Tensor | None = None
    areas: Tensor | None = None
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    captions: tuple[str, ...] | None = None
    main: int | None = None
    image_label: int | None = None
    semantic_map: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model predicts of one image: the fields of its tasks, on the host, in pixels of the image as given.

    boxes: float32 [K, 4]. scores: float32 [K], best first. labels: int64 [K]. masks: bool [K, H, W].
    keypoints: float32 [K, J, 3] as x, y, score. captions: one sentence per box. class_scores: float32 [C], of the whole
    image. semantic_map: uint8 [H, W], 0 background, class index + 1. attribution: float32 [H, W], how much each pixel
    counted. features: float32 [D]. generated: uint8 [3, H, W]. All of it is checked before it is scored
    (roibench.measure.checks).
    """

    boxes: Tensor | None = None
    scores: Tensor | None = None
    labels: Tensor | None = None
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    captions: tuple[str, ...] | None = None
    class_scores: Tensor | None = None
    semantic_map: Tensor | None = None
    attribution: Tensor | None = None
    features: Tensor | None = None
    generated: Tensor | None = None


class Sample(NamedTuple):
    """One element of a dataset."""

    input: Input
    target: Target
