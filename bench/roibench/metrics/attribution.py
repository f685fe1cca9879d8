"""Attribution: does a map point at what it should explain? With bootstrap intervals over images.

The class is the one that the map explains (tasks.attribution.main_class). An image counts where an object of this class
is known that covers a pixel; crowds and ignored objects are no objects. What runs the model again is in
metrics.faithfulness.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction, mean_statistic, per_image
from roibench.metrics.detection import box_similarity
from roibench.metrics.fields import ImageError, Owner, by_image, check_size, checked_array, flags
from roibench.metrics.matching import Booleans, Floats
from roibench.metrics.relevance import components, scaled
from roibench.structures import Prediction, Target
from roibench.tasks.attribution import main_class

TOLERANCE = 0.03  # of the image's longer side: TorchRay's 15 pixels, of VOC's 500
THRESHOLDS = np.arange(0, 1, 0.01)  # of a map between 0 and 1, for boxes
IOUS = (0.3, 0.5, 0.7)


class Explanation(NamedTuple):
    """A map, and the G objects of the class that it explains.

    label: the class.
    map: float64 [H, W].
    boxes: float64 [G, 4].
    pixels: bool [H, W], those of the objects.
    """

    label: int
    map: Floats
    boxes: Floats
    pixels: Booleans


def pointing_game(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """pointing and energy, fractions.

    pointing: the pointing game (Zhang et al. 2016). A map hits if its maximum lies on an object (its mask, else its
    box) or within 3 % of the image's longer side of one; the mean over classes of the fraction of hits, as TorchRay has
    it. Where several pixels share the maximum, all of them must hit: a map that is the same everywhere points nowhere.
    energy: the positive relevance inside the objects' boxes over all positive relevance (Wang et al. 2020), the mean
    over images; 0 where a map has none. A pixel is in a box if its centre is.
    artefacts["pointing per class"]: label -> fraction of hits.
    """
    images = [read(*image) for image in by_image(predictions, targets)]
    hits = np.array([np.nan if one is None else float(_hits(one)) for one in images])
    energy = np.array([np.nan if one is None else _energy(one) for one in images])
    labels = np.array([-1 if one is None else one.label for one in images])
    classes = np.unique(labels[labels >= 0])
    member = (labels[:, None] == classes).astype(np.float64)  # [N, C]

    def class_hits(weights: Weights) -> Floats:
        return fraction(weights @ (member * np.nan_to_num(hits)[:, None]), weights @ member)

    def statistic(weights: Weights) -> dict[str, Floats]:
        rates = class_hits(weights)
        means = mean_statistic({"energy": energy})(weights)
        return {"pointing": fraction(np.nansum(rates, axis=1), (~np.isnan(rates)).sum(1)), **means}

    per_class = class_hits(np.ones((1, len(images)), np.int32))[0]
    of_images = per_image(statistic, len(images))
    return Result(
        bootstrap(statistic, len(images), of_images=of_images),
        per_image=of_images,
        artefacts={"pointing per class": dict(zip(classes.tolist(), per_class.tolist(), strict=True))},
    )


def max_box_acc(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """MaxBoxAccV2: weakly supervised localization from maps (Choe et al. 2020, arXiv 2007.04178), a fraction.

    A map is scaled to [0, 1] and thresholded; every component of what lies above it (8 neighbours) has a box. An
    image is right if one of these has an IoU of 0.3, 0.5 or 0.7 with an object of the class. Each of the three has the
    threshold that is best for the whole dataset, out of 0, 0.01 ... 0.99, and so has each resample; the mean of the
    three fractions of images is the value. artefacts["best threshold"]: IoU -> threshold and fraction.
    """
    images = [read(*image) for image in by_image(predictions, targets)]
    counted = [one for one in images if one is not None]
    right = np.zeros((len(images), len(IOUS), len(THRESHOLDS)))
    counts = np.array([one is not None for one in images])
    right[counts] = [_right(one) for one in counted] if counted else 0

    def accuracy(weights: Weights) -> Floats:
        total = np.tensordot(weights, right, 1)  # [R, IoUs, thresholds]
        return fraction(total, np.broadcast_to((weights @ counts)[:, None, None], total.shape))

    def statistic(weights: Weights) -> dict[str, Floats]:
        return {"MaxBoxAccV2": accuracy(weights).max(2).mean(1)}

    table = accuracy(np.ones((1, len(images)), np.int32))[0]
    best = table.argmax(1)
    return Result(
        bootstrap(statistic, len(images)),
        artefacts={
            "best threshold": {
                iou: {"threshold": float(THRESHOLDS[i]), "fraction": float(row[i])}
                for iou, row, i in zip(IOUS, table, best, strict=True)
            }
        },
    )


def read(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> Explanation | None:
    """What one image's map is held against; None where there is nothing to point at."""
    relevance = read_map(owner, prediction)
    label = main_class(target)
    boxes = checked_array(true_owner, "boxes", target.boxes).reshape(-1, 4)
    count = len(boxes)
    labels = checked_array(true_owner, "labels", target.labels, count)
    passed_over = flags(true_owner, "crowd", target.crowd, count) | flags(true_owner, "ignored", target.ignored, count)
    of_class = (labels == label) & ~passed_over if label is not None else np.zeros(count, bool)
    if target.masks is None:
        pixels = inside(boxes[of_class], relevance.shape)
    else:
        masks = flags(true_owner, "masks", target.masks, count)
        check_size(owner, "attribution", relevance.shape, masks.shape[1:])
        pixels = masks[of_class].any(0)
    return Explanation(label, relevance, boxes[of_class], pixels) if pixels.any() else None


def read_map(owner: Owner, prediction: Prediction) -> Floats:
    relevance = checked_array(owner, "attribution", prediction.get("attribution"))
    if relevance.ndim != 2 or not relevance.size:
        raise ImageError(owner, f"attribution is {list(relevance.shape)}, want [H, W]")
    return relevance


def inside(boxes: Floats, size: tuple[int, int]) -> Booleans:
    """[H, W]: pixels whose centres lie in one of the boxes [G, 4]."""
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    rows = (boxes[:, 1, None] <= y) & (y < boxes[:, 3, None])
    columns = (boxes[:, 0, None] <= x) & (x < boxes[:, 2, None])
    return (rows[:, :, None] & columns[:, None]).any(0)


def _hits(one: Explanation) -> bool:
    """Whether every maximum is near enough to a pixel of an object."""
    peaks = one.map == one.map.max()
    if peaks.all():
        return False
    far = ndimage.distance_transform_edt(~one.pixels)
    return bool((far[peaks] <= TOLERANCE * max(one.map.shape)).all())


def _energy(one: Explanation) -> float:
    positive = np.maximum(one.map, 0)
    total = positive.sum()
    return float(positive[inside(one.boxes, one.map.shape)].sum() / total) if total > 0 else 0.0


def _right(one: Explanation) -> Booleans:
    """[IoUs, thresholds]."""
    relevance = scaled(one.map)
    boxes = [components(relevance > threshold) for threshold in THRESHOLDS]
    nowhere = np.zeros(len(one.boxes), bool)
    best = np.array([box_similarity(found, one.boxes, nowhere).max(initial=0.0) for found in boxes])
    return best >= np.array(IOUS)[:, None]
