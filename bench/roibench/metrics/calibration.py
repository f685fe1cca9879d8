"""Whether a score can be read as a probability: expected calibration error, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np

from roibench.chart import Bin, Listing, Reliability
from roibench.metric import Result
from roibench.metrics.bootstrap import Weights, bootstrap, fraction
from roibench.metrics.classification import ranking
from roibench.metrics.detection import pair_boxes
from roibench.metrics.detection_errors import FOREGROUND
from roibench.metrics.fields import by_image, present
from roibench.metrics.matching import AREAS, Booleans, Floats, Integers, match
from roibench.structures import Prediction, Target

BINS = 15  # of equal width, as in Guo et al. 2017
_ROUNDING = 1e-6  # of a probability in float32


def classification_calibration(
    predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None
) -> Result:
    """ECE (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599, equation 3): how far the confidence of the predicted
    class, its score, lies from the share of images on which it is right: the mean over bins of the absolute difference,
    by how many images each holds. Bins hold (low, high], the first one 0 too.

    Scores that leave [0, 1] are no probabilities, and have no value. artefacts["reliability"]: the bins, or why there
    are none.
    """
    confidence, right = [], []
    for owner, prediction, true_owner, target in by_image(predictions, targets):
        label = int(present(true_owner, "image_label", target.image_label))
        predicted = ranking(owner, prediction, label)[0]
        confidence.append(float(prediction.class_scores[predicted]))
        right.append(predicted == label)
    axes = ("confidence: the score of the predicted class", "accuracy")
    return _calibration(
        "ECE", np.array(confidence), np.array(right, bool), np.arange(len(right)), len(right), "images", axes
    )


def detection_calibration(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """D_ECE: the same of detections (Küppers et al. 2020, arXiv 2004.13546, equation 4, of the confidence alone): a
    detection is right if it has found an object as for AP50, at IoU 0.5. One on a crowd or an ignored object doesn't
    count.

    It is of all detections that are scored: of the many with a low score most. What was missed isn't in it.
    """
    pairings = [pair_boxes(*image) for image in by_image(predictions, targets)]
    matching = match(pairings, np.array([FOREGROUND]), {"all": AREAS["all"]})
    hit, miss = matching.hit[0, 0], matching.miss[0, 0]
    counts = hit | miss
    axes = ("confidence: the detection's score", "precision at IoU 0.5")
    return _calibration(
        "D_ECE", matching.score[counts], hit[counts], matching.image[counts], matching.images, "detections", axes
    )


def _calibration(
    name: str,
    confidence: Floats,
    right: Booleans,
    image: Integers,
    images: int,
    what: str,
    axes: tuple[str, str],
) -> Result:
    """Of any number of things with a confidence on each image; none has no calibration."""
    if not len(confidence):
        return Result({})
    if confidence.min() < -_ROUNDING or confidence.max() > 1 + _ROUNDING:
        given = f"from {confidence.min():.3g} to {confidence.max():.3g}"
        why = f"Scores {given} are no probabilities, and have no calibration error."
        return Result({}, artefacts={"reliability": Listing(why, {}, {})})
    confidence = confidence.clip(0, 1)
    which = np.searchsorted(np.arange(1, BINS) / BINS, confidence)
    count, confident, correct = (np.zeros((images, BINS)) for _ in range(3))
    for table, of_each in ((count, 1.0), (confident, confidence), (correct, right)):
        np.add.at(table, (image, which), of_each)

    def statistic(weights: Weights) -> dict[str, Floats]:
        return {name: fraction(np.abs(weights @ (confident - correct)).sum(1), (weights @ count).sum(1))}

    bins = tuple(
        Bin(b / BINS, (b + 1) / BINS, int(number), float(total / number), float(hits / number))
        for b, (number, total, hits) in enumerate(zip(count.sum(0), confident.sum(0), correct.sum(0), strict=True))
        if number
    )
    values = bootstrap(statistic, images)
    about = (
        f"{BINS} bins of {len(confidence):,} {what} by their confidence: those below the diagonal are overconfident."
    )
    return Result(values, artefacts={"reliability": Reliability(about, *axes, bins)})
