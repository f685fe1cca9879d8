"""What is wrong with a detection: TIDE's kinds of errors (Bolya et al. 2020, arXiv 2008.08115), image by image."""

import numpy as np

from roibench.metrics.detection import pair_boxes
from roibench.metrics.fields import Owner
from roibench.metrics.matching import best_free_object
from roibench.structures import Prediction, Target
from roibench.task import Mistakes

FOREGROUND, BACKGROUND = 0.5, 0.1  # of IoU
KINDS = ("location", "class", "duplicate", "background", "both")


def detection_errors(prediction: Prediction, target: Target) -> Mistakes:
    """What is wrong with each box of an image, xyxy in pixels: one of KINDS, or None where it has found an object.

    Detections find objects as for AP50 (metrics.matching), best score first. Of one that has found none, the highest
    IoU with an object of its own class, and with one of another class, tell why:
    location: with one of its own, from 0.1 up to 0.5.
    class: with one of another, 0.5 or more.
    duplicate: with one of its own, 0.5 or more; a detection of a higher score has found that one.
    background: with any, at most 0.1.
    both: all else, which lies badly on an object of another class.
    Where several fit it is the first of these, as in the authors' code. An object is missed if no detection has found
    it and none would but for its location or its class, which is then the error.
    Crowds and ignored objects are none, and what lies on them is no error.

    Raises ImageError for a prediction or a target that makes no sense.
    """
    pairing = pair_boxes(Owner(0, "prediction"), prediction, Owner(0, "target"), target)
    needless = pairing.crowd | pairing.ignored
    alike = pairing.labels[:, None] == pairing.true_labels
    order = np.argsort(-pairing.scores, kind="stable")
    similarity = np.where(alike, pairing.similarity, -1.0)[order]
    found = np.empty(len(order), np.int64)
    found[order] = best_free_object(similarity, np.array([FOREGROUND]), needless[None], pairing.crowd)[0, 0]
    wrong = found < 0

    iou = np.where(needless, 0.0, pairing.similarity)
    own, other = (np.where(which, iou, 0.0) for which in (alike, ~alike))
    best_own, best_other = own.max(1, initial=0.0), other.max(1, initial=0.0)
    fits = (
        (best_own >= BACKGROUND) & (best_own < FOREGROUND),
        best_other >= FOREGROUND,
        best_own >= FOREGROUND,
        np.maximum(best_own, best_other) <= BACKGROUND,
    )
    kinds = np.select(fits, KINDS[:-1], KINDS[-1])
    missed = ~needless
    missed[found[~wrong]] = False
    if len(missed):
        for kind, overlaps in (("location", own), ("class", other)):
            missed[overlaps.argmax(1)[wrong & (kinds == kind)]] = False
    objects = tuple(str(kind) if is_wrong else None for kind, is_wrong in zip(kinds, wrong, strict=True))
    return Mistakes(objects, tuple(missed.tolist()))
