"""Dense captioning: average precision of boxes and their sentences together (Johnson et al. 2016, arXiv 1511.07571).

As in the authors' evaluation, true boxes that overlap by an IoU of 0.7 or more are one region, their mean, with several
references. A detection belongs to the region that it overlaps most. The first one there, best score first, takes the
region, whether or not it is good enough; it is right if its IoU and the similarity of its sentence with a reference
reach both thresholds, and all others are wrong. mAP is the mean over all pairs of thresholds of the average precision
at 101 values of recall.

The paper's similarity is METEOR, which needs Java and WordNet. Here it is the F1 score of ROUGE-L (Lin 2004): twice the
longest common subsequence of words over the number of words in both, for which rapidfuzz's normalised Indel similarity
is another name. METEOR hardly ever nears 1, so that the paper's thresholds end at 0.25; ROUGE-L is 1 for equal
sentences, and the thresholds are spread over all of its range: at 0 the box alone counts, at 1 every word.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from rapidfuzz.distance import Indel

from roibench.metric import Result
from roibench.metrics.average_precision import accumulate
from roibench.metrics.bootstrap import Weights, bootstrap, bootstrap_precision, fraction, per_image
from roibench.metrics.detection import box_similarity, pair_boxes
from roibench.metrics.fields import ImageError, Owner, by_image, checked_array, flags, present
from roibench.metrics.matching import Booleans, Floats, Integers, Matching
from roibench.structures import Prediction, Target
from roibench.words import words_of

IOU_THRESHOLDS: Floats = np.array([0.3, 0.4, 0.5, 0.6, 0.7])
SIMILARITY_THRESHOLDS: Floats = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
MERGED = 0.7  # IoU of true boxes that are one region
FOUND = 0.5  # IoU of a detection whose words are compared with its region's
KINDS = ("size", "texture", "colour", "class", "relation")
_PAIRS = len(IOU_THRESHOLDS) * len(SIMILARITY_THRESHOLDS)
_ROUNDING = 1e-9  # by which a fraction may miss its threshold


def dense_captioning_ap(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """mAP; box_AP, the mean over the pairs whose similarity threshold is 0; and for each of KINDS, of the regions that
    were found, how many sentences have the right word of this kind.

    A region is found by the detection that takes it with an IoU of 0.5 or more. The target tells which words are of a
    kind (Target.word_kinds); the first one in a sentence counts, and none is right where the reference has none. Where
    no target tells, these values are left out. Crowds and ignored objects need not be found, and what belongs to them
    counts neither way.
    """
    images = [_compare(*image) for image in by_image(predictions, targets)]
    matching = _matching(images)
    agreeing, asked = np.array([one.agreeing for one in images]), np.array([one.asked for one in images])

    def precision(weights: Weights) -> dict[str, Floats]:
        of_pairs = accumulate(matching, weights, "all", ()).precision
        if not len(of_pairs):  # no region
            return dict.fromkeys(("mAP", "box_AP"), np.full(len(weights), np.nan))
        of_pairs = of_pairs[0].reshape(len(IOU_THRESHOLDS), len(SIMILARITY_THRESHOLDS), -1)
        return {"mAP": of_pairs.mean((0, 1)), "box_AP": of_pairs[:, 0].mean(0)}

    def words(weights: Weights) -> dict[str, Floats]:
        return dict(zip(KINDS, fraction(weights @ agreeing, weights @ asked).T, strict=True))

    of_words = per_image(words, len(images))
    return Result(
        bootstrap_precision(precision, len(images)) | bootstrap(words, len(images), of_images=of_words),
        per_image=per_image(precision, len(images)) | of_words,
    )


def similarity(caption: str, references: Sequence[str]) -> float:
    """That with the reference which is the most similar, in the unit interval; 0 without one."""
    said = words_of(caption)
    return max((Indel.normalized_similarity(said, words_of(one)) for one in references), default=0.0)


class _Compared(NamedTuple):
    """One image with D detections, best first, T pairs of thresholds and R regions.

    scores: [D].
    hit: [T, D].
    miss: [T, D].
    required: [R].
    agreeing: [kinds], how many detections have the right word.
    asked: [kinds], of how many.
    """

    scores: Floats
    hit: Booleans
    miss: Booleans
    required: Booleans
    agreeing: Integers
    asked: Integers


def _compare(owner: Owner, prediction: Prediction, true_owner: Owner, target: Target) -> _Compared:
    regions, references = _regions(true_owner, target)
    pairing = pair_boxes(owner, prediction, true_owner, regions, one_class=True)
    captions = _captions(owner, prediction, len(pairing.scores))
    order = np.argsort(-pairing.scores, kind="stable")
    overlap = pairing.similarity[order]
    best = overlap.max(1, initial=0.0)
    # No overlap at all is nobody's: -1.
    region = np.where(best > 0, overlap.argmax(1) if overlap.size else 0, -1)
    needless = pairing.crowd | pairing.ignored
    passed_over = np.append(needless, False)[region]
    takes = np.zeros(len(order), bool)
    takes[np.unique(region, return_index=True)[1]] = True
    takes &= (region >= 0) & ~passed_over
    alike = np.zeros(len(order))
    for d in np.flatnonzero(takes):
        alike[d] = similarity(captions[order[d]], references[region[d]])

    near = best >= IOU_THRESHOLDS[:, None, None]  # [I, 1, D]
    hit = takes & near & (alike >= SIMILARITY_THRESHOLDS[:, None] - _ROUNDING)
    miss = ~hit & ~(passed_over & near)
    kinds = target.word_kinds or {}
    found = [(captions[order[d]], references[region[d]]) for d in np.flatnonzero(takes & (best >= FOUND))]
    agreeing = [sum(_agree(*one, kinds[kind]) for one in found) if kind in kinds else 0 for kind in KINDS]
    asked = [len(found) if kind in kinds else 0 for kind in KINDS]
    return _Compared(
        pairing.scores[order],
        hit.reshape(_PAIRS, -1),
        miss.reshape(_PAIRS, -1),
        ~needless,
        np.array(agreeing),
        np.array(asked),
    )


def _captions(owner: Owner, one: Prediction | Target, count: int) -> tuple[str, ...]:
    captions = present(owner, "captions", one.captions)
    if len(captions) != count:
        raise ImageError(owner, f"{len(captions)} captions for {count} boxes")
    return captions


def _regions(owner: Owner, target: Target) -> tuple[Target, list[list[str]]]:
    """The regions, boxes and flags alone, and the references of each. Those with the most others near are merged first;
    crowds and ignored objects stay as they are.
    """
    boxes = checked_array(owner, "boxes", target.boxes).reshape(-1, 4)
    captions = _captions(owner, target, len(boxes))
    crowd, ignored = (flags(owner, name, target.get(name), len(boxes)) for name in ("crowd", "ignored"))
    counted = ~(crowd | ignored)
    near = box_similarity(boxes, boxes, np.zeros(len(boxes), bool)) >= MERGED
    near &= counted & counted[:, None]
    np.fill_diagonal(near, True)  # a box without an area has an IoU of 0 with itself
    groups = []
    while near.any():
        group = near[near.sum(1).argmax()].nonzero()[0]
        groups.append(group)
        near[group] = near[:, group] = False
    merged = np.array([boxes[group].mean(0) for group in groups]).reshape(-1, 4)
    first = np.array([group[0] for group in groups], np.int64)
    boxes, crowd, ignored = map(torch.from_numpy, (merged, crowd[first], ignored[first]))
    regions = Target(boxes=boxes, crowd=crowd, ignored=ignored)
    return regions, [[captions[index] for index in group] for group in groups]


def _agree(caption: str, references: Sequence[str], words: tuple[str, ...]) -> bool:
    return _first(caption, words) in {_first(one, words) for one in references}


def _first(sentence: str, words: tuple[str, ...]) -> str | None:
    """The first of these words, some of which may be two or three such as "left of"; None if there is none."""
    found = _pattern(words).search(" ".join(words_of(sentence)))
    return found and found[0]


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(longest_first)})\b")


def _matching(images: Sequence[_Compared]) -> Matching:
    """All images, as one class, in the form that average precision is made of."""
    if not images:
        raise ValueError("there is no image to match")
    counts, regions = [len(one.scores) for one in images], [len(one.required) for one in images]
    scores = np.concatenate([one.scores for one in images])
    order = np.argsort(-scores, kind="stable")
    return Matching(
        images=len(images),
        areas=("all",),
        thresholds=np.arange(_PAIRS, dtype=np.float64),
        image=np.repeat(np.arange(len(images)), counts)[order],
        label=np.zeros(len(order), np.int64),
        score=scores[order],
        rank=np.concatenate([np.arange(count) for count in counts])[order],
        hit=np.concatenate([one.hit for one in images], 1)[None][..., order],
        miss=np.concatenate([one.miss for one in images], 1)[None][..., order],
        true_image=np.repeat(np.arange(len(images)), regions),
        true_label=np.zeros(sum(regions), np.int64),
        required=np.concatenate([one.required for one in images])[None],
    )
