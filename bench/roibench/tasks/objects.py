"""The fields that tasks of objects share: boxes, scores, labels; and which objects of an image count."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor

from roibench.draw.boxes import draw_boxes, draw_tags
from roibench.field_checks import FLOATS, INTEGERS, check_finite, check_range, check_tensor
from roibench.specs import Value
from roibench.structures import PER_OBJECT, Prediction, Target
from roibench.task import Field, Frame, Layer, Scored, TargetField, Task
from roibench.tasks.doubts import classes_of, no_class_in_common, nothing_found, share

SCORE_THRESHOLD = 0.05
# Of COCO's average precision, whatever is matched; the first three are what papers tell.
COCO_VALUES = (
    Value("AP", ranks=True),
    Value("AP50", shown=True),
    Value("AP75", shown=True),
    *map(Value, ("APsmall", "APmedium", "APlarge", "AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge")),
)
MAX_DETECTIONS = 100

BORDER = 1.0  # pixels by which a box may reach out of its image: rounding
MOST = 0.95  # of the boxes: a layout that these fit is likely meant

# ---- boxes


def check_boxes(value: object, frame: Frame) -> str | None:
    return check_tensor("boxes", value, FLOATS, ("K", 4)) or check_finite("boxes", value)


def doubt_boxes(scored: Scored) -> Iterator[str]:
    given = [(one.boxes, frame) for one, frame in zip(scored.kept, scored.frames, strict=True) if frame.size]
    if not any(len(found) for found, _ in given):
        if not any(len(one.boxes) for one in scored.kept):
            yield nothing_found(scored)
        return
    found = torch.cat([found.double() for found, _ in given])
    sizes = torch.cat([_size(frame).expand(len(found), 2) for found, frame in given])
    if found.min() >= 0 and found.max() <= 1 and sizes.max() > 2:
        yield f"all {len(found):,} boxes lie within [0, 1]: divided by the image's size? want pixels"
        return
    inverted = (found[:, 2:] < found[:, :2]).any(1)
    outside = ~_inside(found, sizes)
    layouts = [name for name, corners in _LAYOUTS.items() if _fit(corners(found), sizes)]
    # Small boxes fit as corner and size, too: a hint only where the boxes don't fit as they are.
    hint = f"; as {' or '.join(layouts)} they fit: want x1, y1, x2, y2" if layouts and not _fit(found, sizes) else ""
    kinds = {
        "are inverted (x2 < x1 or y2 < y1)": inverted,
        "reach out of their image": outside,
        # A box that was clipped to its image may be empty; many are another matter.
        "have no area": (found[:, 2:] == found[:, :2]).any(1) & bool(hint),
    }
    for kind, wrong in kinds.items():
        if wrong.any():
            yield f"{share(wrong)} boxes {kind}{hint}"
            hint = ""


_LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "x, y, width, height": lambda found: torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], 1),
    "centre x, centre y, width, height": lambda found: torch.cat(
        [found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], 1
    ),
}


def _fit(found: Tensor, sizes: Tensor) -> bool:
    """Whether most boxes are upright and lie in their images."""
    return bool((_inside(found, sizes) & (found[:, 2:] > found[:, :2]).all(1)).double().mean() >= MOST)


def _inside(found: Tensor, sizes: Tensor) -> Tensor:
    """[K] for boxes [K, 4] and sizes [K, 2] as width, height."""
    limits = torch.cat([sizes, sizes], 1)
    return ((found >= -BORDER) & (found <= limits + BORDER)).all(1)


def _size(frame: Frame) -> Tensor:
    height, width = frame.size
    return torch.tensor([[float(width), float(height)]], dtype=torch.float64)


def describe_objects(prediction: Prediction, classes: Sequence[str], score_threshold: float) -> dict[str, Any]:
    """objects: those that score at least the threshold, with what is known of each: label, score, caption, box as xyxy
    in pixels, keypoints as x, y, score, and mask in COCO's run-length encoding.
    """
    known = next(value for name in PER_OBJECT if (value := prediction.get(name)) is not None)
    return {
        "objects": [
            _described(prediction, i, classes)
            for i in range(len(known))
            if prediction.scores is None or prediction.scores[i] >= score_threshold
        ]
    }


def _described(found: Prediction, index: int, classes: Sequence[str]) -> dict[str, Any]:
    said: dict[str, Callable[[Any], Any]] = {
        "label": lambda label: classes[int(label)],
        "score": lambda score: round(float(score), 4),
        "caption": lambda caption: caption,
        "box": lambda box: [round(value, 2) for value in box.tolist()],
        "keypoints": lambda points: [[round(value, 2) for value in point] for point in points.tolist()],
        "mask": _run_lengths,
    }
    fields = ("labels", "scores", "captions", "boxes", "keypoints", "masks")
    return {
        name: say(value[index])
        for (name, say), field in zip(said.items(), fields, strict=True)
        if (value := found.get(field)) is not None
    }


def _run_lengths(mask: Tensor) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask.numpy().view(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


BOXES = Field(
    "boxes",
    check_boxes,
    per_object=True,
    doubts=doubt_boxes,
    layers=(Layer(draw_boxes), Layer(draw_tags)),
    describe=describe_objects,
    in_words=lambda found: f"{len(found['objects'])} objects",
)

# ---- scores and labels


def check_scores(value: object, frame: Frame) -> str | None:
    return check_tensor("scores", value, FLOATS, ("K",)) or check_finite("scores", value)


def doubt_scores(scored: Scored) -> Iterator[str]:
    falling = [bool((one.scores.diff() <= 0).all()) for one in scored.returned]
    if not all(falling):
        yield f"{share(~torch.tensor(falling))} images have scores that aren't sorted, best first"


def check_labels(value: object, frame: Frame) -> str | None:
    """An index of a class."""
    return check_tensor("labels", value, INTEGERS, ("K",)) or check_range("labels", value, len(frame.classes) - 1)


def doubt_labels(scored: Scored) -> Iterator[str]:
    found = classes_of(one.labels for one in scored.kept)
    yield from no_class_in_common(scored, found, classes_of(one.labels for one in scored.targets))


SCORES = Field("scores", check_scores, per_object=True, doubts=doubt_scores)
LABELS = Field("labels", check_labels, per_object=True, doubts=doubt_labels)

# ---- ground truth


def counted(target: Target, objects: int) -> Tensor:
    """Which objects are neither a crowd nor ignored, bool [objects]."""
    kept = torch.ones(objects, dtype=torch.bool)
    for passed_over in (target.crowd, target.ignored):
        if passed_over is not None:
            kept &= ~passed_over
    return kept


def objects_of(name: str) -> Callable[[Target], bool]:
    """Whether a target has an object that counts, of a field with an entry per object."""
    return lambda target: bool(counted(target, len(target.get(name))).any())


TRUE_BOXES = TargetField("boxes", check_boxes, objects_of("boxes"))
TRUE_LABELS = TargetField("labels", check_labels, objects_of("labels"))


class ObjectTask(Task):
    """What tasks have in common that score an image's objects one by one: the same filter, and a perfect prediction."""

    score_threshold: float | None = SCORE_THRESHOLD
    max_detections: int | None = MAX_DETECTIONS

    def ground_truth(self, target: Target) -> Prediction:
        """The fields of the ground truth that a prediction has, too, with scores of 1."""
        known = super().ground_truth(target).known
        count = next((len(value) for value in known.values()), None)
        return Prediction.of(known if count is None else known | {"scores": torch.ones(count)})
