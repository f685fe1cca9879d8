"""What flows through the suite: an Input goes into a model, a Prediction comes out, a Target is the ground truth.

Boxes are xyxy in pixels of the image as given (x right, y down), with the origin at the image's upper left corner and
pixel centres at +0.5: a box that covers the first pixel alone is (0, 0, 1, 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from torch import Tensor

VOID = 255  # in a target's semantic map: pixels that count neither way
# Fields of a Prediction that have an entry per object.
PER_OBJECT = ("boxes", "scores", "labels", "masks", "keypoints", "captions")


@dataclass(frozen=True, slots=True)
class Input:
    """What a model is given. It never holds the answer.

    id: the image's name, unique in its dataset.
    image: uint8 [3, H, W], RGB, decoded, on the host; None for tasks without an image.
    query: what the task's model needs to know beside the image, if anything: a class, for instance.
    """

    id: str
    image: Tensor | None
    query: object = None


class _Fields:
    """Fields that every task may know, and in `extra` those of one task alone, found by one name."""

    __slots__ = ()

    def get(self, name: str) -> Any:
        """The field of this name; None where it isn't known."""
        return self.extra[name] if name in self.extra else getattr(self, name, None)

    @property
    def known(self) -> dict[str, Any]:
        """All fields that are known, by name."""
        common = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "extra"}
        return {name: value for name, value in (common | dict(self.extra)).items() if value is not None}

    @classmethod
    def of(cls, values: Mapping[str, Any]):
        """From values by name, whichever kind of field each is."""
        common = {one.name for one in fields(cls)} - {"extra"}
        extra = {name: value for name, value in values.items() if name not in common}
        return cls(**{name: value for name, value in values.items() if name in common}, extra=extra)


@dataclass(frozen=True, slots=True)
class Target(_Fields):
    """Ground truth of one image with N objects. A field is None where the dataset doesn't know it.

    boxes: float32 [N, 4], of the visible part.
    labels: int64 [N], index into DatasetInfo.classes.
    crowd: bool [N], a region of uncountable objects (COCO's iscrowd): detections inside it count neither way.
    ignored: bool [N], neither required nor wrong (VOC's difficult).
    areas: float32 [N], pixels of the object itself.
    masks: bool [N, H, W].
    keypoints: float32 [N, J, 3] as x, y, visibility (0 absent, 1 occluded, 2 visible).
    captions: one sentence per object.
    word_kinds: which words of the captions tell of what: kind, such as colour -> its words.
    main: the object that the image is about (largest visible area), None if there is none.
    image_label: int, the class of the whole image.
    semantic_map: uint8 [H, W], 0 background, class index + 1, VOID.
    extra: fields of one task alone, by name.
    """

    boxes: Tensor | None = None
    labels: Tensor | None = None
    crowd: Tensor | None = None
    ignored: Tensor | None = None
    areas: Tensor | None = None
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    captions: tuple[str, ...] | None = None
    word_kinds: Mapping[str, tuple[str, ...]] | None = None
    main: int | None = None
    image_label: int | None = None
    semantic_map: Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction(_Fields):
    """What a model predicts of one image: the fields of its tasks, on the host, in pixels of the image as given.

    boxes: float32 [K, 4].
    scores: float32 [K], best first.
    labels: int64 [K].
    masks: bool [K, H, W].
    keypoints: float32 [K, J, 3] as x, y, score.
    captions: one sentence per object.
    class_scores: float32 [C], of the whole image.
    semantic_map: uint8 [H, W], 0 background, class index + 1.
    extra: fields of one task alone, by name: tensors, or what JSON can hold.

    All of it is checked before it is scored (roibench.measure.checks).
    """

    boxes: Tensor | None = None
    scores: Tensor | None = None
    labels: Tensor | None = None
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    captions: tuple[str, ...] | None = None
    class_scores: Tensor | None = None
    semantic_map: Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Sample(NamedTuple):
    """One element of a dataset.

    input: what a model is given.
    target: its ground truth.
    """

    input: Input
    target: Target
