"""Classification of whole images: top-1 and top-5 accuracy, with bootstrap intervals over images."""

from collections.abc import Sequence

import numpy as np

from roibench.metric import Result
from roibench.metrics.bootstrap import bootstrap, mean_statistic, per_image
from roibench.metrics.fields import ImageError, Owner, by_image, checked_array, present
from roibench.metrics.matching import Integers
from roibench.structures import Prediction, Target


def top_k_accuracy(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """top1 and top5: the fraction of images whose true class is among the 1 or 5 with the highest scores.

    As ILSVRC counts it (Russakovsky et al. 2015). Equal scores stand by class index, lowest first, so that a model
    which gives all classes one score is right only where the true class is 0. top5 is left out where there are five
    classes or fewer: everything would be right. artefacts["top1 per class"]: label -> top1, of the classes that are the
    true one of an image.
    """
    images = list(by_image(predictions, targets))
    labels = [int(present(owner, "image_label", target.image_label)) for _, _, owner, target in images]
    sizes, ranks = set(), []
    for label, (owner, prediction, _, _) in zip(labels, images, strict=True):
        ranks.append(int((ranking(owner, prediction, label) == label).argmax()))
        sizes.add(prediction.class_scores.numel())
    ranks = np.array(ranks)
    if len(sizes) > 1:
        raise ValueError(f"class_scores of {' and '.join(map(str, sorted(sizes)))} classes: want as many on all images")
    hits = {"top1": ranks < 1} | ({"top5": ranks < 5} if sizes and min(sizes) > 5 else {})
    per_class = {k: float(hits["top1"][np.equal(labels, k)].mean()) for k in sorted(set(labels))}
    statistic = mean_statistic(hits)
    of_images = per_image(statistic, len(images))
    return Result(
        bootstrap(statistic, len(images), of_images=of_images),
        per_image=of_images,
        artefacts={"top1 per class": per_class},
    )


def ranking(owner: Owner, prediction: Prediction, label: int) -> Integers:
    """[C]: the classes, highest score first, equal ones by index; `label` must be one of them."""
    scores = checked_array(owner, "class_scores", prediction.class_scores)
    if scores.ndim != 1:
        raise ImageError(owner, f"class_scores are {list(scores.shape)}, want [classes]")
    if not 0 <= label < len(scores):
        raise ImageError(owner, f"{len(scores)} class_scores, but the true class has index {label}")
    return np.argsort(-scores, kind="stable")
