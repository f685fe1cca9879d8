"""Which class is taken for which: a confusion matrix of detections, with background."""

from collections.abc import Sequence

import numpy as np

from roibench.metrics.detection_errors import FOREGROUND
from roibench.metrics.matching import Integers, Pairing, best_free_object


def confusion_matrix(pairings: Sequence[Pairing], score_threshold: float) -> tuple[Integers, Integers]:
    """The labels [C] that occur, and counts [C + 1, C + 1] of true class by predicted class; the last is background.

    Of the detections at or above the threshold, and of the objects, each counts once. First a detection finds an object
    of its own class, as for AP50 at IoU 0.5; then, best score first, what is left finds what is left, whatever its
    class. A detection that finds nothing is of background, a duplicate too; an object that nothing finds is taken for
    background. Detections on a crowd or an ignored object of their class count neither way.
    """
    pairs = [_pairs(pairing, score_threshold) for pairing in pairings]
    true, predicted = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.int64)
    labels = np.union1d(true[true >= 0], predicted[predicted >= 0])
    places = [np.where(one < 0, len(labels), np.searchsorted(labels, one)) for one in (true, predicted)]
    counts = np.zeros((len(labels) + 1, len(labels) + 1), np.int64)
    np.add.at(counts, tuple(places), 1)
    return labels, counts


def _pairs(pairing: Pairing, score_threshold: float) -> Integers:
    """[2, P]: true and predicted class of an image's pairs, -1 for background."""
    order = np.argsort(-pairing.scores, kind="stable")
    order = order[pairing.scores[order] >= score_threshold]
    labels, true_labels, similarity = pairing.labels[order], pairing.true_labels, pairing.similarity[order]
    needless = pairing.crowd | pairing.ignored
    alike = labels[:, None] == true_labels
    threshold = np.array([FOREGROUND])
    own = best_free_object(np.where(alike, similarity, -1.0), threshold, needless[None], pairing.crowd)[0, 0]

    free = ~needless
    free[own[own >= 0]] = False
    rest = np.flatnonzero(own < 0)
    nothing = np.zeros(len(true_labels), bool)
    other = best_free_object(np.where(free, similarity[rest], -1.0), threshold, nothing[None], nothing)[0, 0]
    found = own.copy()
    found[rest] = other
    counts = np.ones(len(order), bool)
    counts[own >= 0] = ~needless[own[own >= 0]]
    free[other[other >= 0]] = False

    hit = counts & (found >= 0)
    pairs = [
        (true_labels[found[hit]], labels[hit]),
        (np.full(int((found < 0).sum()), -1), labels[found < 0]),
        (true_labels[free], np.full(int(free.sum()), -1)),
    ]
    return np.concatenate([np.stack(pair) for pair in pairs], axis=1)
