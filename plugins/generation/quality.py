"""What generated pictures are worth, by a judge that never saw them in training: a classifier of icons.

It is to these pictures what ImageNet's networks are to photographs: its classes and its features are icons', whatever
dataset a generator imitates.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor

from roibench.assemble import find_weights, ready_model
from roibench.datasets.reference import open_dataset
from roibench.metric import Result
from roibench.metrics.bootstrap import Statistic, Weights, bootstrap, fraction, mean_statistic, per_image
from roibench.metrics.fields import by_image, present
from roibench.metrics.kernel_distance import kernel_distance
from roibench.metrics.matching import Booleans, Floats
from roibench.model import Model, Probe, Wrapper
from roibench.registry import installed
from roibench.structures import Input, Prediction, Target

JUDGE, DATASET = "features@resnet_classifier", "icons"
CONFIDENT = 0.5  # probability of the highest-scoring class
ENOUGH = 0.5  # share of pictures that are recognised
BATCH = 32


def ready_judge() -> Wrapper:
    """Features by its predict, probabilities of classes by its inner's; on the CPU."""
    registry = installed()
    spec, info = registry.model(JUDGE), open_dataset(DATASET, registry).info
    return ready_model(spec, info, find_weights(spec, DATASET, None, registry), torch.device("cpu"))


def class_probabilities(classifier: Model, images: Sequence[Tensor]) -> Floats:
    """Of images, uint8 [3, H, W] each: [N, C]."""
    return np.stack([one.class_scores.double().numpy() for one in _answers(classifier, images)])


def recognised(probabilities: Floats) -> Booleans:
    """Of which pictures, [N, C] -> [N], the judge is confident."""
    return probabilities.max(1, initial=0.0) >= CONFIDENT


def recognition(predictions: Sequence[Prediction], targets: Sequence[Target], probe: None = None) -> Result:
    """IS and recognised, of what the judge takes pictures for.

    recognised: the share of which its highest probability is at least 0.5. A classifier is confident of some pictures
    that show nothing, and of one that comes again and again.
    IS: the inception score (Salimans et al. 2016, arXiv 1606.03498), exp(mean KL(p(y | x) || p(y))): 1 where all
    pictures are alike to the judge or none tells it anything, at most as many as it has classes. Undefined for a single
    picture.
    artefacts["taken for"]: how many pictures, by class. A warning tells where fewer than half are recognised.
    """
    judge = ready_judge().inner
    found = class_probabilities(judge, _generated(predictions, targets))
    hits = recognised(found)
    statistic = _recognition_statistic(found, hits)
    of_images = per_image(statistic, len(hits))
    few = f"fewer than half of {len(hits):,} generated images are recognised: {hits.mean():.1%}"
    names = open_dataset(DATASET, installed()).info.classes
    counts = np.bincount(found.argmax(1), minlength=len(names)).tolist()
    return Result(
        bootstrap(statistic, len(hits), of_images=of_images),
        per_image=of_images,
        artefacts={"taken for": dict(zip(names, counts, strict=True))},
        warnings=(few,) if hits.mean() < ENOUGH else (),
    )


def _recognition_statistic(probabilities: Floats, hits: Booleans) -> Statistic:
    negentropy = -entr(probabilities).sum(1)
    share = mean_statistic({"recognised": hits})

    def statistic(weights: Weights) -> dict[str, Floats]:
        several = np.where((weights > 0).sum(1) > 1, weights.sum(1), 0)  # one picture alone has no score
        marginal = fraction(weights @ probabilities, several[:, None])
        return {"IS": np.exp(fraction(weights @ negentropy, several) + entr(marginal).sum(1)), **share(weights)}

    return statistic


def distance(predictions: Sequence[Prediction], targets: Sequence[Target], probe: Probe) -> Result:
    """KID: the kernel distance (roibench.metrics.kernel_distance) of as many pictures and images of the dataset, in the
    judge's features, which makes it no number to compare with those of Inception's. 0 is the same distribution.

    The images have their own size, also where pictures are smaller: what is lost by that counts. Undefined for a single
    picture.
    """
    pictures = _generated(predictions, targets)
    images = [probe.inputs[index].image for index in range(len(pictures))]
    judge = ready_judge()
    statistic = kernel_distance(_features(judge, pictures), _features(judge, images), "KID")
    of_images = per_image(statistic, len(pictures))
    return Result(bootstrap(statistic, len(pictures), of_images=of_images), per_image=of_images)


def _generated(predictions: Sequence[Prediction], targets: Sequence[Target]) -> list[Tensor]:
    return [present(owner, "generated", one.get("generated")) for owner, one, _, _ in by_image(predictions, targets)]


def _features(judge: Model, images: Sequence[Tensor]) -> Floats:
    """[N, D]."""
    return np.stack([one.get("features").double().numpy() for one in _answers(judge, images)])


def _answers(model: Model, images: Sequence[Tensor]) -> list[Prediction]:
    """In float32, in whatever precision a cell is scored."""
    inputs = [Input(str(index), image) for index, image in enumerate(images)]
    with torch.autocast("cpu", enabled=False):
        return [one for i in range(0, len(inputs), BATCH) for one in model.predict(inputs[i : i + BATCH])]
