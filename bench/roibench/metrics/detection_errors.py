"""What is wrong with a detection: TIDE's kinds of errors (Bolya et al. 2020, arXiv 2008.08115), image by image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roibench.metrics.detection import pair_boxes
from roibench.metrics.fields import Owner
from roibench.metrics.matching import Booleans, Integers, Pairing, best_free_object
from roibench.structures import Prediction, Target
from roibench.task import Mistakes

FOREGROUND, BACKGROUND = 0.5, 0.1  # of IoU
KINDS = ("location", "class", "duplicate", "background", "both")
MISSED = "missed"


class Errors(NamedTuple):
    """What is wrong with the D detections of an image that has G objects.

    found: [D], the object that each has found as for AP50, -1 for none.
    kinds: [D], of KINDS; "" where an object was found.
    about: [D], of an error of location or class the object that it is about; -1 otherwise.
    missed: [G], what no detection has found, and none would but for its location or its class.
    """

    found: Integers
    kinds: NDArray[np.str_]
    about: Integers
    missed: Booleans


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
    errors = pairing_errors(pair_boxes(Owner(0, "prediction"), prediction, Owner(0, "target"), target))
    return Mistakes(tuple(str(kind) or None for kind in errors.kinds), tuple(errors.missed.tolist()))


def pairing_errors(pairing: Pairing) -> Errors:
    """The same of an image whose detections and objects are compared already, whatever by."""
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
    kinds = np.where(wrong, np.select(fits, KINDS[:-1], KINDS[-1]), "")
    about = np.full(len(order), -1)
    missed = ~needless
    missed[found[~wrong]] = False
    if len(missed):
        for kind, overlaps in (("location", own), ("class", other)):
            about[kinds == kind] = overlaps.argmax(1)[kinds == kind]
        missed[about[about >= 0]] = False
    return Errors(found, kinds, about, missed)
