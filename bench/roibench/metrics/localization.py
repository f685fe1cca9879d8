"""Localization: is the image's main object named and boxed? With bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np

from roibench.metric import Result
from roibench.metrics.bootstrap import bootstrap, mean_statistic, per_image
from roibench.metrics.classification import ranking
from roibench.metrics.detection import box_similarity
from roibench.metrics.fields import ImageError, Owner, by_image, checked_array, flags
from roibench.structures import Prediction, Target

THRESHOLD = 0.5  # of IoU
THRESHOLDS = np.array([0.3, 0.5, 0.7])  # MaxBoxAccV2's


def localization_accuracy(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """accuracy50, known_class50, MaxBoxAccV2 and box_iou: fractions of images, and a mean IoU over images.

    ILSVRC's localization with one guess (Russakovsky et al. 2015): the class is the main object's, and the
    box may be that of any object of this class. The guess is the prediction's first box and its highest class score
    (of equal ones, the lowest index).
    accuracy50: class right and IoU >= 0.5. known_class50: IoU >= 0.5, whatever the class ("GT-known localization").
    MaxBoxAccV2: the mean of known_class50 at IoU 0.3, 0.5 and 0.7 (Choe et al. 2020, arXiv 2007.04178), as of maps,
    which may choose the threshold that their boxes are drawn at; a box that is given has none.
    box_iou: the highest IoU with an object of the class; 0 where no box is given.
    A crowd is no object, unless it is the main one. An image without a main object doesn't count: NaN in per_image.
    """
    rows = [_score(*image) for image in by_image(predictions, targets)]
    class_right, iou = np.array(rows, np.float64).reshape(-1, 2).T
    box_right = np.where(np.isnan(iou), np.nan, iou >= THRESHOLD)
    of_boxes = {
        "known_class50": box_right,
        "MaxBoxAccV2": np.where(np.isnan(iou), np.nan, (iou[:, None] >= THRESHOLDS).mean(1)),
        "box_iou": iou,
    }
    statistic = mean_statistic({"accuracy50": box_right * class_right, **of_boxes})
    of_images = per_image(statistic, len(rows))
    return Result(bootstrap(statistic, len(rows), of_images=of_images), per_image=of_images)


def _score(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> tuple[float, float]:
    """Whether the class is right, and the IoU; NaN both where the image has no main object."""
    box = checked_array(owner, "boxes", prediction.boxes).reshape(-1, 4)[:1]
    true_boxes = checked_array(true_owner, "boxes", target.boxes).reshape(-1, 4)
    labels = checked_array(true_owner, "labels", target.labels, len(true_boxes))
    crowd = flags(true_owner, "crowd", target.crowd, len(true_boxes))
    if target.main is None:
        return np.nan, np.nan
    if not 0 <= target.main < len(true_boxes):
        raise ImageError(true_owner, f"main is {target.main}, but it has {len(true_boxes)} boxes")
    label = int(labels[target.main])
    crowd[target.main] = False
    objects = true_boxes[(labels == label) & ~crowd]
    iou = box_similarity(box, objects, np.zeros(len(objects), bool)).max(initial=0.0)
    return float(ranking(owner, prediction, label)[0] == label), float(iou)
