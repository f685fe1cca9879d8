"""What each kind of a detector's errors costs it: TIDE's dAP (Bolya et al. 2020, arXiv 2008.08115), with intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from roibench.chart import Listing
from roibench.metric import Estimate, Result
from roibench.metrics.average_precision import accumulate
from roibench.metrics.bootstrap import Weights, fraction, interval, resample
from roibench.metrics.detection import pair_boxes
from roibench.metrics.detection_errors import FOREGROUND, KINDS, MISSED, Errors, pairing_errors
from roibench.metrics.fields import by_image
from roibench.metrics.matching import Booleans, Floats, Integers, Matching, Pairing
from roibench.structures import Prediction, Target

FIXED = ("class", "location", "both", "duplicate", "background", MISSED)  # in the order of the paper


def tide(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """dAP_KIND: how much higher AP50 would be if all errors of this kind, and no others, were repaired; a fraction.

    The kinds are those of detection_errors. As the authors' code repairs them:
    class, location: of the detections that are wrong about an object which none has found, the one with the highest
    score becomes right, at its score and with the object's class; all others of the kind go away.
    both, duplicate, background: they go away.
    missed: the objects need no longer be found. A class of which none is left has an AP of 0 if it has detections, and
    is left out otherwise.

    Kinds don't add up: each is repaired alone. AP50 is COCO's, a mean over the classes that have ground truth, where
    the authors' code counts a predicted class without any as 0; it also lifts a dAP to 0 that the steps of interpolated
    precision make negative. The interval is that of a paired difference over resamples of the images
    (metrics.bootstrap.interval); how often it holds the true value is not known yet. Without ground truth nothing is
    defined, and without detections that of missed isn't. artefacts["errors"]: how many there are.
    """
    pairings = [pair_boxes(*image) for image in by_image(predictions, targets)]
    if not pairings:
        raise ValueError("there is no image to score")
    errors = [pairing_errors(pairing) for pairing in pairings]
    as_is, repaired = _matching(pairings, errors), dict(_repaired(pairings, errors))
    ones, draws = np.ones((1, len(pairings)), np.int32), resample(len(pairings))
    value, resampled = (_gains(as_is, repaired, weights) for weights in (ones, draws))
    values = {
        f"dAP_{kind}": interval(gain[0], resampled[kind]) for kind, gain in value.items() if not np.isnan(gain[0])
    }
    return Result(values, artefacts={"errors": _counted(errors, values)})


def _gains(as_is: Matching, repaired: dict[str, Matching], weights: Weights) -> dict[str, Floats]:
    """By kind, [R]."""
    labels, now = _by_class(as_is, weights)
    before = _mean(now)
    gains = {}
    for kind, matching in repaired.items():
        found, precision = _by_class(matching, weights)
        after = np.full(now.shape, np.nan)
        after[np.searchsorted(labels, found)] = precision
        if kind == MISSED:  # alone takes objects away
            after[np.isnan(after) & _is_predicted(matching, labels, weights)] = 0
        gains[kind] = _mean(np.where(np.isnan(now), np.nan, after)) - before
    return gains


def _by_class(matching: Matching, weights: Weights) -> tuple[Integers, Floats]:
    """The classes with ground truth, and their AP50 [K, R]."""
    scores = accumulate(matching, weights, "all", ())
    return scores.labels, scores.precision[:, 0]


def _is_predicted(matching: Matching, labels: Integers, weights: Weights) -> Booleans:
    """[K, R]: whether images that are drawn have a detection of the class that counts."""
    counts = (matching.hit | matching.miss)[0, 0]
    table = np.zeros((len(labels), matching.images))
    known = counts & np.isin(matching.label, labels)
    np.add.at(table, (np.searchsorted(labels, matching.label[known]), matching.image[known]), 1)
    return table @ weights.T > 0


def _mean(precision: Floats) -> Floats:
    """[K, R] -> [R], over the classes where it is defined."""
    defined = ~np.isnan(precision)
    return fraction(np.where(defined, precision, 0).sum(0), defined.sum(0))


def _matching(pairings: Sequence[Pairing], errors: Sequence[Errors]) -> Matching:
    """All detections at IoU 0.5, sorted as average precision wants them; only what recall needs is not filled in."""
    needless = [pairing.crowd | pairing.ignored for pairing in pairings]
    found = [np.isin(one.found, np.flatnonzero(~unneeded)) for one, unneeded in zip(errors, needless, strict=True)]
    label = np.concatenate([pairing.labels for pairing in pairings])
    return _sorted(
        Matching(
            images=len(pairings),
            areas=("all",),
            thresholds=np.array([FOREGROUND]),
            image=np.repeat(np.arange(len(pairings)), [len(pairing.labels) for pairing in pairings]),
            label=label,
            score=np.concatenate([pairing.scores for pairing in pairings]),
            rank=np.zeros(len(label), np.int64),
            hit=np.concatenate(found)[None, None],
            miss=np.concatenate([one.found < 0 for one in errors])[None, None],
            true_image=np.repeat(np.arange(len(pairings)), [len(pairing.true_labels) for pairing in pairings]),
            true_label=np.concatenate([pairing.true_labels for pairing in pairings]),
            required=~np.concatenate(needless)[None],
        )
    )


def _repaired(pairings: Sequence[Pairing], errors: Sequence[Errors]) -> Iterator[tuple[str, Matching]]:
    """By kind, what would be without its errors."""
    for kind in FIXED:
        if kind == MISSED:
            still = [replace(pairing, ignored=pairing.ignored | one.missed)
                     for pairing, one in zip(pairings, errors, strict=True)]  # fmt: skip
            yield kind, _matching(still, errors)
        else:
            fixed = [_repaired_image(pairing, one, kind) for pairing, one in zip(pairings, errors, strict=True)]
            yield kind, _matching(*zip(*fixed, strict=True))


def _repaired_image(pairing: Pairing, errors: Errors, kind: str) -> tuple[Pairing, Errors]:
    """Without the image's errors of a kind: those that become right have found their object, with its class."""
    right = _first_about(pairing, errors) & (errors.kinds == kind)
    kept = (errors.kinds != kind) | right
    labels = pairing.labels.copy()
    labels[right] = pairing.true_labels[errors.about[right]]
    found = np.where(right, errors.about, errors.found)
    fixed = replace(
        pairing,
        similarity=pairing.similarity[kept],
        scores=pairing.scores[kept],
        labels=labels[kept],
        areas=pairing.areas[kept],
    )
    return fixed, Errors(found[kept], errors.kinds[kept], errors.about[kept], errors.missed)


def _first_about(pairing: Pairing, errors: Errors) -> Booleans:
    """[D]: of the detections that are about an object that none has found, whatever they have wrong, the best ones."""
    about = np.where(np.isin(errors.about, errors.found), -1, errors.about)
    order = np.argsort(-pairing.scores, kind="stable")
    _, first = np.unique(about[order], return_index=True)
    best = np.zeros(len(order), bool)
    best[order[first]] = True
    return best & (about >= 0)


def _sorted(matching: Matching) -> Matching:
    order = np.lexsort((-matching.score, matching.label))
    return replace(
        matching,
        image=matching.image[order],
        label=matching.label[order],
        score=matching.score[order],
        hit=matching.hit[..., order],
        miss=matching.miss[..., order],
    )


def _counted(errors: Sequence[Errors], values: dict[str, Estimate]) -> Listing:
    """By kind."""
    kinds = np.concatenate([one.kinds for one in errors])
    counts = {kind: int((kinds == kind).sum()) for kind in KINDS} | {
        MISSED: sum(int(one.missed.sum()) for one in errors)
    }
    gains = {kind: values.get(f"dAP_{kind}") for kind in FIXED}
    return Listing(
        "TIDE's kinds of errors, of all detections that are scored: how many, and by how many points AP50 would rise "
        "without them. Each kind is repaired alone, so they don't add up.",
        {"number": "", "dAP": "%"},
        {kind: (counts[kind], gain and replace(gain, resampled=())) for kind, gain in gains.items()},
    )
