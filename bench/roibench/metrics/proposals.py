"""Object proposals: recall of boxes without a class, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np

from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction, per_image
from roibench.metrics.detection import pair_boxes
from roibench.metrics.fields import by_image
from roibench.metrics.matching import AREAS, IOU_THRESHOLDS, Floats, match
from roibench.structures import Prediction, Target

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # proposals per image, of the curves
_AVERAGED = (10, 100, 1000)  # of the average recalls
LEVELS = {"recall50": 0.5, "recall70": 0.7}


def proposal_recall(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """recall50, recall70, AR10, AR100 and AR1000: fractions of the objects of all images that a proposal covers; and
    recall50_at_K and recall70_at_K, with the best K proposals of each image, for K in COUNTS.

    Labels don't matter; proposals are matched with objects one to one, best score first, as pycocotools' COCOeval does
    with useCats = 0. recall50 and recall70: at IoU 0.5 and 0.7, with the best 2,000 proposals of each image. AR at k:
    the mean of the recalls at IoU 0.5, 0.55 ... 0.95 with the best k of each image (COCO; Hosang et al. 2016).
    Crowds and ignored objects need not be covered.
    """
    pairings = [pair_boxes(*image, one_class=True) for image in by_image(predictions, targets)]
    matching = match(pairings, areas={"all": AREAS["all"]}, max_detections=max(COUNTS))
    objects = np.bincount(matching.true_image[matching.required[0]], minlength=matching.images).astype(np.float64)
    covered = np.zeros((len(COUNTS), len(IOU_THRESHOLDS), matching.images))
    level, detection = np.nonzero(matching.hit[0])
    for row, count in zip(covered, COUNTS, strict=True):
        early = matching.rank[detection] < count
        np.add.at(row, (level[early], matching.image[detection[early]]), 1)

    def recall(weights: Weights) -> Floats:
        return fraction(covered @ weights.T, np.broadcast_to(weights @ objects, (*covered.shape[:2], len(weights))))

    def statistic(weights: Weights) -> dict[str, Floats]:
        recalls = recall(weights)
        averages = {f"AR{k}": recalls[COUNTS.index(k)].mean(0) for k in _AVERAGED}
        points = {
            f"{name}_at_{k}": recalls[i, _level(iou)] for name, iou in LEVELS.items() for i, k in enumerate(COUNTS)
        }
        return {name: recalls[-1, _level(iou)] for name, iou in LEVELS.items()} | averages | points

    of_images = per_image(statistic, matching.images)
    values = bootstrap(statistic, matching.images, of_images=of_images)
    # Of an image alone, the curves' points say no more than their ends.
    return Result(values, per_image={name: column for name, column in of_images.items() if "_at_" not in name})


def _level(iou: float) -> int:
    return int(np.argmin(np.abs(IOU_THRESHOLDS - iou)))
